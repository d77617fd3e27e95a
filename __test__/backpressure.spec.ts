// A client that does not read: what waits for it is bounded, and nobody else notices.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createServer, zocket, type ServerOptions } from "@zocket/core";

import { anything, Queue, serve, syncHandlers, Talker, until, within } from "./_talk.ts";

const KIB = 1024;
/** One message's bytes on the wire, roughly; far more of them than any socket buffer holds are sent. */
const SIZE = 32 * KIB;
const TEXT = "x".repeat(SIZE);
const MAX = 256 * KIB;

function listen(t: TestContext, options: ServerOptions) {
  const gone = new Queue<string>("onDisconnect");
  const own = zocket.create({
    headers: anything,
    onDisconnect: (_ctx, clientId) => gone.push(clientId),
  });
  const { incoming, outgoing } = own.message;
  const routes = {
    sync: incoming({ payload: anything }),
    onSync: outgoing({ payload: anything }),
    onFlood: outgoing({ payload: anything }),
  };
  const app = own.router(routes, syncHandlers);
  const started = serve(t, (onError) =>
    createServer(app, own, { port: 0, onError, maxBackpressure: MAX, ...options }),
  );
  /** sent = written + queued + dropped, always. */
  const metrics = () => {
    const now = started.server.metrics();
    const { sent, written, queued, dropped } = now;
    assert.equal(sent, written + queued + dropped, JSON.stringify(now));
    // A message is added while less than the limit waits, so one may reach over it; another is being written.
    assert.ok(queued * SIZE <= MAX + 2 * SIZE + 64 * KIB, `${queued} messages wait`);
    return now;
  };
  return { ...started, url: started.server.url, gone, metrics };
}

describe('slowClient "disconnect"', () => {
  test("cuts off the client that never reads, tells onError who it was, and counts what was lost", async (t) => {
    const { server, url, gone, problems, metrics } = listen(t, {});
    const slow = await Talker.meet(t, url);
    const other = await Talker.meet(t, url);
    slow.socket.pause();
    let sent = 0;
    for (; server.clientCount() === 2; sent++) {
      server.send.onFlood(TEXT).to(slow.id);
      assert.deepEqual(await other.sync(), []);
      metrics();
      assert.ok(sent < 10_000, "it is still there");
    }
    assert.equal(await gone.next(), slow.id);
    const { error, info } = await problems.next();
    assert.ok(error instanceof Error);
    assert.deepEqual({ ...info }, { code: "SLOW_CLIENT", clientId: slow.id });

    await until(() => metrics().queued === 0, "nothing waits for anybody");
    const { connections, dropped } = metrics();
    assert.equal(connections, 1);
    assert.ok(dropped > 0);
    server.send.onFlood("late").to(slow.id);
    assert.deepEqual(await other.sync(), []);
    assert.deepEqual(problems.drain(), []);
    assert.deepEqual(gone.drain(), []);
    slow.socket.resume();
    await within(slow.closed, "it learns that it was cut off");
  });

  test("a burst in one go is bounded too: what one turn sends is more than may wait", async (t) => {
    const { server, url, gone, problems, metrics } = listen(t, {});
    const slow = await Talker.meet(t, url);
    const other = await Talker.meet(t, url);
    slow.socket.pause();
    for (let number = 0; number < 2000; number++) server.send.onFlood(TEXT).to(slow.id);
    assert.equal(await gone.next(), slow.id);
    assert.equal((await problems.next()).info.code, "SLOW_CLIENT");
    assert.deepEqual(await other.sync(), []);
    await until(() => metrics().queued === 0, "nothing waits for anybody");
    const { dropped, sent } = metrics();
    assert.ok(dropped > 0 && dropped <= sent);
  });

  test("a client that reads is not slow, whatever the sum of what it gets", async (t) => {
    const { server, url, problems, metrics } = listen(t, {});
    const talker = await Talker.meet(t, url);
    const total = 64;
    for (let number = 0; number < total; number++) {
      server.send.onFlood(TEXT).broadcast();
      assert.equal((await talker.sync()).length, 1);
      metrics();
    }
    assert.deepEqual(problems.drain(), []);
    assert.equal(metrics().dropped, 0);
  });

  test("one message larger than the limit reaches a client for whom nothing waits", async (t) => {
    const { server, url, problems } = listen(t, { maxBackpressure: 0 });
    const talker = await Talker.meet(t, url);
    server.send.onFlood("x".repeat(4 * KIB * KIB)).broadcast();
    assert.equal(String(await talker.expect("onFlood")).length, 4 * KIB * KIB);
    assert.deepEqual(problems.drain(), []);
  });

  test("in a room of many the slow one alone is cut off, and the others get everything", async (t) => {
    const { server, url, gone } = listen(t, { ioThreads: 1 });
    const slow = await Talker.meet(t, url);
    const others = await Promise.all(Array.from({ length: 5 }, () => Talker.meet(t, url)));
    slow.socket.pause();
    let sent = 0;
    while (server.clientCount() === 6) {
      server.send.onFlood(TEXT).broadcast();
      sent++;
      for (const other of others) assert.equal((await other.sync()).length, 1);
      assert.ok(sent < 10_000, "it is still there");
    }
    assert.equal(await gone.next(), slow.id);
    assert.equal(server.clientCount(), 5);
  });
});

