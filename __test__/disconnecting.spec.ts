// `server.disconnect` and `ctx.disconnect`: the server ends the connections of clients that it names.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer, createZocketClient, zocket, type ZocketServer } from "@zocket/core";
import { WebSocket } from "ws";

import { open } from "./_client.ts";
import { Raw, frame, said } from "./_raw.ts";
import { Client, anything, serve, type App, type Context, type Headers } from "./_support.ts";
import { latch, soon, until } from "./_wait.ts";

const idOf = (app: App, place = 0) => app.connects[place]?.clientId ?? "";

/** Whether every message sent is accounted for. */
function isBalanced({ server }: { server: ZocketServer }): boolean {
  const { sent, written, queued, dropped } = server.metrics();
  return sent === written + queued + dropped;
}

describe("server.disconnect", () => {
  test("sends what is queued, then the close frame with its code and reason", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    for (let n = 0; n < 1_000; n += 1) app.server.send.said(n).to(idOf(app));
    const done = app.server.disconnect(idOf(app), { code: 4001, reason: "gebannt — “Ada”" });
    app.server.send.said("too late").to(idOf(app));
    assert.equal(await soon("it", done), undefined);
    const { code, reason } = await soon("the close", client.closed);
    assert.deepEqual([code, reason], [4001, "gebannt — “Ada”"]);
    const payloads = client.received.map(({ payload }) => payload);
    assert.deepEqual(payloads, [...Array(1_000).keys()]);
    await until("onDisconnect", () => app.disconnects.length === 1);
    const expected = { code: 4001, reason: "gebannt — “Ada”", by: "server" };
    assert.deepEqual(app.disconnects[0]?.info, expected);
    const { sent, written, dropped } = app.server.metrics();
    assert.deepEqual([sent, written, dropped], [1_001, 1_000, 1]);
    assert.deepEqual(app.errors, []);
  });

  test("closes with 1008 and no reason by default", async (t) => {
    const app = serve(t);
    for (const [place, how] of [undefined, {}, { code: undefined, reason: undefined }].entries()) {
      const client = await Client.open(t, app.url);
      void app.server.disconnect(idOf(app, place), how);
      assert.deepEqual(await soon("the close", client.closed), { code: 1008, reason: "" });
    }
  });

  test("takes every code that a server may send, and a reason of 123 bytes", async (t) => {
    const app = serve(t);
    const reason = "é".repeat(61) + "x";
    for (const [place, code] of [1000, 1008, 1011, 1012, 1013, 1014, 3000, 4999].entries()) {
      const client = await Client.open(t, app.url);
      void app.server.disconnect([idOf(app, place)], { code, reason });
      assert.deepEqual(await soon("the close", client.closed), { code, reason });
    }
  });

  test("throws a TypeError for anything else, and closes nobody", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    const id = idOf(app);
    const place = "server.disconnect";
    const codes = "1000, 1008, 1011 to 1014 or 3000 to 4999";
    const wrong: readonly (readonly [readonly unknown[], string])[] = [
      ...[0, 999, 1001, 1002, 1005, 1006, 1007, 1009, 1010, 1015, 2999, 5000, 1008.5, NaN].map(
        (code) =>
          [[id, { code }], `${place}: options.code: expected ${codes}, got ${code}`] as const,
      ),
      [[id, { code: "1008" }], `${place}: options.code: expected ${codes}, got "1008"`],
      [[id, { code: null }], `${place}: options.code: expected ${codes}, got null`],
      [
        [id, { reason: 7 }],
        `${place}: options.reason: expected a string of at most 123 bytes, got 7`,
      ],
      [
        [id, { reason: "é".repeat(62) }],
        `${place}: options.reason: expected a string of at most 123 bytes, got 124 bytes: "${"é".repeat(62)}"`,
      ],
      [[id, { kode: 1 }], `${place}: options.kode: unknown option; did you mean code?`],
      [[id, null], `${place}: options: expected an object { code?, reason? }, got null`],
      [[id, 4000], `${place}: options: expected an object { code?, reason? }, got 4000`],
      [[id, [4000]], `${place}: options: expected an object { code?, reason? }, got an array`],
      [[], `${place}: expected a client id or an array of them, got undefined`],
      [[new Set([id])], `${place}: expected a client id or an array of them, got a class instance`],
      [[[id, 7]], `${place}: expected a client id, got 7`],
    ];
    const disconnect = app.server.disconnect as (...args: readonly unknown[]) => unknown;
    for (const [args, message] of wrong) {
      assert.throws(() => disconnect(...args), { name: "TypeError", message });
    }
    await client.roundTrip();
  });

  test("takes several clients, and unknown and repeated ids are no error", async (t) => {
    const app = serve(t);
    const clients = [await Client.open(t, app.url), await Client.open(t, app.url)];
    const stays = await Client.open(t, app.url);
    const ids = [idOf(app), "nobody", "", idOf(app, 1), idOf(app)];
    await app.server.disconnect(ids, { code: 4002 });
    for (const client of clients) {
      assert.equal((await soon("the close", client.closed)).code, 4002);
    }
    await app.server.disconnect([]);
    await app.server.disconnect(ids);
    await stays.roundTrip();
    await until("onDisconnect", () => app.disconnects.length === 2);
    await app.server.disconnect(ids);
    await stays.roundTrip();
    assert.equal(app.disconnects.length, 2);
    assert.equal(app.server.clientCount(), 1);
  });

  test("the first call of several decides", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    void app.server.disconnect(idOf(app), { code: 4001 });
    void app.server.disconnect(idOf(app), { code: 4002 });
    assert.equal((await soon("the close", client.closed)).code, 4001);
  });

  test("cuts off a client that reads nothing, and its onDisconnect runs", async (t) => {
    const app = serve(t, { options: { maxBackpressure: 64 * 1024 * 1024 } });
    const raw = await Raw.open(t, app.port);
    raw.socket.pause();
    await until("a full socket", () => {
      app.shout("x".repeat(1_000_000));
      return app.server.metrics().queued > 2;
    });
    await app.server.disconnect(idOf(app), { code: 4003, reason: "slow" });
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.deepEqual(app.disconnects[0]?.info, { code: 4003, reason: "slow", by: "server" });
    await until("nothing queued", () => app.server.metrics().queued === 0);
    assert.ok(isBalanced(app));
    raw.socket.resume();
    await soon("the end of the socket", raw.ended);
  });

  test("does not wait for ever for a client that never answers the close frame", async (t) => {
    const app = serve(t);
    const raw = await Raw.open(t, app.port);
    await app.server.disconnect(idOf(app));
    assert.equal(await raw.closeCode(), 1008);
    const flood = setInterval(() => raw.write(said("again")), 10);
    t.after(() => clearInterval(flood));
    await until("onDisconnect", () => app.disconnects.length === 1);
    await soon("the end of the socket", raw.ended);
    assert.equal(app.messages.length, 0);
  });

  test("leaves a client alone whose onConnect is pending", async (t) => {
    const { promise, open: goOn } = latch();
    const app = serve(t, { onConnect: () => promise });
    const opening = Client.open(t, app.url);
    await until("onConnect", () => app.connects.length === 1);
    await app.server.disconnect(idOf(app));
    goOn();
    await (await opening).roundTrip();
    assert.deepEqual(app.errors, []);
  });

  test("may be called in onDisconnect, after stop() and after the server's end", async (t) => {
    const app = serve(t, {
      onDisconnect: (_ctx, clientId) => app.server.disconnect(clientId),
    });
    const client = await Client.open(t, app.url);
    const stopped = app.server.stop();
    await app.server.disconnect(idOf(app), { code: 4001 });
    // The stop came first.
    assert.equal((await soon("the close", client.closed)).code, 1001);
    await stopped;
    await app.server.disconnect(idOf(app));
    assert.deepEqual(app.errors, []);
    assert.equal(app.disconnects[0]?.info.by, "stop");
  });

  test("before a stop() keeps its code", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    void app.server.disconnect(idOf(app), { code: 4001 });
    await app.server.stop();
    assert.equal((await soon("the close", client.closed)).code, 4001);
    assert.deepEqual(app.disconnects[0]?.info, { code: 4001, reason: "", by: "server" });
  });

  test("leaves the client in its rooms until onDisconnect, which gets them", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    await client.join("lobby");
    const before = app.server.metrics().dropped;
    void app.server.disconnect(idOf(app));
    app.server.publish("lobby", "said", "too late");
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.deepEqual([...(app.disconnects[0]?.ctx.rooms ?? [])], ["lobby"]);
    assert.equal(app.server.metrics().dropped, before + 1);
    await until("no room", () => app.server.metrics().rooms === 0);
  });
});

