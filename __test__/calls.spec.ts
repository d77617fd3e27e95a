// `client.call`: what a call returns, what it rejects with, and what becomes of it when the connection ends.
import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import type { AddressInfo } from "node:net";
import { describe, test, type TestContext } from "node:test";

import {
  createServer,
  createZocketClient,
  zocket,
  ZocketError,
  type ClientOptions,
  type ErrorInfo,
  type ServerOptions,
} from "@zocket/core";
import { WebSocket, WebSocketServer } from "ws";
import { z } from "zod";

import { isSettled, latch, until } from "./_wait.ts";

const zo = zocket.create({ headers: z.object({}) });
const { incoming } = zo.message;
const errors = { ROOM_FULL: z.object({ limit: z.number() }), NOT_FOUND: z.undefined() };
const routes = {
  plain: incoming({ payload: z.string() }),
  chat: {
    join: incoming({
      payload: z.object({ room: z.string() }),
      reply: z.object({ members: z.number() }),
      errors,
    }),
    hold: incoming({
      payload: z.string(),
      reply: z.string(),
      errors: { LATE: z.undefined() },
    }),
    count: incoming({ payload: z.number(), stream: z.number(), reply: z.string() }),
    fails: incoming({ payload: z.number(), stream: z.number(), errors }),
    onSaid: zo.message.outgoing({ payload: z.string() }),
  },
};

/** A server with calls, and what its handlers did. */
function serve(t: TestContext, options: ServerOptions = {}) {
  const happened: string[] = [];
  const faults: ErrorInfo[] = [];
  const open = latch();
  let running = 0;
  const app = zo.router(routes, {
    plain: () => {},
    chat: {
      join: async ({ payload, fail }) => {
        if (payload.room === "full") throw fail("ROOM_FULL", { limit: 50 });
        if (payload.room === "none") throw fail("NOT_FOUND");
        if (payload.room === "throw") throw new Error("no");
        return { members: 3 };
      },
      hold: async ({ payload, signal, fail }) => {
        running += 1;
        if (payload === "late") {
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          happened.push("late");
          throw fail("LATE");
        }
        signal.addEventListener("abort", () => happened.push(`${payload} aborted`));
        await open.promise;
        running -= 1;
        return payload;
      },
      count: async function* ({ payload }) {
        try {
          for (let n = 0; n < payload; n += 1) {
            happened.push(String(n));
            yield n;
          }
          return "done";
        } finally {
          happened.push("finally");
        }
      },
      fails: async function* ({ payload, fail }) {
        for (let n = 0; n < payload; n += 1) yield n;
        throw fail("ROOM_FULL", { limit: payload });
      },
    },
  });
  const server = createServer(app, zo, {
    port: 0,
    hostname: "127.0.0.1",
    onError: (_, info) => void faults.push(info),
    ...options,
  });
  t.after(() => server.stop(true));
  const client = (more: ClientOptions<typeof app> = {}) => {
    const made = createZocketClient<typeof app>(server.url, { WebSocket, ...more });
    t.after(() => made.close());
    return made;
  };
  return { server, client, happened, faults, open: open.open, running: () => running };
}

/** The code that a promise rejects with. */
const codeOf = (promise: PromiseLike<unknown>): Promise<string> =>
  Promise.resolve(promise).then(
    () => "none",
    (error: unknown) => {
      assert.ok(error instanceof ZocketError, String(error));
      return error.code;
    },
  );

