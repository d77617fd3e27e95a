// `onOpen`: runs once for each client, after its 101 and before its first message is handled.
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test, type TestContext } from "node:test";

import {
  createServer,
  zocket,
  type DisconnectInfo,
  type ServerOptions,
  type UntypedSender,
} from "@zocket/core";

import { Raw, frame, request, said } from "./_raw.ts";
import { Client, anything, type Headers } from "./_support.ts";
import { isSettled, latch, soon, until } from "./_wait.ts";

interface OpenContext {
  readonly user: string;
  readonly clientId: string;
  readonly send: UntypedSender;
  readonly rooms: {
    join(room: string): void;
    leave(room: string): void;
    readonly current: ReadonlySet<string>;
  };
  disconnect(how?: { code?: number }): void;
}

interface Given {
  onConnect?: () => unknown;
  onOpen?: (ctx: OpenContext, clientId: string) => unknown;
  onDisconnect?: () => unknown;
  options?: ServerOptions;
}

/** An application that records what happens, in order. */
function serve(t: TestContext, given: Given = {}) {
  const order: string[] = [];
  const opens: { ctx: OpenContext; clientId: string }[] = [];
  const gone: { rooms: string[]; clientId: string; info: DisconnectInfo }[] = [];
  const errors: { error: unknown; code: string; clientId?: string }[] = [];
  const ids: string[] = [];
  const zo = zocket.create({
    headers: anything<Headers>(),
    onConnect: async (_headers, clientId) => {
      order.push("connect");
      ids.push(clientId);
      await given.onConnect?.();
      return { user: "Ada" };
    },
    onOpen: (ctx, clientId) => {
      order.push("open");
      const open = ctx as never as OpenContext;
      opens.push({ ctx: open, clientId });
      return given.onOpen?.(open, clientId) as void | Promise<void>;
    },
    onDisconnect: (ctx, clientId, info) => {
      order.push("disconnect");
      gone.push({ rooms: [...ctx.rooms], clientId, info });
      return given.onDisconnect?.() as void | Promise<void>;
    },
  });
  const routes = {
    say: zo.message.incoming({ payload: anything<unknown>() }),
    ask: zo.message.incoming({ payload: anything<unknown>(), reply: anything<unknown>() }),
    said: zo.message.outgoing({ payload: anything<unknown>() }),
  };
  const router = zo.router(routes, {
    say: ({ payload, ctx }) => {
      order.push(`say ${String(payload)}`);
      ctx.send.said(payload).to(ctx.clientId);
    },
    ask: ({ payload }) => payload,
  });
  const server = createServer(router, zo, {
    port: 0,
    hostname: "127.0.0.1",
    onError: (error, info) => void errors.push({ error, ...info }),
    ...given.options,
  });
  t.after(() => soon("the server's end", server.stop(true)));
  return {
    server,
    order,
    opens,
    gone,
    errors,
    ids,
    url: server.url.replace("localhost", "127.0.0.1"),
  };
}