describe("after a disconnect", () => {
  /** Sends three messages in one segment. */
  const three = (raw: Raw) => raw.write(Buffer.concat([said(1), said(2), said(3)]));

  test("no message that was read already reaches its handler", async (t) => {
    const app = serve(t, { say: (_payload, ctx: Context) => ctx.disconnect() });
    const raw = await Raw.open(t, app.port);
    three(raw);
    assert.equal(await raw.closeCode(), 1008);
    raw.write(frame(Buffer.of(3, 240), 8));
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.deepEqual(
      app.messages.map(({ payload }) => payload),
      [1],
    );
    assert.deepEqual(app.errors, []);
  });

  test("neither does one behind a pending middleware, nor the one that it is for", async (t) => {
    const { promise, open: goOn } = latch();
    const app = serve(t, { middleware: () => promise });
    const raw = await Raw.open(t, app.port);
    three(raw);
    await until("the middleware", () => app.server.metrics().received === 3);
    await app.server.disconnect(idOf(app));
    goOn();
    assert.equal(await raw.closeCode(), 1008);
    raw.write(said(4));
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.deepEqual(app.messages, []);
    assert.equal(app.server.metrics().received, 3);
  });

  test("neither does a message whose own schema or middleware disconnects", async (t) => {
    for (const where of ["schema alone", "schema", "middleware", "late middleware"]) {
      const disconnect = () => app.server.disconnect(idOf(app));
      const schema = anything<unknown>();
      const validate = (value: unknown) => {
        if (where.startsWith("schema")) void disconnect();
        return { value };
      };
      const app: App = serve(t, {
        payload: { "~standard": { ...schema["~standard"], validate } },
        ...(where !== "schema alone" && {
          middleware: () => {
            if (where === "late middleware") return Promise.resolve().then(disconnect);
            return where === "middleware" ? disconnect() : undefined;
          },
        }),
      });
      const client = await Client.open(t, app.url);
      client.say(1);
      assert.equal((await soon("the close", client.closed)).code, 1008);
      await until("onDisconnect", () => app.disconnects.length === 1);
      assert.deepEqual(app.messages, [], where);
    }
  });

  test("joins do nothing, and sends to others still work", async (t) => {
    const app = serve(t, {
      say(_payload, ctx) {
        ctx.disconnect({ code: 4001 });
        ctx.rooms.join("lobby");
        ctx.send.said("from the one who goes").broadcast();
        ctx.send.said("to itself").to(ctx.clientId);
        ctx.disconnect();
      },
    });
    const client = await Client.open(t, app.url);
    const other = await Client.open(t, app.url);
    client.say("bye");
    assert.equal((await soon("the close", client.closed)).code, 4001);
    assert.equal((await other.next()).payload, "from the one who goes");
    assert.deepEqual(client.received, []);
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.equal(app.disconnects[0]?.ctx.rooms.size, 0);
  });

  test("ctx.disconnect works when it is taken off ctx, and checks its argument", async (t) => {
    const app = serve(t, {
      say(_payload, { disconnect }) {
        assert.throws(() => disconnect({ code: 1001 }), {
          name: "TypeError",
          message:
            "ctx.disconnect: options.code: expected 1000, 1008, 1011 to 1014 or 3000 to 4999, got 1001",
        });
        disconnect({ code: 4005, reason: "x" });
      },
    });
    const client = await Client.open(t, app.url);
    client.say(1);
    assert.deepEqual(await soon("the close", client.closed), { code: 4005, reason: "x" });
    assert.deepEqual(app.errors, []);
  });
});

