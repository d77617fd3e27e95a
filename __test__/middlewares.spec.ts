// Middlewares and `ctx`: what each sees, what it adds, and what of it the next message sees.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer, zocket } from "@zocket/core";
import { z } from "zod";

import {
  anything,
  incoming,
  Queue,
  serve,
  syncHandlers,
  syncRoutes,
  Talker,
  within,
  zo,
} from "./_talk.ts";

describe("middlewares", () => {
  test("run in their order, each with all additions so far, and the handler with all of them", async (t) => {
    const seen: unknown[] = [];
    const note = (name: string, ctx: object) => {
      const {
        clientId: _id,
        send: _send,
        rooms: _rooms,
        disconnect: _disconnect,
        ...own
      } = { ...ctx } as never as Record<string, unknown>;
      seen.push([name, own]);
    };
    const builder = zo.message
      .use(({ ctx }) => {
        note("first", ctx);
        return { one: 1 };
      })
      .use(async ({ ctx }) => {
        await Promise.resolve();
        note("second", ctx);
        return { two: ctx.one + 1 };
      })
      .use(({ ctx }) => note("third", ctx))
      .use(({ ctx }) => {
        note("fourth", ctx);
        return { one: "changed" };
      });
    const handled = new Queue<unknown>("the handler");
    const app = zo.router(
      { say: builder.incoming({ payload: anything }) },
      {
        say: ({ ctx }) => {
          note("handler", ctx);
          handled.push([ctx.one, ctx.two]);
        },
      },
    );
    const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    talker.say("say");
    assert.deepEqual(await handled.next(), ["changed", 2]);
    assert.deepEqual(seen, [
      ["first", {}],
      ["second", { one: 1 }],
      ["third", { one: 1, two: 2 }],
      ["fourth", { one: 1, two: 2 }],
      ["handler", { one: "changed", two: 2 }],
    ]);
  });

  test("see the payload as the schema made it, and the handler too", async (t) => {
    const seen: unknown[] = [];
    const builder = zo.message.use(({ payload }) => void seen.push(payload));
    const handled = new Queue<unknown>("the handler");
    const app = zo.router(
      { say: builder.incoming({ payload: z.string().transform((text) => ({ text })) }) },
      { say: ({ payload }) => handled.push(payload) },
    );
    const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    talker.say("say", "hi");
    assert.deepEqual(await handled.next(), { text: "hi" });
    assert.deepEqual(seen, [{ text: "hi" }]);
    assert.equal(seen.length, 1);
  });

  test("do not run for a payload that is invalid, nor the later ones and the handler for one rejected", async (t) => {
    const seen: string[] = [];
    const builder = zo.message
      .use(() => void seen.push("first"))
      .use(({ payload }) => {
        seen.push("second");
        if (payload === "reject") throw new Error("no");
      })
      .use(async () => void seen.push("third"));
    const routes = { ...syncRoutes, say: builder.incoming({ payload: z.string() }) };
    const app = zo.router(routes, { ...syncHandlers, say: () => void seen.push("handler") });
    const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    talker.say("say", 1);
    assert.equal((await talker.sync()).length, 1);
    assert.deepEqual(seen, []);
    talker.say("say", "reject");
    assert.equal((await talker.sync()).length, 1);
    assert.deepEqual(seen.splice(0), ["first", "second"]);
    talker.say("say", "accept");
    assert.deepEqual(await talker.sync(), []);
    assert.deepEqual(seen, ["first", "second", "third", "handler"]);
  });

  test("belong to the builder they were added to alone", async (t) => {
    const seen: string[] = [];
    const base = zo.message.use(() => void seen.push("base"));
    const left = base.use(() => void seen.push("left"));
    const right = base.use(() => void seen.push("right"));
    const payload = anything;
    const routes = {
      ...syncRoutes,
      bare: incoming({ payload }),
      base: base.incoming({ payload }),
      left: left.incoming({ payload }),
      right: right.incoming({ payload }),
    };
    const nothing = () => {};
    const handlers = { bare: nothing, base: nothing, left: nothing, right: nothing };
    const app = zo.router(routes, { ...syncHandlers, ...handlers });
    const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    for (const name of ["bare", "base", "left", "right"]) {
      talker.say(name);
      await talker.sync();
      seen.push("|");
    }
    assert.equal(seen.join(" "), "| base | base left | base right |");
  });

  test("may use rooms and send, before the handler does", async (t) => {
    const builder = zo.message.use(({ ctx }) => {
      ctx.rooms.join("lobby");
      return { joined: ctx.rooms.has("lobby") };
    });
    const routes = { ...syncRoutes, say: builder.incoming({ payload: anything }) };
    const app = zo.router(routes, {
      ...syncHandlers,
      say: ({ ctx }) => ctx.send.onSync({ joined: ctx.joined }).toRoom("lobby"),
    });
    const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    talker.say("say");
    assert.deepEqual(await talker.expect("onSync"), { joined: true });
  });
});