describe("onOpen", () => {
  test("gets the context of a handler, joins rooms, and sends a welcome", async (t) => {
    const app = serve(t, {
      onOpen: ({ rooms, send, clientId }) => {
        rooms.join("lobby");
        send["said"]?.("welcome").to(clientId);
        send["said"]?.("somebody came").toRoom("lobby");
      },
    });
    const client = await Client.open(t, app.url);
    assert.deepEqual(await client.next(), { type: "said", payload: "welcome" });
    assert.deepEqual(await client.next(), { type: "said", payload: "somebody came" });
    const { ctx, clientId } = app.opens[0] ?? assert.fail("onOpen did not run");
    const keys = ["clientId", "disconnect", "rooms", "send", "user"];
    assert.deepEqual(Object.keys(ctx).toSorted(), keys);
    assert.deepEqual([ctx.user, ctx.clientId, clientId], ["Ada", app.ids[0], app.ids[0]]);
    assert.deepEqual([...ctx.rooms.current], ["lobby"]);
    await client.close();
    await until("onDisconnect", () => app.gone.length === 1);
    assert.deepEqual(app.gone[0]?.rooms, ["lobby"]);
    assert.deepEqual(app.order, ["connect", "open", "disconnect"]);
    assert.deepEqual(app.errors, []);
  });

  test("runs before the first message, also before one that came ahead of the 101", async (t) => {
    const app = serve(t);
    const raw = new Raw(t, app.server.port, request(), said(1), said(2));
    await until("two answers", () => raw.messages().length === 2);
    assert.deepEqual(app.order, ["connect", "open", "say 1", "say 2"]);
  });

  test("sends behind the 101 and $welcome", async (t) => {
    const app = serve(t, {
      onOpen: ({ send, clientId }) => send["said"]?.("hello").to(clientId),
    });
    const raw = await Raw.open(t, app.server.port, { "Sec-WebSocket-Protocol": "zocket.1" });
    await until("two frames", () => raw.messages().length === 2);
    assert.deepEqual(
      raw.messages().map(({ type }) => type),
      ["$welcome", "said"],
    );
  });

  test("that is pending lets messages and calls wait, and they are handled in order", async (t) => {
    const { promise, open } = latch();
    const app = serve(t, { onOpen: () => promise });
    const raw = await Raw.open(t, app.server.port);
    raw.write(said(1), said(2), Buffer.concat([said(3), said(4)]));
    const ask = Buffer.from(JSON.stringify({ id: 7, type: "ask", payload: "?" }));

    raw.write(frame(ask));
    await until("the messages", () => app.server.metrics().received === 5);
    assert.deepEqual(app.order, ["connect", "open"]);
    open();
    await until("the answers", () => raw.messages().length === 5);
    assert.deepEqual(app.order.slice(2), ["say 1", "say 2", "say 3", "say 4"]);
    assert.deepEqual(raw.messages().at(-1), { type: "$reply", id: 7, payload: "?" });
  });

  test("that is pending stops the reading of a client that floods", async (t) => {
    const { promise, open } = latch();
    const app = serve(t, { onOpen: () => promise });
    const raw = await Raw.open(t, app.server.port);
    const all = 3_000;
    const other = await Client.open(t, app.url);
    for (let n = 0; n < all; n += 1) raw.write(said("x".repeat(1_000)));
    await until("the first messages", () => app.server.metrics().received > 64);
    const before = app.server.metrics().received;
    assert.ok(before < 500, `${before} messages wait`);
    open();
    await other.roundTrip();
    await until("all of them", () => app.server.metrics().received === all + 1);
  });

  const FAILING: readonly (readonly [string, () => unknown])[] = [
    [
      "throws",
      () => {
        throw new Error("mine");
      },
    ],
    ["rejects", () => Promise.reject(new Error("mine"))],
    [
      "returns a thenable that throws",
      () => ({
        // oxlint-disable-next-line unicorn/no-thenable -- it is what is tested
        then() {
          throw new Error("mine");
        },
      }),
    ],
  ];
  for (const [what, onOpen] of FAILING) {
    test(`that ${what} closes with 1011, and onError gets OPEN`, async (t) => {
      const app = serve(t, { onOpen });
      const raw = new Raw(t, app.server.port, request(), said(1));
      assert.equal(await raw.closeCode(), 1011);
      raw.socket.end();
      await until("onDisconnect", () => app.gone.length === 1);
      assert.deepEqual(app.gone[0]?.info, { code: 1011, reason: "", by: "server" });
      assert.deepEqual(app.order, ["connect", "open", "disconnect"]);
      const [{ error, code, clientId } = assert.fail("no error"), ...more] = app.errors;
      assert.equal((error as Error).message, "mine");
      assert.deepEqual([code, clientId, more], ["OPEN", app.ids[0], []]);
    });
  }

  test("that takes longer than handshakeTimeout closes with 1011, and is reported once", async (t) => {
    const { promise, fail } = latch();
    const app = serve(t, { onOpen: () => promise, options: { handshakeTimeout: 1_000 } });
    const raw = new Raw(t, app.server.port, request(), said(1));
    assert.equal(await raw.closeCode(), 1011);
    raw.socket.end();
    await until("onDisconnect", () => app.gone.length === 1);
    fail(new Error("too late"));
    await new Promise(setImmediate);
    assert.deepEqual(app.order, ["connect", "open", "disconnect"]);
    assert.deepEqual(
      app.errors.map(({ error, code }) => [(error as Error).message, code]),
      [["onOpen took longer than handshakeTimeout (1000 ms)", "OPEN"]],
    );
  });

  test("may disconnect its client, and no message of it is handled", async (t) => {
    for (const onOpen of [
      (ctx: OpenContext) => ctx.disconnect({ code: 4001 }),
      async (ctx: OpenContext) => {
        await new Promise(setImmediate);
        ctx.disconnect({ code: 4001 });
      },
    ]) {
      const app = serve(t, { onOpen });
      const raw = new Raw(t, app.server.port, request(), said(1));
      assert.equal(await raw.closeCode(), 4001);
      raw.socket.end();
      await until("onDisconnect", () => app.gone.length === 1);
      assert.deepEqual(app.order, ["connect", "open", "disconnect"]);
      assert.deepEqual(app.errors, []);
    }
  });
});

