// `for await (const payload of client.on.a.b)` and `client.once.a.b()`: the messages of one route, without a callback.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { ZocketError, type ZocketClient } from "@zocket/core";
import { WebSocket as UndiciWebSocket } from "undici";
import { WebSocket } from "ws";

import { deadUrl, open, type routes } from "./_client.ts";
import { Child } from "./_child.ts";
import { startPlain, type Visit } from "./_plain.ts";
import { isSettled, soon, until } from "./_wait.ts";

type Client = ZocketClient<typeof routes>;

/** A client of a plain server, once it is open, and the server's side of it. */
async function meet(t: TestContext, options = {}) {
  const { url, visits, state } = await startPlain(t);
  const client = open(t, url, options);
  const visit = await visits.next();
  await until("the open connection", () => client.readyState === 1);
  return { client, visit, visits, state };
}

/** Sends these, and waits until the client has them. */
async function say(client: Client, visit: Visit, ...payloads: unknown[]): Promise<void> {
  const got: unknown[] = [];
  const off = client.on.onSaid((payload) => got.push(payload));
  for (const payload of payloads) visit.say("onSaid", payload);
  await until("the messages", () => got.length === payloads.length);
  off();
}

describe("a loop over the messages of a route", () => {
  for (const [name, Class] of [
    ["ws", WebSocket],
    ["undici", UndiciWebSocket as unknown as typeof WebSocket],
  ] as const) {
    test(`takes each one in order, with ${name}`, async (t) => {
      const { client, visit } = await meet(t, { WebSocket: Class });
      const got: unknown[] = [];
      const loop = (async () => {
        for await (const payload of client.on.onSaid) {
          got.push(payload);
          if (payload === 99) return;
        }
      })();
      for (let at = 0; at < 100; at += 1) visit.say("onSaid", at);
      await soon("the last one", loop);
      assert.deepEqual(
        got,
        Array.from({ length: 100 }, (_, at) => at),
      );
    });
  }

  test("each of several gets every message, beside the callbacks", async (t) => {
    const { client, visit } = await meet(t);
    const heard: unknown[] = [];
    client.on.onSaid((payload) => heard.push(payload));
    const read = async () => {
      const got: unknown[] = [];
      for await (const payload of client.on.onSaid) if (got.push(payload) === 3) break;
      return got;
    };
    const loops = [read(), read()];
    for (const payload of [1, null, undefined]) visit.say("onSaid", payload);
    for (const loop of loops) assert.deepEqual(await soon("a loop", loop), [1, null, undefined]);
    assert.deepEqual(heard, [1, null, undefined]);
  });

  test("keeps what came between its turns, from when it was taken", async (t) => {
    const { client, visit } = await meet(t);
    await say(client, visit, "before");
    const messages = client.on.onSaid[Symbol.asyncIterator]();
    await say(client, visit, 1, 2);
    assert.deepEqual(await messages.next(), { done: false, value: 1 });
    assert.deepEqual(await messages.next(), { done: false, value: 2 });
    const ahead = [messages.next(), messages.next()];
    await say(client, visit, 3, 4, 5);
    assert.deepEqual(await Promise.all(ahead), [
      { done: false, value: 3 },
      { done: false, value: 4 },
    ]);
    assert.deepEqual(await messages.next(), { done: false, value: 5 });
    assert.equal(messages[Symbol.asyncIterator](), messages);
    assert.equal(messages.dropped, 0);
  });

  test("keeps 1,024 messages, drops the oldest, and counts them", async (t) => {
    const { client, visit } = await meet(t);
    const messages = client.on.onSaid[Symbol.asyncIterator]();
    const all = Array.from({ length: 3_000 }, (_, at) => at);
    await say(client, visit, ...all);
    assert.equal(messages.dropped, 3_000 - 1_024);
    const got: unknown[] = [];
    for await (const payload of messages) if (got.push(payload) === 1_024) break;
    assert.deepEqual(got, all.slice(-1_024));
    assert.equal(messages.dropped, 3_000 - 1_024);
  });

  test("outlives reconnects", async (t) => {
    const { client, visit, visits } = await meet(t);
    const messages = client.on.onSaid[Symbol.asyncIterator]();
    visit.say("onSaid", 1);
    assert.equal((await messages.next()).value, 1);
    const next = messages.next();
    visit.socket.terminate();
    const second = await visits.next();
    second.say("onSaid", 2);
    assert.equal((await soon("the next one", next)).value, 2);
    client.reconnect();
    (await visits.next()).say("onSaid", 3);
    assert.equal((await soon("the one after", messages.next())).value, 3);
  });

  test("ends with close(), after the messages that came before", async (t) => {
    const { client, visit } = await meet(t);
    const got: unknown[] = [];
    const waiting = client.on.onSaid[Symbol.asyncIterator]();
    const behind = client.on.onSaid[Symbol.asyncIterator]();
    await say(client, visit, 1, 2);
    assert.equal((await waiting.next()).value, 1);
    assert.equal((await waiting.next()).value, 2);
    const pending = waiting.next();
    client.close();
    assert.deepEqual(await soon("its end", pending), { done: true, value: undefined });
    for await (const payload of behind) got.push(payload);
    assert.deepEqual(got, [1, 2]);
    // One that is taken now ends at once; after a new start there are messages again.
    for await (const payload of client.on.onSaid) assert.fail(String(payload));
    client.reconnect();
    const later = client.on.onSaid[Symbol.asyncIterator]();
    assert.equal(await isSettled(later.next()), false);
    assert.deepEqual(await behind.next(), { done: true, value: undefined });
  });

  test("ends when the client does not connect again", async (t) => {
    const { client, visit, state } = await meet(t, { maxRetries: 1 });
    const end = (async () => {
      for await (const payload of client.on.onSaid) assert.fail(String(payload));
    })();
    state.accepts = false;
    visit.socket.terminate();
    await soon("its end", end);
    assert.equal(client.state, "closed");
  });

  test("does not end for a client that has not begun to connect, until close()", async (t) => {
    const { url, visits } = await startPlain(t);
    const client = open(t, url, { autoConnect: false });
    const messages = client.on.onSaid[Symbol.asyncIterator]();
    client.reconnect();
    (await visits.next()).say("onSaid", 1);
    assert.equal((await soon("it", messages.next())).value, 1);

    const lazy = open(t, url, { autoConnect: false });
    const never = lazy.on.onSaid[Symbol.asyncIterator]().next();
    const once = lazy.once.onSaid();
    assert.equal(await isSettled(never), false);
    lazy.close();
    assert.deepEqual(await soon("its end", never), { done: true, value: undefined });
    await assert.rejects(once, { code: "CLOSED" });
  });

  test("close() and reconnect() in one go end those that were taken before, and no other", async (t) => {
    const { client, visits } = await meet(t);
    const before = client.on.onSaid[Symbol.asyncIterator]();
    const once = client.once.onSaid();
    client.close();
    client.reconnect();
    const after = client.on.onSaid[Symbol.asyncIterator]();
    const next = client.once.onSaid();
    assert.deepEqual(await before.next(), { done: true, value: undefined });
    await assert.rejects(once, { code: "CLOSED" });
    (await visits.next()).say("onSaid", 1);
    assert.equal((await soon("it", after.next())).value, 1);
    assert.equal(await soon("it", next), 1);
  });

  test("lets go when it is left: by break, return or an error", async (t) => {
    const { client, visit } = await meet(t);
    const messages = client.on.onSaid[Symbol.asyncIterator]();
    const pending = messages.next();
    assert.deepEqual(await messages.return(), { done: true, value: undefined });
    assert.deepEqual(await pending, { done: true, value: undefined });
    await say(client, visit, 1);
    assert.deepEqual(await messages.next(), { done: true, value: undefined });
    await messages.return();

    const loop = (async () => {
      for await (const payload of client.on.onSaid) throw payload;
    })();
    visit.say("onSaid", "thrown");
    await assert.rejects(loop, (error) => error === "thrown");
  });

  test("is there beside names that JavaScript looks up, and the same function is read each time", async (t) => {
    const client = open(t, await deadUrl());
    assert.equal(client.on.onSaid, client.on.onSaid);
    assert.equal(typeof client.on.onSaid[Symbol.asyncIterator], "function");
    const { send, call, once } = client as unknown as Record<string, Record<string, object>>;
    for (const group of [send, call, once]) {
      assert.equal(Reflect.get(group?.["x"] ?? {}, Symbol.asyncIterator), undefined);
    }
    assert.equal((client.on.onSaid as unknown as Record<string, unknown>)["then"], undefined);
  });

  test("leaves nothing behind: never advanced, advanced once, left, or waiting at the end", async (t) => {
    const child = Child.node(
      t,
      `import { createZocketClient } from "@zocket/core/client";
       let hear;
       class Open {
         readyState = 1;
         protocol = "zocket.1";
         addEventListener(type, listener) { if (type === "message") hear = (type, payload) => listener({ data: JSON.stringify({ type, payload }) }); }
         send() {}
         close() {}
       }
       const client = createZocketClient("ws://localhost", { WebSocket: Open });
       hear("$welcome", {});
       await new Promise((done) => setTimeout(done));
       const measure = async () => {
         for (let round = 0; round < 4; round++) { gc(); await new Promise((done) => setTimeout(done, 5)); }
         return process.memoryUsage().heapUsed;
       };
       const long = "x".repeat(500);
       const fill = async (count) => {
         for (let at = 0; at < count; at++) {
           const messages = client.on.said[Symbol.asyncIterator]();
           if (at % 4 === 1) void messages.next();
           if (at % 4 === 2) messages.return();
           if (at % 100 === 0) hear("said", long + at);
           if (at % 4 === 3) client.once.said().then(() => {});
           if (at % 1_000 === 999) { await measure(); hear("said", long); await measure(); }
         }
         hear("said", 1);
       };
       await fill(2_000);
       const before = await measure();
       await fill(20_000);
       const grown = (await measure()) - before;
       // Nobody but the client holds this loop, and it goes on.
       let got = 0;
       void (async () => { for await (const payload of client.on.said) got += payload; })();
       await measure();
       hear("said", 1);
       await measure();
       hear("said", 1);
       await measure();
       console.log("grew " + grown + " got " + got + ";");
       process.exit();`,
      ["--expose-gc"],
    );
    const [, grown, got] = /grew (-?\d+) got (\d+);/.exec(await child.printed(/grew .*;/)) ?? [];
    t.diagnostic(`20,000 iterators: heap +${grown} bytes`);
    assert.ok(Number(grown) < 512 * 1024, String(grown));
    assert.equal(got, "2");
  });
});