describe("a call", () => {
  test("is a promise of the reply", async (t) => {
    const { client } = serve(t);
    const { call } = client();
    assert.deepEqual(await call.chat.join({ room: "lobby" }), { members: 3 });
    assert.deepEqual(
      await Promise.all([call.chat.join({ room: "a" }), call.chat.join({ room: "b" })]),
      [{ members: 3 }, { members: 3 }],
    );
    assert.equal(
      await (call as never as { plain(text: string): Promise<undefined> }).plain("x"),
      undefined,
    );
    const ended: string[] = [];
    const reply = call.chat.join({ room: "lobby" });
    await reply.finally(() => ended.push("finally"));
    assert.deepEqual(ended, ["finally"]);
    assert.deepEqual(await reply, { members: 3 });
  });

  test("rejects with the declared error and its data, and not through onError", async (t) => {
    const { client } = serve(t);
    const one = client();
    const told: unknown[] = [];
    one.onError((error) => told.push(error));
    await assert.rejects(one.call.chat.join({ room: "full" }), (error) => {
      assert.ok(error instanceof ZocketError && error instanceof Error);
      assert.deepEqual(
        [error.name, error.code, error.route, error.data],
        ["ZocketError", "ROOM_FULL", "chat.join", { limit: 50 }],
      );
      return true;
    });
    assert.equal(await codeOf(one.call.chat.join({ room: "none" })), "NOT_FOUND");
    assert.equal(await codeOf(one.call.chat.join({ room: "throw" })), "HANDLER_ERROR");
    const wrong = one.call.chat.join({ room: 1 as never });
    await assert.rejects(wrong, (error) => {
      assert.ok(error instanceof ZocketError);
      assert.equal(error.code, "INVALID_PAYLOAD");
      assert.equal(error.issues?.length, 1);
      return true;
    });
    assert.equal(
      await codeOf((one.call as never as { gone: typeof one.call.chat.join }).gone({ room: "" })),
      "NO_ROUTE",
    );
    assert.deepEqual(told, []);
  });

  test("says safely what it came to", async (t) => {
    const { client } = serve(t);
    const { call } = client();
    assert.deepEqual(await call.chat.join({ room: "lobby" }).safe(), {
      ok: true,
      data: { members: 3 },
    });
    const result = await call.chat.join({ room: "full" }).safe();
    assert.ok(!result.ok && result.error.code === "ROOM_FULL");
    assert.equal(result.error.data.limit, 50);
  });

  test("that nobody awaits leaves no unhandled rejection", async (t) => {
    const { client } = serve(t);
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", note);
    t.after(() => process.off("unhandledRejection", note));
    const { call } = client();
    void (call.chat.join({ room: "full" }) as unknown as object);
    const items: number[] = [];
    await (async () => {
      for await (const item of call.chat.fails(3)) items.push(item);
    })().catch((error: unknown) => assert.ok(error instanceof ZocketError));
    for await (const _ of call.chat.count(1_000)) break;
    await call.chat.join({ room: "lobby" });
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(unhandled, []);
    assert.deepEqual(items, [0, 1, 2]);
  });

  test("throws at once for wrong options, and for what JSON cannot hold", (t) => {
    const { client } = serve(t);
    const { call } = client();
    const join = call.chat.join as (payload: unknown, options?: unknown) => unknown;
    const place = "client.call.chat.join: options";
    for (const [options, text] of [
      [null, `${place}: expected an object, got null`],
      [{ timeouts: 1 }, `${place}.timeouts: unknown option; did you mean timeout?`],
      [{ timeout: -1 }, `${place}.timeout: expected a number of milliseconds`],
      [{ timeout: Number.NaN }, `${place}.timeout: expected a number of milliseconds`],
      [{ signal: {} }, `${place}.signal: expected an AbortSignal`],
    ] as const) {
      assert.throws(
        () => join({ room: "" }, options),
        (error) => error instanceof TypeError && error.message.startsWith(text),
      );
    }
    assert.throws(() => join({ room: 1n }), TypeError);
  });
});