describe("onDisconnect waits for onOpen", () => {
  test("that is pending, keeps the rooms, and runs once", async (t) => {
    const { promise, open } = latch();
    const app = serve(t, {
      onOpen: async ({ rooms }) => {
        rooms.join("lobby");
        await promise;
        rooms.join("too late");
        rooms.leave("lobby");
      },
    });
    const client = await Client.open(t, app.url);
    await until("onOpen", () => app.opens.length === 1);
    client.say("dropped");
    await client.close(4000);
    // Another client gets the number of the one that is gone.
    const other = await Client.open(t, app.url);
    await until("the other onOpen", () => app.opens.length === 2);
    assert.equal(app.gone.length, 0);
    assert.equal(app.server.clientCount(), 2);
    open();
    await until("onDisconnect", () => app.gone.length === 1);
    const [{ clientId, rooms, info } = assert.fail("nobody")] = app.gone;
    assert.deepEqual([clientId, rooms], [app.ids[0], ["lobby"]]);
    assert.deepEqual(info, { code: 4000, reason: "", by: "client" });
    assert.equal(app.server.clientCount(), 1);
    await other.roundTrip();
    assert.deepEqual([...(app.opens[1]?.ctx.rooms.current ?? [])], ["too late"]);
    assert.ok(!app.order.includes("say dropped"));
  });

  test("handshakeTimeout at most", async (t) => {
    const app = serve(t, {
      onOpen: () => new Promise(() => {}),
      options: { handshakeTimeout: 1_000 },
    });
    const client = await Client.open(t, app.url);
    client.drop();
    await until("onDisconnect", () => app.gone.length === 1);
    assert.equal(app.gone[0]?.info.by, "network");
    assert.deepEqual(
      app.errors.map(({ code }) => code),
      ["OPEN"],
    );
  });

  test("also when the server stops, and stop() waits for both", async (t) => {
    for (const how of [false, true, { drain: 1 }]) {
      const { promise, open } = latch();
      const app = serve(t, { onOpen: () => promise });
      await Client.open(t, app.url);
      await until("onOpen", () => app.opens.length === 1);
      const stopped = app.server.stop(how);
      await until("the end of the connection", () => app.server.metrics().bytesOut > 0);
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(await isSettled(stopped), false);
      assert.equal(app.gone.length, 0);
      open();
      await soon("the stop", stopped);
      assert.deepEqual(app.order, ["connect", "open", "disconnect"]);
      assert.equal(app.gone[0]?.info.by, "stop");
      assert.deepEqual(app.errors, []);
    }
  });

  test("which may itself await stop()", async (t) => {
    const app: ReturnType<typeof serve> = serve(t, {
      onOpen: () => app.server.stop(),
      options: { handshakeTimeout: 60_000 },
    });
    const client = await Client.open(t, app.url);
    assert.equal((await soon("the close", client.closed)).code, 1001);
    await until("onDisconnect", () => app.gone.length === 1);
    await soon("the stop", app.server.stop());
    assert.deepEqual(app.order, ["connect", "open", "disconnect"]);
    assert.deepEqual(app.errors, []);
  });
});