describe("calls of a client that is disconnected", () => {
  const zo = zocket.create({ headers: anything<Headers>() });
  const routes = {
    wait: zo.message.incoming({ payload: anything<number>(), reply: anything<number>() }),
    count: zo.message.incoming({ payload: anything<number>(), stream: anything<number>() }),
  };

  test("reject at once, their signals fire and their generators end", async (t) => {
    const fired: unknown[] = [];
    const ids: string[] = [];
    let finished = 0;
    const router = zo.router(routes, {
      wait: ({ signal, ctx }) => {
        ids.push(ctx.clientId);
        return new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            fired.push((signal.reason as { code?: unknown }).code);
            reject(signal.reason as Error);
          });
        });
      },
      count: async function* ({ signal }) {
        try {
          for (let n = 0; !signal.aborted; n += 1) yield n;
        } finally {
          finished += 1;
        }
      },
    });
    const errors: unknown[] = [];
    const server = createServer(router, zo, {
      port: 0,
      hostname: "127.0.0.1",
      onError: (error) => errors.push(error),
    });
    t.after(() => server.stop(true));
    for (const [code, expected] of [
      [4001, "DISCONNECTED"],
      [1008, "CLOSED"],
    ] as const) {
      const client = createZocketClient<typeof routes>(server.url, { WebSocket });
      t.after(() => client.close());
      const waiting = client.call.wait(1).safe();
      const counting = (async () => {
        for await (const _ of client.call.count(1)) if (finished < 0) break;
      })().catch(({ code: got }: { code: string }) => got);
      await until("the call", () => ids.length === 1);
      const before = fired.length;
      void server.disconnect(ids.splice(0), { code });
      // Before the client knows.
      assert.deepEqual(fired.slice(before), ["DISCONNECTED"]);
      const result = await soon("the call's end", waiting);
      assert.equal(result.ok || result.error.code, expected);
      assert.equal(await soon("the stream's end", counting), expected);
      client.close();
    }
    await until("the generators' ends", () => finished === 2);
    assert.deepEqual(errors, []);
  });

  for (const kind of ["an ordinary", "an asynchronous"]) {
    test(`ends ${kind} generator that disconnects its own client, wherever it does`, async (t) => {
      const happened: string[] = [];
      const errors: unknown[] = [];
      /** What both generators do: they disconnect at the `payload`-th item. */
      const steps = (n: number, payload: number, disconnect: () => void) => {
        if (n === payload) disconnect();
        if (n > payload) happened.push("goes on");
        return n;
      };
      const router = zo.router(routes, {
        wait: ({ payload }) => payload,
        count:
          kind === "an ordinary"
            ? function* ({ payload, ctx: { disconnect } }) {
                try {
                  for (let n = 0; ; n += 1) yield steps(n, payload, disconnect);
                } finally {
                  happened.push("finally");
                }
              }
            : async function* ({ payload, ctx: { disconnect } }) {
                try {
                  for (let n = 0; ; n += 1) yield steps(n, payload, disconnect);
                } finally {
                  happened.push("finally");
                }
              },
      });
      const server = createServer(router, zo, {
        port: 0,
        hostname: "127.0.0.1",
        onError: (error) => errors.push(error),
      });
      t.after(() => server.stop(true));
      for (const at of [0, 1, 70]) {
        const client = createZocketClient<typeof routes>(server.url, { WebSocket });
        t.after(() => client.close());
        const items: number[] = [];
        const counting = (async () => {
          for await (const item of client.call.count(at)) items.push(item);
        })().catch(({ code }: { code: string }) => code);
        assert.equal(await soon("the stream's end", counting), "CLOSED");
        await until("the generator's end", () => happened.length > 0);
        assert.deepEqual(happened.splice(0), ["finally"]);
        assert.equal(items.length, at);
      }
      await until("no client", () => server.clientCount() === 0);
      assert.deepEqual([errors, happened], [[], []]);
    });
  }
});