describe("a call is ended", () => {
  test("by its signal, whose reason it rejects with", async (t) => {
    const { client, happened, running } = serve(t);
    const { call } = client();
    const controller = new AbortController();
    const mine = new Error("mine");
    const held = call.chat.hold("one", { signal: controller.signal });
    const safe = held.safe();
    await until("the handler", () => running() === 1);
    controller.abort(mine);
    await assert.rejects(held, mine);
    const result = await safe;
    assert.ok(!result.ok && result.error.code === "ABORTED");
    await until("the signal of the handler", () => happened.includes("one aborted"));

    const before = call.chat.hold("two", { signal: controller.signal });
    await assert.rejects(before, mine);
    await call.chat.join({ room: "lobby" });
    assert.equal(running(), 1);
  });

  test("with all others that share its signal, which gets one listener for them", async (t) => {
    const { client, happened, running } = serve(t);
    const { call, once: next } = client();
    const controller = new AbortController();
    const { signal } = controller;
    const listeners = () => getEventListeners(signal, "abort").length;
    const answered = Array.from({ length: 20 }, () =>
      call.chat.join({ room: "lobby" }, { signal }),
    );
    assert.equal(listeners(), 1);
    await Promise.all(answered);
    assert.equal(listeners(), 0);

    const held = Array.from({ length: 20 }, (_, n) => call.chat.hold(String(n), { signal }));
    const missed = next.chat.onSaid({ signal });
    const ended = Promise.allSettled([...held, missed]);
    await until("the handlers", () => running() === 20);
    assert.equal(listeners(), 1);
    controller.abort("enough");
    const reasons = (await ended).map((it) => it.status === "rejected" && it.reason);
    assert.deepEqual([...new Set(reasons)], ["enough"]);
    assert.equal(listeners(), 0);
    await until("their signals", () => happened.length === 20);
  });

  test("before its handler answers with a declared error, which is no fault", async (t) => {
    const { client, happened, faults, running } = serve(t);
    const { call } = client();
    const controller = new AbortController();
    const late = call.chat.hold("late", { signal: controller.signal }).safe();
    await until("the handler", () => running() === 1);
    controller.abort();
    const result = await late;
    assert.ok(!result.ok && result.error.code === "ABORTED");
    await until("the end of the handler", () => happened.includes("late"));
    await call.chat.join({ room: "lobby" });
    assert.deepEqual(faults, []);
  });

  test("by its timeout", async (t) => {
    const { client, happened } = serve(t);
    const { call } = client({ callTimeout: 30 });
    // A call that waits for the connection may time out before it is sent.
    await call.chat.join({ room: "lobby" }, { timeout: 0 });
    assert.equal(await codeOf(call.chat.hold("one")), "TIMEOUT");
    assert.equal(await codeOf(call.chat.hold("two", { timeout: 10 })), "TIMEOUT");
    await until("both signals", () => happened.length === 2);
    const unlimited = Promise.resolve(call.chat.hold("three", { timeout: 0 }));
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.equal(await isSettled(unlimited), false);
  });

  test("by no callTimeout that is longer than timers can wait", async (t) => {
    const { client } = serve(t);
    for (const callTimeout of [2 ** 31, Infinity]) {
      const { call } = client({ callTimeout });
      for (const options of [undefined, {}]) {
        const held = Promise.resolve(call.chat.hold("one", options));
        await call.chat.join({ room: "lobby" });
        // A timer that cannot wait so long fires after 1 ms.
        await new Promise((resolve) => setTimeout(resolve, 20));
        assert.equal(await isSettled(held), false);
      }
    }
  });

  test("by the end of its connection, and is not sent again", async (t) => {
    const { client, running } = serve(t);
    const one = client({ minReconnectionDelay: 0, maxReconnectionDelay: 1 });
    const codes = [1, 2, 3].map((n) => codeOf(one.call.chat.hold(String(n))));
    await until("the handlers", () => running() === 3);
    one.reconnect();
    assert.deepEqual(await Promise.all(codes), ["DISCONNECTED", "DISCONNECTED", "DISCONNECTED"]);
    assert.deepEqual(await one.call.chat.join({ room: "lobby" }), { members: 3 });
    assert.equal(running(), 3);
  });

  test("by close(), whether it was sent or waits", async (t) => {
    const { client, running } = serve(t);
    const one = client();
    const sent = codeOf(one.call.chat.hold("sent"));
    await until("the handler", () => running() === 1);
    one.close();
    assert.equal(await sent, "CLOSED");
    assert.equal(await codeOf(one.call.chat.join({ room: "lobby" })), "CLOSED");
    const other = createZocketClient<typeof routes>("ws://127.0.0.1:9", { WebSocket });
    const waiting = codeOf(other.call.chat.join({ room: "lobby" }));
    other.close();
    assert.equal(await waiting, "CLOSED");
    const third = client();
    const left = codeOf(third.call.chat.hold("left"));
    third.close();
    assert.equal(await left, "CLOSED");
    third.reconnect();
    assert.deepEqual(await third.call.chat.join({ room: "lobby" }), { members: 3 });
    assert.equal(running(), 1, "what was left is not sent");
    one.reconnect();
    assert.deepEqual(await one.call.chat.join({ room: "lobby" }), { members: 3 });
  });

  test("when retries are used up", async () => {
    const one = createZocketClient<typeof routes>("ws://127.0.0.1:9", { WebSocket, maxRetries: 0 });
    assert.equal(await codeOf(one.call.chat.join({ room: "lobby" })), "CLOSED");
  });

  test("where it waits, and leaves the queue", async (t) => {
    const { client, running, open } = serve(t);
    open();
    const one = client({ autoConnect: false, maxQueuedBytes: 200 });
    const controller = new AbortController();
    const first = one.call.chat.hold("x".repeat(100), { signal: controller.signal });
    const second = codeOf(one.call.chat.hold("x".repeat(100)));
    assert.equal(await second, "QUEUE_FULL");
    controller.abort();
    await assert.rejects(first, { name: "AbortError" });
    const third = one.call.chat.hold("x".repeat(100));
    one.reconnect();
    assert.equal(await third, "x".repeat(100));
    assert.equal(running(), 0);
  });

  test("if it is larger than the server takes, and the connection lives on", async (t) => {
    const { client } = serve(t, { maxPayload: 1_000 });
    const one = client();
    const { call } = one;
    await call.chat.join({ room: "lobby" });
    assert.equal(await codeOf(call.chat.join({ room: "x".repeat(2_000) })), "TOO_LARGE");
    assert.deepEqual(await call.chat.join({ room: "lobby" }), { members: 3 });
  });

  test("if there are too many", async (t) => {
    const { client, open } = serve(t, { maxCallsPerClient: 2 });
    const { call } = client();
    const held = [call.chat.hold("one"), call.chat.hold("two")].map((it) => Promise.resolve(it));
    assert.equal(await codeOf(call.chat.hold("three")), "TOO_MANY_CALLS");
    open();
    assert.deepEqual(await Promise.all(held), ["one", "two"]);
  });

  test("once, in a crowd whose server stops in the middle", { timeout: 300_000 }, async (t) => {
    const { client, server, running } = serve(t, { maxCallsPerClient: 200 });
    const clients = Array.from({ length: 100 }, () => client({ maxRetries: 0 }));
    let settled = 0;
    const codes = clients.flatMap((one) =>
      Array.from({ length: 100 }, async (_, n) => {
        const code = await codeOf(one.call.chat.hold(String(n)));
        settled += 1;
        return code;
      }),
    );
    await until("many handlers", () => running() > 5_000);
    await server.stop(true);
    const found = new Set(await Promise.all(codes));
    assert.equal(settled, 10_000);
    for (const code of found) assert.ok(["DISCONNECTED", "CLOSED"].includes(code), code);
  });
});

