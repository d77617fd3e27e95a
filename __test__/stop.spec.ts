// The end of a server: new clients are refused, the open ones get what is queued and a 1001, and Node can go.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { freePort } from "./_port.ts";
import { Raw, frame, request } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { isSettled, latch, soon, until } from "./_wait.ts";

describe("stop()", () => {
  test("resolves to nothing, with no client too", async (t) => {
    assert.equal(await soon("stop", serve(t).server.stop()), undefined);
  });

  test("closes open connections with 1001 and resolves after their onDisconnect", async (t) => {
    const app = serve(t);
    const clients = await Promise.all(Array.from({ length: 20 }, () => Client.open(t, app.url)));
    await soon("stop", app.server.stop());
    assert.equal(app.disconnects.length, 20);
    assert.equal(app.server.clientCount(), 0);
    for (const client of clients) assert.equal((await client.closed).code, 1001);
    assert.deepEqual(app.errors, []);
  });

  test("waits for what onDisconnect returned", async (t) => {
    const written = latch();
    const app = serve(t, { onDisconnect: () => written.promise });
    const client = await Client.open(t, app.url);
    const stopped = app.server.stop();
    await client.closed;
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.equal(await isSettled(stopped), false);
    written.open();
    await soon("stop", stopped);
  });

  test("waits for the onDisconnect of a client that left before", async (t) => {
    const written = latch();
    const app = serve(t, { onDisconnect: () => written.promise });
    await (await Client.open(t, app.url)).close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    const stopped = app.server.stop();
    assert.equal(await isSettled(stopped), false);
    written.open();
    await soon("stop", stopped);
  });

  test("gives pending upgrades 503, and owes their onDisconnect", async (t) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: () => admission.promise });
    const raws = Array.from({ length: 5 }, () => new Raw(t, app.port, request()));
    await until("onConnect", () => app.connects.length === 5);
    const stopped = app.server.stop();
    for (const raw of raws) assert.equal((await raw.answer()).status, 503);
    assert.equal(app.disconnects.length, 0);
    admission.open({ user: "late" });
    await soon("stop", stopped);
    await until("onDisconnect", () => app.disconnects.length === 5);
    assert.ok(app.disconnects.every(({ ctx }) => ctx.user === "late"));
    assert.deepEqual(app.server.metrics().refused, { STOP: 5 });
    assert.equal(app.server.metrics().accepted, 0);
  });

  test("gives 503 to a request that is still on its way", async (t) => {
    const app = serve(t);
    const raw = new Raw(t, app.port, "GET / HTTP/1.1\r\n");
    // Accepted for certain: connections of one listener are accepted in order.
    await (await Client.open(t, app.url)).roundTrip();
    const stopped = app.server.stop();
    assert.equal((await raw.answer()).status, 503);
    await soon("stop", stopped);
  });

  test("takes no new connections", async (t) => {
    const app = serve(t);
    await app.server.stop();
    const raw = new Raw(t, app.port, request());
    await raw.ended;
    assert.equal(raw.text, "");
    assert.equal(app.connects.length, 0);
  });

  test("sends what was sent in the same turn", async (t) => {
    const app = serve(t);
    const clients = await Promise.all(Array.from({ length: 5 }, () => Client.open(t, app.url)));
    app.shout("last words");
    const stopped = app.server.stop();
    for (const client of clients) {
      assert.equal((await client.closed).code, 1001);
      assert.deepEqual(client.received, [{ type: "said", payload: "last words" }]);
    }
    await soon("stop", stopped);
  });

  test("sends what is queued first, in order", async (t) => {
    const app = serve(t, { options: { maxBackpressure: 64 * 1024 * 1024 } });
    const clients = await Promise.all(Array.from({ length: 5 }, () => Client.open(t, app.url)));
    for (const { socket } of clients) socket.pause();
    const text = "x".repeat(100_000);
    for (let number = 0; number < 100; number++) app.shout([number, text]);
    const stopped = app.server.stop();
    for (const { socket } of clients) socket.resume();
    for (const client of clients) {
      assert.equal((await soon("the close frame", client.closed)).code, 1001);
      const numbers = client.received.map(({ payload }) => (payload as [number, string])[0]);
      assert.deepEqual(numbers, [...Array(100).keys()]);
    }
    await soon("stop", stopped);
    const { sent, written, dropped } = app.server.metrics();
    assert.deepEqual([sent, written, dropped], [500, 500, 0]);
  });

  test("with messages in flight loses none that a handler answered before, and ends", async (t) => {
    const app = serve(t);
    const clients = await Promise.all(Array.from({ length: 8 }, () => Client.open(t, app.url)));
    for (let number = 0; number < 300; number++) for (const client of clients) client.say(number);
    await until("some of them", () => app.messages.length > 200);
    const stopped = app.server.stop();
    const answered = app.messages.length;
    await soon("stop", stopped);
    for (const client of clients) assert.equal((await client.closed).code, 1001);
    const received = clients.reduce((sum, client) => sum + client.received.length, 0);
    assert.ok(received >= answered, `${received} of ${answered} answers arrived`);
    for (const client of clients) {
      const numbers = client.received.map(({ payload }) => payload);
      assert.deepEqual(numbers, [...Array(numbers.length).keys()]);
    }
    assert.equal(app.disconnects.length, 8);
    const { sent, written, queued, dropped } = app.server.metrics();
    assert.equal(queued, 0);
    assert.equal(sent, written + dropped);
  });

  test("sends what onDisconnect sends to others that are still there", async (t) => {
    // The first to go tells the rest; a client that is closing already gets nothing, which is no error.
    const app = serve(t, { onDisconnect: (_, clientId) => app.shout(clientId) });
    await Promise.all(Array.from({ length: 5 }, () => Client.open(t, app.url)));
    await soon("stop", app.server.stop());
    assert.equal(app.disconnects.length, 5);
    assert.deepEqual(app.errors, []);
  });

  test("gives up on clients that do not answer the close frame, and tells onError", async (t) => {
    const app = serve(t);
    const mute = await Raw.open(t, app.port);
    const stopped = app.server.stop();
    assert.equal(await mute.closeCode(), 1001);
    await soon("stop", stopped);
    await mute.ended;
    assert.equal(app.disconnects.length, 1);
    const [{ error, ...info } = { error: undefined }, ...others] = app.errors;
    assert.ok(error instanceof Error);
    assert.deepEqual([info, others], [{ code: "STOP", clientId: app.connects[0]?.clientId }, []]);
  });

  test("gives up on clients that do not read", async (t) => {
    const app = serve(t, { options: { maxBackpressure: 64 * 1024 * 1024 } });
    const deaf = await Raw.open(t, app.port);
    deaf.socket.pause();
    for (let number = 0; number < 200; number++) app.shout("x".repeat(100_000));
    await soon("stop", app.server.stop());
    assert.equal(app.disconnects.length, 1);
    const { sent, written, queued, dropped } = app.server.metrics();
    assert.ok(dropped > 0);
    assert.deepEqual([sent, queued], [written + dropped, 0]);
  });

  test("is completed by a client's close frame that crosses it", async (t) => {
    const app = serve(t);
    const raw = await Raw.open(t, app.port);
    const stopped = app.server.stop();
    raw.write(frame(Buffer.of(3, 232), 8));
    await soon("stop", stopped);
    await raw.ended;
    assert.equal(app.disconnects.length, 1);
  });

  test("twice is fine, at once and later, and onDisconnect runs once", async (t) => {
    const app = serve(t);
    await Client.open(t, app.url);
    await soon("both", Promise.all([app.server.stop(), app.server.stop()]));
    await soon("the third", app.server.stop());
    await soon("the fourth", app.server.stop(true));
    assert.equal(app.disconnects.length, 1);
  });

  test("frees the port", async (t) => {
    const app = serve(t, { options: { port: await freePort() } });
    const client = await Client.open(t, app.url);
    await app.server.stop();
    await client.closed;
    const again = serve(t, { options: { port: app.port } });
    assert.equal(again.port, app.port);
    await (await Client.open(t, again.url)).roundTrip();
  });

  test("awaited in a handler or in onConnect does not wait for those", async (t) => {
    for (const place of ["say", "onConnect"] as const) {
      const stopped = latch();
      const app = serve(t, {
        [place]: async () => {
          await app.server.stop();
          stopped.open();
          return {};
        },
      });
      const client = new Client(t, app.url);
      client.socket.on("open", () => client.say("x"));
      await soon(`stop in ${place}`, stopped.promise);
      await until("onDisconnect", () => app.disconnects.length === 1);
      assert.deepEqual(app.errors, []);
    }
  });

  test("counts the clients down while they go", async (t) => {
    for (const force of [false, true]) {
      const counts: number[] = [];
      const app = serve(t, { onDisconnect: () => counts.push(app.server.clientCount()) });
      await Promise.all(Array.from({ length: 5 }, () => Client.open(t, app.url)));
      await soon("stop", app.server.stop(force));
      assert.deepEqual(counts, [4, 3, 2, 1, 0]);
    }
  });

  test("called in the turn in which the server was created works", async (t) => {
    for (let round = 0; round < 10; round++) {
      await soon("stop", serve(t).server.stop(round % 2 === 0));
    }
  });
});