describe('slowClient "drop"', () => {
  test("drops what is too much, keeps the connection, and goes on when it reads again", async (t) => {
    const { server, url, problems, metrics, gone } = listen(t, { slowClient: "drop" });
    const slow = await Talker.meet(t, url);
    const other = await Talker.meet(t, url);
    slow.socket.pause();
    const text = (number: number) => `${number} ${TEXT}`;
    let count = 0;
    for (let enough = Infinity; count < enough; count++) {
      server.send.onFlood(text(count)).to(slow.id);
      assert.deepEqual(await other.sync(), []);
      if (metrics().dropped > 0 && enough === Infinity) enough = count + 100;
      assert.ok(count < 10_000, "nothing is dropped");
    }
    const { dropped } = metrics();
    assert.ok(dropped >= 50, `${dropped} were dropped`);
    assert.equal(server.clientCount(), 2);

    slow.socket.resume();
    // Before that, the answer to the sync would be dropped like the rest.
    await until(() => metrics().queued === 0, "it has read what waited");
    const got = (await slow.sync()).map(({ payload }) => Number.parseInt(String(payload), 10));
    assert.deepEqual(
      got,
      [...got].sort((a, b) => a - b),
    );
    assert.equal(new Set(got).size, got.length);
    assert.equal(got.length, count - metrics().dropped);
    server.send.onFlood("after").to(slow.id);
    assert.equal(await slow.expect("onFlood"), "after");
    assert.deepEqual(gone.drain(), []);
    // What onError is told about a slow client that stays is up to it, but it is told of nothing else.
    for (const { info } of problems.drain()) assert.equal(info.code, "SLOW_CLIENT");
  });
});

test("what waits for a client when it leaves counts as dropped", async (t) => {
  const { server, url, metrics, gone } = listen(t, { maxBackpressure: 64 * KIB * KIB });
  const own = () => server.metrics();
  const slow = await Talker.meet(t, url);
  slow.socket.pause();
  const count = 1000;
  for (let number = 0; number < count; number++) server.send.onFlood(TEXT).to(slow.id);
  await until(() => own().sent === count + 1 && own().queued > 0, "some of it waits");
  slow.socket.terminate();
  await gone.next();
  await until(() => own().queued === 0, "nothing waits any more");
  const { sent, written, dropped } = metrics();
  assert.equal(sent, count + 1);
  assert.ok(dropped > 0);
  assert.equal(written + dropped, sent);
});

test("bytes are counted both ways", async (t) => {
  const { server, url } = listen(t, {});
  const talker = await Talker.meet(t, url);
  const before = server.metrics();
  talker.say("sync", "y".repeat(100_000));
  await talker.next();
  await until(() => server.metrics().queued === 0, "it is written");
  const { bytesIn, bytesOut, received, sent } = server.metrics();
  assert.equal(received - before.received, 1);
  assert.equal(sent - before.sent, 1);
  // The answer holds the text again, and both ways frames and envelopes add a little.
  for (const bytes of [bytesIn - before.bytesIn, bytesOut - before.bytesOut]) {
    assert.ok(bytes > 100_000 && bytes < 100_300, `${bytes} bytes`);
  }
});