describe("a stream", () => {
  test("is an iterable of the items, and a promise of the reply", async (t) => {
    const { client } = serve(t);
    const asked = client().call.chat.count(200);
    const items: number[] = [];
    for await (const item of asked) items.push(item);
    assert.deepEqual(
      items,
      Array.from({ length: 200 }, (_, n) => n),
    );
    assert.equal(await asked, "done");
  });

  test("can be read by one iterator, which a promise before it in the same turn does not hinder", async (t) => {
    const { client } = serve(t);
    const asked = client().call.chat.count(3);
    const reply = asked.then((it) => it);
    const items: number[] = [];
    const reading = (async () => {
      for await (const item of asked) items.push(item);
    })();
    assert.throws(() => asked[Symbol.asyncIterator](), TypeError);
    await reading;
    assert.equal(await reply, "done");
    assert.deepEqual(items, [0, 1, 2]);
  });

  test("that is only awaited passes its items, and cannot be iterated over later", async (t) => {
    const { client } = serve(t);
    const asked = client().call.chat.count(1_000);
    assert.equal(await asked, "done");
    assert.throws(() => asked[Symbol.asyncIterator](), TypeError);
  });

  test("keeps 64 items for a reader that comes later, and makes no more meanwhile", async (t) => {
    const { client, happened } = serve(t);
    const one = client();
    const asked = one.call.chat.count(100);
    await until("64 items", () => happened.length === 64);
    await one.call.chat.join({ room: "lobby" });
    assert.equal(happened.length, 64);
    const items: number[] = [];
    for await (const item of asked) items.push(item);
    assert.equal(items.length, 100);
  });

  test("ends with the loop that is left", async (t) => {
    const { client, happened } = serve(t);
    const asked = client().call.chat.count(1_000_000);
    for await (const item of asked) if (item === 10) break;
    await until("finally", () => happened.includes("finally"));
    assert.equal(await codeOf(asked), "ABORTED");
    const made = happened.length;
    assert.ok(made < 200, `${made} items were made`);
  });

  test("is not changed by a break after its end", async (t) => {
    const { client, happened } = serve(t);
    const { call } = client();
    const asked = call.chat.count(3);
    await until("finally", () => happened.includes("finally"));
    // Its end has come before this reply.
    await call.chat.join({ room: "lobby" });
    for await (const _ of asked) break;
    assert.equal(await asked, "done");
  });

  test("yields what came before it throws", async (t) => {
    const { client } = serve(t);
    const items: number[] = [];
    const failed = await (async () => {
      for await (const item of client().call.chat.fails(100)) items.push(item);
      return undefined;
    })().catch((error: unknown) => error);
    assert.ok(failed instanceof ZocketError);
    assert.deepEqual([failed.code, failed.data, items.length], ["ROOM_FULL", { limit: 100 }, 100]);
  });

  test("of a server that sends more than it may is given up", async (t) => {
    const peer = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    t.after(() => peer.close());
    const heard: unknown[] = [];
    peer.on("connection", (socket) => {
      socket.send('{"type":"$welcome","payload":{"clientId":"x","maxPayload":1000}}');
      socket.on("message", (data) => {
        const { id, type } = JSON.parse((data as Buffer).toString()) as Record<string, unknown>;
        heard.push(type);
        if (type !== "chat.count") return;
        for (let n = 0; n < 1_000; n += 1)
          socket.send(JSON.stringify({ type: "$item", id, payload: n }));
      });
    });
    await once(peer, "listening");
    const { port } = peer.address() as AddressInfo;
    const one = createZocketClient<typeof routes>(`ws://127.0.0.1:${port}`, { WebSocket });
    t.after(() => one.close());
    const asked = one.call.chat.count(1_000);
    await until("the abort", () => heard.includes("$abort"));
    const items: number[] = [];
    await assert.rejects(
      async () => {
        for await (const item of asked) items.push(item);
      },
      { code: "BAD_REPLY" },
    );
    assert.equal(items.length, 64);
  });

  test("has time for a reader that is slow, and none for a server that is silent", async (t) => {
    const { client } = serve(t);
    const { call } = client({ callTimeout: 2_000 });
    let items = 0;
    for await (const _ of call.chat.count(5)) {
      items += 1;
      if (items === 2) await new Promise((resolve) => setTimeout(resolve, 3_000));
    }
    assert.equal(items, 5);
  });
});
