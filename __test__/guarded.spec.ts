// `zo.use(middleware).handle(handler)`: middlewares before one handler.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createServer, createZocketClient, zocket, type ErrorInfo } from "@zocket/core";
import { message } from "@zocket/core/contract";
import { WebSocket } from "ws";
import { z } from "zod";

import { soon, until } from "./_wait.ts";

const zo = zocket.create({
  headers: z.object({ name: z.string() }),
  onConnect: ({ name }) => ({ name }),
});
const counted = zo.message.use(({ ctx }) => ({ steps: ["message"], name: ctx.name.toUpperCase() }));
const routes = {
  say: counted.incoming({ payload: z.string() }),
  plain: zo.message.incoming({ payload: z.string() }),
  add: zo.message.incoming({ payload: z.number(), reply: z.number(), errors: { NO: z.string() } }),
  count: zo.message.incoming({ payload: z.number(), stream: z.number(), reply: z.string() }),
  onSaid: zo.message.outgoing({ payload: z.array(z.string()) }),
};
type Routes = typeof routes;
type Given = Parameters<typeof zo.router<Routes>>[1];

/** A server with these handlers, a client of it, and what both are told. */
function serve(t: TestContext, handlers: Given) {
  const faults: { error: unknown; info: ErrorInfo }[] = [];
  const server = createServer(zo.router(routes, handlers), zo, {
    port: 0,
    hostname: "127.0.0.1",
    onError: (error, info) => {
      if (info.code !== "NO_HANDLER") faults.push({ error, info });
    },
  });
  t.after(() => soon("the server's end", server.stop(true)));
  const client = createZocketClient<Routes>(server.url, { headers: { name: "ada" }, WebSocket });
  t.after(() => client.close());
  const codes: string[] = [];
  client.onError(({ code }) => codes.push(code));
  return { client, codes, faults };
}

const steps = (ctx: object) => (ctx as { steps?: string[] }).steps ?? [];
const step =
  (name: string) =>
  ({ ctx }: { ctx: object }) => ({ steps: [...steps(ctx), name] });