describe("ctx", () => {
  test("is the user context with clientId, send, rooms and disconnect", async (t) => {
    const clients: string[] = [];
    const own = zocket.create({
      headers: z.object({ name: z.string() }),
      onConnect: async ({ name }, clientId) => {
        clients.push(clientId);
        return { name, nested: { list: [1] } };
      },
    });
    const handled = new Queue<unknown>("the handler");
    const app = own.router(
      { say: own.message.incoming({ payload: anything }) },
      {
        say: ({ ctx }) =>
          handled.push([Object.keys(ctx).sort(), ctx.clientId, ctx.name, ctx.nested]),
      },
    );
    const { server } = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
    const talker = await Talker.open(t, `${server.url}/?name=Ada`);
    talker.say("say");
    const names = ["clientId", "disconnect", "name", "nested", "rooms", "send"];
    assert.deepEqual(await handled.next(), [names, clients[0], "Ada", { list: [1] }]);
    assert.match(
      String(clients[0]),
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
  });

  test("is a fresh one for each message: what a handler or middleware assigns is not seen later", async (t) => {
    const user = { name: "Ada" };
    const gone = new Queue<Record<string, unknown>>("onDisconnect");
    const own = zocket.create({
      headers: anything,
      onConnect: () => user,
      onDisconnect: (ctx) => gone.push(ctx as Record<string, unknown>),
    });
    const handled = new Queue<Record<string, unknown>>("the handler");
    const builder = own.message.use(({ ctx }) => {
      (ctx as Record<string, unknown>)["fromMiddleware"] = true;
      return { added: 1 };
    });
    const app = own.router(
      {
        first: builder.incoming({ payload: anything }),
        second: own.message.incoming({ payload: anything }),
      },
      {
        first: ({ ctx }) => {
          const open: Record<string, unknown> = ctx;
          open["name"] = "Eve";
          open["fromHandler"] = true;
          delete open["clientId"];
          handled.push(open);
        },
        second: ({ ctx }) => handled.push(ctx as Record<string, unknown>),
      },
    );
    const { server } = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    talker.say("first");
    talker.say("second");
    const [first, second] = await handled.take(2);
    assert.notEqual(first, second);
    assert.equal(first?.["name"], "Eve");
    const names = Object.keys(second ?? {}).filter((key) => key !== "name");
    assert.deepEqual(names.sort(), ["clientId", "disconnect", "rooms", "send"]);
    assert.equal(second?.["name"], "Ada");
    assert.deepEqual(user, { name: "Ada" });
    await talker.leave();
    const last = await gone.next();
    assert.deepEqual(Object.keys(last).sort(), ["clientId", "name", "rooms"]);
    assert.equal(last["name"], "Ada");
  });

  test("has copies of the own properties: a nested instance keeps its methods", async (t) => {
    class User {
      readonly #secret = "kept";
      constructor(readonly name: string) {}
      secret() {
        return this.#secret;
      }
    }
    const key = Symbol("key");
    const made = Object.assign(new User("Ada"), { user: new User("Ben"), [key]: "symbol" });
    const own = zocket.create({ headers: anything, onConnect: () => made });
    const handled = new Queue<unknown>("the handler");
    const app = own.router(
      { say: own.message.incoming({ payload: anything }) },
      {
        say: ({ ctx }) =>
          handled.push([
            ctx.name,
            ctx.user === made.user,
            ctx.user.secret(),
            "secret" in ctx,
            ctx[key],
          ]),
      },
    );
    const { server } = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    talker.say("say");
    assert.deepEqual(await handled.next(), ["Ada", true, "kept", false, "symbol"]);
  });

  test("has our clientId, send, rooms and disconnect, whatever the user's are", async (t) => {
    const taken = { clientId: "theirs", send: "theirs", rooms: "theirs", disconnect: "theirs" };
    const theirs = { ...taken, name: "Ada" };
    const gone = new Queue<unknown>("onDisconnect");
    const own = zocket.create({
      headers: anything,
      onConnect: (): { name: string } => theirs,
      onDisconnect: (ctx, clientId) =>
        gone.push([ctx.clientId === clientId, [...ctx.rooms], ctx.name]),
    });
    const builder = own.message.use((() => theirs) as never as () => void);
    const routes = {
      bare: own.message.incoming({ payload: anything }),
      used: builder.incoming({ payload: anything }),
      onSaid: own.message.outgoing({ payload: anything }),
    };
    type Ctx = {
      clientId: string;
      send: { onSaid(payload: unknown): { to(id: string): void } };
      rooms: { join(room: string): void };
      disconnect(): void;
    };
    const handler = ({ ctx }: { ctx: Ctx }) => {
      ctx.rooms.join("lobby");
      ctx.send.onSaid(typeof ctx.disconnect === "function" && ctx.clientId).to(ctx.clientId);
    };
    const app = own.router(routes, { bare: handler, used: handler });
    const { server } = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    for (const name of ["bare", "used"]) {
      talker.say(name);
      assert.match(String(await talker.expect("onSaid")), /^[0-9a-f-]{36}$/);
    }
    await talker.leave();
    assert.deepEqual(await gone.next(), [true, ["lobby"], "Ada"]);
  });

  test("additions with a __proto__ key change no prototype", async (t) => {
    const poison = () => JSON.parse('{"__proto__":{"polluted":true},"safe":1}') as { safe: number };
    const harmless = () => ({ safe: 1 });
    for (const [onConnect, middleware] of [
      [poison, harmless],
      [harmless, poison],
      [poison, poison],
    ] as const) {
      const own = zocket.create({ headers: anything, onConnect });
      const handled = new Queue<object>("the handler");
      const app = own.router(
        { say: own.message.use(middleware).incoming({ payload: anything }) },
        { say: ({ ctx }) => handled.push(ctx) },
      );
      const { server } = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
      const talker = await Talker.open(t, server.url);
      talker.say("say");
      const ctx = await handled.next();
      assert.equal("polluted" in ctx, false);
      assert.equal((ctx as { safe?: number }).safe, 1);
      assert.equal("polluted" in {}, false);
    }
  });

  test("what onConnect returned may be frozen, or have no prototype", async (t) => {
    const contexts = [
      Object.freeze({ name: "Ada" }),
      Object.assign(Object.create(null), { name: "Ben" }),
    ];
    const own = zocket.create({
      headers: anything,
      onConnect: () => contexts.shift() as { name: string },
    });
    const handled = new Queue<string>("the handler");
    const app = own.router(
      { say: own.message.use(() => ({ more: 1 })).incoming({ payload: anything }) },
      { say: ({ ctx }) => handled.push(`${ctx.name} ${ctx.more}`) },
    );
    const { server } = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
    for (const name of ["Ada", "Ben"]) {
      const talker = await Talker.open(t, server.url);
      talker.say("say");
      assert.equal(await within(handled.next(), name), `${name} 1`);
    }
  });
});