test("onOpen does not run for a client that never gets its 101", async (t) => {
  const { promise, open } = latch();
  const app = serve(t, { onConnect: () => promise, options: { handshakeTimeout: 1_000 } });
  const raw = new Raw(t, app.server.port, request());
  assert.equal((await raw.answer()).status, 503);
  open();
  await until("onDisconnect", () => app.gone.length === 1);
  assert.deepEqual(app.order, ["connect", "disconnect"]);
});

test("onOpen does not run for a client that is disconnected right after its onConnect", async (t) => {
  const app = serve(t, {
    onConnect: () => {
      void (async () => {
        // It is admitted meanwhile, and the engine has not said so yet.
        for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
        void app.server.disconnect(app.ids);
      })();
    },
  });
  const raw = await Raw.open(t, app.server.port);
  assert.equal(await raw.closeCode(), 1008);
  raw.write(frame(Buffer.of(3, 240), 8));
  await until("onDisconnect", () => app.gone.length === 1);
  assert.deepEqual(app.order, ["connect", "disconnect"]);
});

test("onOpen sees no store of onConnect, of other clients or of messages", async (t) => {
  const storage = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  const app = serve(t, {
    onConnect: () => storage.enterWith("onConnect"),
    onOpen: async (_ctx, clientId) => {
      seen.push(storage.getStore());
      storage.enterWith(clientId);
      await new Promise(setImmediate);
      seen.push(storage.getStore() === clientId);
    },
    onDisconnect: () => seen.push(storage.getStore()),
  });
  const clients = await Promise.all([1, 2, 3].map(() => Client.open(t, app.url)));
  for (const client of clients) await client.roundTrip();
  await Promise.all(clients.map((client) => client.close()));
  await until("their ends", () => app.gone.length === 3);
  assert.deepEqual(seen.toSorted(), [
    true,
    true,
    true,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

test("2,000 clients that come and go in every way have equal pairs of callbacks", async (t) => {
  let turn = 0;
  const app = serve(t, {
    onOpen: (ctx) => {
      turn += 1;
      if (turn % 5 === 0) throw new Error("mine");
      if (turn % 5 === 1) return ctx.disconnect();
      ctx.rooms.join(`room ${turn % 7}`);
      return turn % 2 ? undefined : new Promise((resolve) => setTimeout(resolve, turn % 9));
    },
  });
  for (let round = 0; round < 10; round += 1) {
    await Promise.all(
      Array.from({ length: 200 }, async (_, place) => {
        const client = new Client(t, app.url);
        client.socket.on("open", () => {
          for (let n = 0; n < 3; n += 1) client.say(n);
          if (place % 3 === 0) client.drop();
          if (place % 3 === 1) client.socket.close();
          if (place % 3 === 2) setTimeout(() => client.drop(), 5);
        });
        await soon("its end", client.closed);
      }),
    );
  }
  await until("every onDisconnect", () => app.gone.length === app.ids.length);
  assert.equal(app.ids.length, 2_000);
  assert.equal(new Set(app.gone.map(({ clientId }) => clientId)).size, 2_000);
  assert.ok(app.opens.length <= app.server.metrics().accepted);
  assert.equal(app.server.clientCount(), 0);
  await until("no room", () => app.server.metrics().rooms === 0);
  assert.ok(app.errors.every(({ code }) => code === "OPEN"));
  const { sent, written, queued, dropped } = app.server.metrics();
  assert.equal(sent, written + queued + dropped);
});

test("onOpen that is no function is a TypeError, and other names for it are told", () => {
  const headers = anything<Headers>();
  assert.throws(() => zocket.create({ headers, onOpen: 1 as never }), {
    name: "TypeError",
    message: "zocket.create: config.onOpen: expected a function, got 1",
  });
  assert.throws(() => zocket.create({ headers, open: () => {} } as never), {
    name: "TypeError",
    message: /config\.open: unknown option; did you mean onOpen\?/,
  });
  const zo = zocket.create({ headers, onOpen: () => {} });
  assert.equal(typeof zo.onOpen, "function");
  assert.equal(zocket.create({ headers }).onOpen, undefined);
});