describe("our client", () => {
  test("does not connect again after 1008, and does after other codes", async (t) => {
    const app = serve(t);
    const client = open(t, app.url);
    const codes: number[] = [];
    client.onClose(({ code }) => void codes.push(code));
    await until("it", () => client.state === "open");
    await app.server.disconnect(idOf(app), { code: 4001 });
    await until("the next connection", () => app.connects.length === 2 && client.state === "open");
    await app.server.disconnect(idOf(app, 1), { code: 1000 });
    await until("the next connection", () => app.connects.length === 3 && client.state === "open");
    await app.server.disconnect(idOf(app, 2));
    await until("the end", () => client.state === "closed");
    assert.deepEqual(codes, [4001, 1000, 1008]);
    client.reconnect();
    await until("a new start", () => client.state === "open");
    assert.equal(app.connects.length, 4);
  });
});

test("5,000 clients that are disconnected while they send leave equal pairs and balanced counters", async (t) => {
  const all = 5_000;
  const atOnce = 250;
  const app = serve(t, {
    say: (payload, ctx) => {
      ctx.send.said(payload).to(ctx.clientId);
      if (payload === 3) ctx.disconnect({ code: 4000 + (app.messages.length % 2) });
    },
  });
  const late: string[] = [];
  for (let round = 0; round < all / atOnce; round += 1) {
    const clients = await Promise.all(
      Array.from({ length: atOnce }, () => Client.open(t, app.url)),
    );
    const ids = app.connects.slice(-atOnce).map(({ clientId }) => clientId);
    for (const client of clients) for (let n = 0; n < 6; n += 1) client.say(n);
    // Half of them from outside, in the middle of it.
    setImmediate(() => void app.server.disconnect(ids.filter((_, place) => place % 2 === 0)));
    const ends = await Promise.all(clients.map(({ closed }) => soon("the close", closed)));
    late.push(...ends.filter(({ code }) => ![1008, 4000, 4001].includes(code)).map(String));
  }
  await until("every onDisconnect", () => app.disconnects.length === all);
  assert.deepEqual(late, []);
  assert.equal(app.connects.length, all);
  assert.equal(new Set(app.disconnects.map(({ clientId }) => clientId)).size, all);
  assert.ok(app.disconnects.every(({ info }) => info.by === "server"));
  assert.ok(app.messages.every(({ payload }) => (payload as number) <= 3));
  assert.equal(app.server.clientCount(), 0);
  assert.ok(isBalanced(app));
  assert.equal(app.server.metrics().queued, 0);
  assert.deepEqual(app.errors, []);
});