describe("client.once", () => {
  test("is a promise of the next message, and of no other", async (t) => {
    const { client, visit } = await meet(t);
    await say(client, visit, "before");
    const [first, second] = [client.once.onSaid(), client.once.onSaid({})];
    await say(client, visit, "next", "after");
    assert.equal(await first, "next");
    assert.equal(await second, "next");
  });

  test("outlives a reconnect", async (t) => {
    const { client, visit, visits } = await meet(t);
    const next = client.once.onSaid({ timeout: 20_000 });
    visit.socket.terminate();
    (await visits.next()).say("onSaid", 1);
    assert.equal(await soon("it", next), 1);
  });

  test("rejects with TIMEOUT, the reason of its signal, or CLOSED", async (t) => {
    const { client } = await meet(t);
    const late = client.once.onSaid({ timeout: 1 });
    await assert.rejects(late, (error) => {
      assert.ok(error instanceof ZocketError);
      assert.equal(error.code, "TIMEOUT");
      assert.equal(error.route, "onSaid");
      assert.equal(error.message, "no message came within 1 ms");
      return true;
    });
    const controller = new AbortController();
    const { signal } = controller;
    const aborted = client.once.onSaid({ signal, timeout: 20_000 });
    controller.abort("mine");
    await assert.rejects(aborted, (error) => error === "mine");
    await assert.rejects(client.once.onSaid({ signal }), (error) => error === "mine");
    await assert.rejects(client.once.onSaid({ signal: AbortSignal.abort() }), /AbortError/);
    const closed = client.once.onSaid();
    client.close();
    await assert.rejects(closed, { code: "CLOSED", route: "onSaid" });
    await assert.rejects(client.once.onSaid(), { code: "CLOSED" });
  });

  test("leaves no listener behind on its signal", async (t) => {
    const { client, visit } = await meet(t);
    let listeners = 0;
    const { signal } = new AbortController();
    const counted = {
      aborted: false,
      reason: undefined,
      addEventListener: (...given: [never, never]) => {
        listeners += 1;
        signal.addEventListener(...given);
      },
      removeEventListener: (...given: [never, never]) => {
        listeners -= 1;
        signal.removeEventListener(...given);
      },
    };
    const next = client.once.onSaid({ signal: counted as never });
    const late = client.once.onSaid({ signal: counted as never, timeout: 1 });
    await assert.rejects(late, { code: "TIMEOUT" });
    assert.equal(listeners, 1);
    visit.say("onSaid", 1);
    assert.equal(await next, 1);
    assert.equal(listeners, 0);
  });

  test("a wrong option is a TypeError at once, and nobody waits then", async (t) => {
    const { client } = await meet(t);
    const { once } = client as unknown as { once: Record<string, (options: unknown) => unknown> };
    const wrong: [options: unknown, text: RegExp][] = [
      [1, /^TypeError: client\.once\.onSaid: options: expected an object, got /],
      [{ timeout: -1 }, /client\.once\.onSaid: options\.timeout: expected a number of milli/],
      [{ timeout: "1" }, /options\.timeout/],
      [{ timeout: NaN }, /options\.timeout/],
      [{ signal: {} }, /options\.signal: expected an AbortSignal/],
      [{ abortSignal: undefined }, /options\.abortSignal: unknown option; did you mean signal\?/],
    ];
    for (const [options, text] of wrong) assert.throws(() => once["onSaid"]?.(options), text);
  });
});

test("close() rejects the calls of a client that has not begun to connect", async (t) => {
  const client = open(t, await deadUrl(), { autoConnect: false });
  const { call } = client as unknown as { call: { say(payload: unknown): Promise<unknown> } };
  const pending = call.say(1);
  assert.equal(await isSettled(pending.catch(() => {})), false);
  client.close();
  await assert.rejects(soon("its end", pending), { code: "CLOSED" });
});
