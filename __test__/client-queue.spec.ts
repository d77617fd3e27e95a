// What the client keeps while it is not open.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer, zocket } from "@zocket/core";
import { WebSocket as UndiciWebSocket } from "undici";
import { WebSocket } from "ws";

import { open, routes, told } from "./_client.ts";
import { startPlain } from "./_plain.ts";
import { anything, Queue, until } from "./_talk.ts";

describe("messages sent while not open", () => {
  test("wait, and go out in order, behind those that the onOpen listeners send and before all others", async (t) => {
    const { url, visits } = await startPlain(t);
    const client = open(t, url);
    for (let number = 100; number < 200; number++) client.send.say(number);
    client.onOpen(() => {
      for (let number = 0; number < 50; number++) client.send.say(number);
    });
    client.onOpen(async () => {
      for (let number = 50; number < 100; number++) client.send.say(number);
      await told();
      for (let number = 200; number < 300; number++) client.send.say(number);
    });
    const visit = await visits.next();
    const got = (await visit.messages.take(300)).map(({ type, payload }) => [type, payload]);
    assert.deepEqual(
      got,
      Array.from({ length: 300 }, (_, number) => ["say", number]),
    );
  });

  test("wait through failed attempts and closes, once each", async (t) => {
    const { url, visits, state } = await startPlain(t);
    const client = open(t, url);
    const first = await visits.next();
    state.accepts = false;
    const closed = new Promise<void>((resolve) => client.onClose(() => resolve()));
    first.socket.terminate();
    await closed;
    client.send.say("one");
    await until(() => state.refused >= 3, "three attempts were refused");
    client.send.say("two");
    state.accepts = true;
    const second = await visits.next();
    client.send.say("three");
    const got = (await second.messages.take(3)).map(({ payload }) => payload);
    assert.deepEqual(got, ["one", "two", "three"]);
    second.socket.terminate();
    const third = await visits.next();
    client.send.say("four");
    assert.equal((await third.messages.next()).payload, "four");
  });

  test("are 1 MiB at most: what is more goes to onError as QUEUE_FULL, and the rest still goes out", async (t) => {
    const { url, visits, state } = await startPlain(t);
    state.accepts = false;
    const client = open(t, url);
    const errors = new Queue<{ code: string; route?: string }>("onError");
    client.onError((error) => errors.push(error));
    const text = "x".repeat(100 * 1024);
    for (let number = 0; number < 10; number++) client.send.say(`${number}${text}`);
    await told();
    assert.deepEqual(errors.drain(), []);
    client.send.say(`10${text}`);
    const { code, route } = await errors.next();
    assert.deepEqual([code, route], ["QUEUE_FULL", "say"]);
    // A small one still fits.
    client.send.say("small");
    client.send.say("x".repeat(2 * 1024 * 1024));
    assert.equal((await errors.next()).code, "QUEUE_FULL");
    assert.deepEqual(errors.drain(), []);
    state.accepts = true;
    const visit = await visits.next();
    const got = (await visit.messages.take(11)).map(({ payload }) => String(payload).slice(0, 5));
    const expected = Array.from({ length: 10 }, (_, number) => `${number}xxxx`);
    assert.deepEqual(got, [...expected, "small"]);
    // Room for a whole queue again.
    const closed = new Promise<void>((resolve) => client.onClose(() => resolve()));
    state.accepts = false;
    visit.socket.terminate();
    await closed;
    for (let number = 0; number < 10; number++) client.send.say(`${number}${text}`);
    await told();
    assert.deepEqual(errors.drain(), []);
  });

  test("are measured in bytes, not in characters", async (t) => {
    const { url, state } = await startPlain(t);
    state.accepts = false;
    const client = open(t, url);
    const errors = new Queue<{ code: string }>("onError");
    client.onError((error) => errors.push(error));
    client.send.say("漢".repeat(300_000));
    await told();
    assert.deepEqual(errors.drain(), []);
    client.send.say("漢".repeat(300_000));
    assert.equal((await errors.next()).code, "QUEUE_FULL");
  });
});

describe("with real sockets", () => {
  for (const [name, Class] of [
    ["ws", WebSocket],
    ["undici", UndiciWebSocket as unknown as typeof WebSocket],
  ] as const) {
    test(`what a server does not read is bounded, and comes when it reads: ${name}`, async (t) => {
      const { url, visits } = await startPlain(t);
      const client = open(t, url, { WebSocket: Class });
      const errors = new Queue<{ code: string; route?: string }>("onError");
      client.onError((error) => errors.push(error));
      const visit = await visits.next();
      await until(() => client.readyState === 1, "it is open");
      visit.socket.pause();
      const text = "x".repeat(1024 * 1024);
      let sent = 0;
      let refused = 0;
      // What the systems at both ends hold is theirs.
      while (refused === 0 && sent < 100) {
        client.send.say([sent, text]);
        sent += 1;
        await new Promise((resolve) => setTimeout(resolve, 5));
        refused = errors.drain().length;
      }
      assert.ok(sent >= 16, `${sent - 1} MiB were taken`);
      assert.ok(sent < 60, `${sent - 1} MiB were taken`);
      visit.socket.resume();
      const numbers = (await visit.messages.take(sent - 1)).map(
        ({ payload }) => (payload as [number])[0],
      );
      assert.deepEqual(
        numbers,
        Array.from({ length: sent - 1 }, (_, number) => number),
      );
      client.send.say("after");
      assert.equal((await visit.messages.next()).payload, "after");
    });

    test(`a message that is too large for our server is told, where nobody told the client: ${name}`, async (t) => {
      const zo = zocket.create({ headers: anything });
      const app = zo.router(routes, {
        say: ({ payload, ctx }) => ctx.send.onSaid(payload).to(ctx.clientId),
      });
      const options = { port: 0, maxPayload: 100_000, onError: () => {} };
      const server = createServer(app, zo, options);
      t.after(() => server.stop(true));
      const client = open(t, server.url, { WebSocket: Class, headersIn: "query" });
      const heard = new Queue<unknown>("onError and onClose");
      client.onError(({ code, route }) => heard.push([code, route]));
      client.onClose(({ code }) => heard.push(code));
      client.send.say("before");
      client.send.say("x".repeat(200_000));
      client.send.say("behind");
      assert.deepEqual(await heard.take(2), [["TOO_LARGE", "say"], 1009]);
      const got = new Queue<unknown>("the listener");
      client.on.onSaid((payload) => got.push(payload));
      await until(() => client.readyState === 1, "it is open again");
      client.send.say("again");
      assert.equal(await got.next(), "again");
    });
  }
});