describe("zo.use(…).handle(…)", () => {
  test("runs its middlewares in order, after those of the message, and their additions reach the handler", async (t) => {
    const { client } = serve(t, {
      say: zo
        .use(step("first"))
        .use(async (it) => {
          await new Promise(setImmediate);
          return step("second")(it);
        })
        .use(() => {})
        .handle(({ payload, ctx }) => {
          ctx.send.onSaid([payload, ctx.name, ...ctx.steps]).to(ctx.clientId);
        }),
    });
    const said = new Promise((done) => client.on.onSaid(done));
    client.send.say("hello");
    assert.deepEqual(await soon("it", said), ["hello", "ADA", "message", "first", "second"]);
  });

  test("a middleware that throws rejects the message: no handler runs, and the sender gets REJECTED", async (t) => {
    let handled = 0;
    const thrown = new Error("not you");
    const guard = zo.use(({ payload }) => {
      if (payload === "no" || payload === 13) throw thrown;
    });
    const { client, codes, faults } = serve(t, {
      plain: guard.handle(() => void (handled += 1)),
      add: guard.handle(({ payload }) => (handled += payload)),
      count: guard
        .use(() => Promise.reject(thrown))
        .handle(function* () {
          handled += 1;
          yield 1;
          return "";
        }),
    });
    client.send.plain("no");
    await until("a $error", () => codes.length > 0);
    assert.deepEqual(codes, ["REJECTED"]);
    const result = await client.call.add(13).safe();
    assert.equal(!result.ok && result.error.code, "REJECTED");
    const streamed = await client.call.count(1).safe();
    assert.equal(!streamed.ok && streamed.error.code, "REJECTED");
    assert.equal(handled, 0);
    assert.deepEqual(
      faults.map(({ error, info }) => [error === thrown, info.code]),
      [
        [true, "REJECTED"],
        [true, "REJECTED"],
        [true, "REJECTED"],
      ],
    );
    assert.equal(await client.call.add(2), 2);
  });

  test("stands before calls and streams: the reply, fail, the items and the signal are the handler's", async (t) => {
    const twice = zo.use(({ payload }) => ({ twice: Number(payload) * 2 }));
    let aborted = 0;
    const { client } = serve(t, {
      add: twice.handle(({ ctx, payload, fail }) => {
        if (payload < 0) throw fail("NO", "negative");
        return ctx.twice;
      }),
      count: twice.handle(async function* ({ ctx, signal }) {
        signal.addEventListener("abort", () => (aborted += 1));
        for (let at = 0; at < ctx.twice; at += 1) yield at;
        return "done";
      }),
    });
    assert.equal(await client.call.add(21), 42);
    const result = await client.call.add(-1).safe();
    assert.equal(!result.ok && result.error.code === "NO" && result.error.data, "negative");
    const items: number[] = [];
    const call = client.call.count(2);
    for await (const item of call) items.push(item);
    assert.deepEqual(items, [0, 1, 2, 3]);
    assert.equal(await call, "done");
    for await (const item of client.call.count(1_000)) if (item === 3) break;
    await until("the signal", () => aborted === 1);
  });

  test("while a middleware is pending, the client's later messages wait", async (t) => {
    const order: string[] = [];
    let go = () => {};
    const { client } = serve(t, {
      say: zo
        .use(() => new Promise<void>((done) => (go = done)))
        .handle(({ payload }) => void order.push(payload)),
      plain: ({ payload }) => void order.push(payload),
      add: ({ payload }) => payload,
    });
    client.send.say("first");
    client.send.plain("second");
    const third = client.call.add(3);
    await new Promise((done) => setTimeout(done, 50));
    assert.deepEqual(order, []);
    go();
    assert.equal(await third, 3);
    assert.deepEqual(order, ["first", "second"]);
  });

  test("nests, serves many handlers, and its functions may be taken off", async (t) => {
    const { use, handle } = zo.use(step("outer"));
    const inner = zo.use(step("inner"));
    const { client } = serve(t, {
      say: handle(inner.handle(({ ctx }) => ctx.send.onSaid(ctx.steps).to(ctx.clientId))),
      plain: use(step("more")).handle(({ ctx }) => ctx.send.onSaid(ctx.steps).to(ctx.clientId)),
    });
    const heard: string[][] = [];
    client.on.onSaid((said) => heard.push(said));
    client.send.say("");
    client.send.plain("");
    await until("both", () => heard.length === 2);
    assert.deepEqual(heard, [
      ["message", "outer", "inner"],
      ["outer", "more"],
    ]);
  });

  test("takes no part in the definition, so that a contract without a server needs none", async (t) => {
    const shared = { add: message.incoming({ payload: z.number(), reply: z.number() }) };
    const router = zo.router.strict(shared, {
      add: zo.use(() => ({ one: 1 })).handle(({ payload, ctx }) => payload + ctx.one),
    });
    assert.deepEqual(shared.add._middlewares, []);
    const server = createServer(router, zo, { port: 0, onError: () => {} });
    t.after(() => server.stop(true));
    const client = createZocketClient<typeof shared>(server.url, {
      headers: { name: "ada" },
      WebSocket,
    });
    t.after(() => client.close());
    assert.equal(await client.call.add(1), 2);
  });

  test("the handler may be called by hand, and leaves no middleware out", async () => {
    const seen: unknown[] = [];
    const handler = zo
      .use(({ ctx }) => {
        seen.push(ctx);
        const taken = { clientId: "stolen", send: "stolen", rooms: "stolen", disconnect: "stolen" };
        return { role: "admin", ...taken } as { role: string };
      })
      .handle(({ payload, ctx, signal }) => void seen.push([payload, ctx, signal]));
    const ctx = { clientId: "id", send: {}, rooms: {}, disconnect: () => {}, name: "ada" };
    const { signal } = new AbortController();
    const given = { payload: 1, ctx, signal, fail: () => assert.fail() };
    await handler(given as never);
    assert.deepEqual(seen, [ctx, [1, { ...ctx, role: "admin" }, signal]]);
    const guarded = zo.use(() => Promise.reject(new Error("no"))).handle(() => assert.fail());
    await assert.rejects(Promise.resolve(guarded(given as never)), /^Error: no$/);
  });

  test("one that another function wraps leaves none out either, and the answer is the handler's", async (t) => {
    const checked = zo.use(({ payload }) => {
      if (payload === 13) throw new Error("not you");
      return { one: 1 };
    });
    const inner = checked.handle(({ payload, ctx, signal, fail }) => {
      const number = payload as number;
      if (signal.aborted || number < 0) throw (fail as (...given: string[]) => Error)("NO", "-");
      return number + ctx.one;
    }) as unknown as (message: object) => Promise<number>;
    const { client } = serve(t, { add: (message) => inner(message) });
    assert.equal(await client.call.add(1), 2);
    const refused = await client.call.add(-1).safe();
    assert.equal(!refused.ok && refused.error.code, "NO");
    const rejected = await client.call.add(13).safe();
    assert.equal(!rejected.ok && rejected.error.code, "HANDLER_ERROR");
  });

  test("a middleware or handler of another kind is a TypeError", () => {
    for (const wrong of [undefined, null, "auth", {}, [], zo.use(() => {})]) {
      const text = /^TypeError: zo\.use: expected a middleware \(a function\), got /;
      assert.throws(() => zo.use(wrong as never), text);
      assert.throws(() => zo.use(() => {}).use(wrong as never), /^TypeError: zo\.use\(…\)\.use: /);
      const made = zo.use(() => {});
      assert.throws(() => made.handle(wrong as never), /^TypeError: zo\.use\(…\)\.handle: exp/);
    }
  });
});