describe("stop(true)", () => {
  test("cuts the clients off at once, without a close frame", async (t) => {
    const app = serve(t);
    const raws = await Promise.all([0, 1, 2].map(() => Raw.open(t, app.port)));
    await soon("stop", app.server.stop(true));
    assert.equal(app.disconnects.length, 3);
    for (const raw of raws) {
      await raw.ended;
      assert.deepEqual(raw.frames(), []);
    }
  });

  test("waits for onDisconnect alone", async (t) => {
    const written = latch();
    const app = serve(t, { onDisconnect: () => written.promise });
    const mute = await Raw.open(t, app.port);
    const stopped = app.server.stop(true);
    await mute.ended;
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.equal(await isSettled(stopped), false);
    written.open();
    await soon("stop", stopped);
  });

  test("after a stop() ends the waiting for clients that do not answer, and both promises resolve", async (t) => {
    const app = serve(t);
    const mute = await Raw.open(t, app.port);
    const gentle = app.server.stop();
    assert.equal(await mute.closeCode(), 1001);
    const order: string[] = [];
    const closed = mute.ended.then(() => order.push("cut off"));
    await soon("both", Promise.all([gentle, app.server.stop(true)]));
    await closed;
    assert.equal(app.disconnects.length, 1);
  });

  test("ends pending upgrades too", async (t) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: () => admission.promise });
    const raw = new Raw(t, app.port, request());
    await until("onConnect", () => app.connects.length === 1);
    const stopped = app.server.stop(true);
    await raw.ended;
    admission.open({});
    await soon("stop", stopped);
    await until("onDisconnect", () => app.disconnects.length === 1);
  });

  test("in mid-traffic ends everything, and the books are right", async (t) => {
    const app = serve(t, { say: (payload, ctx) => ctx.send.said(payload).broadcast() });
    const clients = await Promise.all(Array.from({ length: 10 }, () => Client.open(t, app.url)));
    for (let number = 0; number < 500; number++) for (const client of clients) client.say(number);
    await until("some of them", () => app.messages.length > 100);
    await soon("stop", app.server.stop(true));
    assert.equal(app.disconnects.length, 10);
    const { sent, written, queued, dropped, connections } = app.server.metrics();
    assert.deepEqual([queued, connections], [0, 0]);
    assert.equal(sent, written + dropped);
  });
});
