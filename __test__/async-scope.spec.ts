// What `AsyncLocalStorage` shows in callbacks: what their own message entered, what `createServer` saw, and never what
// another client entered.
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { createServer, zocket, type ServerOptions } from "@zocket/core";

import { Child, portOf } from "./_child.ts";
import { Client } from "./_support.ts";
import { schema } from "./_talk.ts";
import { soon, until } from "./_wait.ts";

const PLACES = [
  "allowedOrigins",
  "headers",
  "onConnect",
  "payload",
  "middleware",
  "handler",
  "onError",
  "onDisconnect",
] as const;
type Place = (typeof PLACES)[number];

const TIMES = ["at once", "before its first await", "after its first await"] as const;
type Time = (typeof TIMES)[number];

interface Payload {
  name: string;
  fail?: boolean;
}

/** One look of one client's callback. */
interface Look {
  place: Place;
  name: string;
  store: unknown;
}

/**
 * A server whose callbacks all look at the storage. Those of clients called "enters-…" also enter their name, at one
 * place and at one time; at any time but "at once" the callbacks of that place are asynchronous for every client.
 */
function watch(t: TestContext, place?: Place, time: Time = "at once", options?: ServerOptions) {
  const storage = new AsyncLocalStorage<string>();
  const looks: Look[] = [];
  const names = new Map<string, string>();
  let entered = 0;
  let ended = 0;

  const look = (at: Place, name: string) =>
    looks.push({ place: at, name, store: storage.getStore() });
  const enter = (name: string) => {
    if (!name.startsWith("enters")) return;
    entered += 1;
    storage.enterWith(name);
  };
  function callback<T>(at: Place, name: string, result: T): T | Promise<T> {
    look(at, name);
    if (at !== place) return result;
    if (time === "at once") {
      enter(name);
      return result;
    }
    return (async () => {
      if (time === "before its first await") enter(name);
      await sleep(2);
      look(at, name);
      if (time === "after its first await") enter(name);
      await sleep(2);
      look(at, name);
      return result;
    })();
  }

  const zo = zocket.create({
    headers: schema<Record<string, string>>((value) => {
      const { name = "" } = value as Record<string, string>;
      return callback("headers", name, { value });
    }),
    onConnect: ({ name = "" }, clientId) => {
      names.set(clientId, name);
      return callback("onConnect", name, { name });
    },
    onDisconnect: async (ctx) => {
      await callback("onDisconnect", ctx.name, undefined);
      ended += 1;
    },
  });
  const payload = schema<Payload>((value) =>
    callback("payload", (value as Payload).name, { value }),
  );
  const routes = {
    say: zo.message
      .use(({ ctx }) => callback("middleware", ctx.name, undefined))
      .incoming({ payload }),
    said: zo.message.outgoing({ payload }),
  };
  const app = zo.router(routes, {
    say: ({ payload, ctx }) => {
      ctx.send.said(payload).to(ctx.clientId);
      const result = callback("handler", ctx.name, undefined);
      if (payload.fail) throw new Error("the handler was told to fail");
      return result;
    },
  });
  const server = createServer(app, zo, {
    port: 0,
    hostname: "127.0.0.1",
    allowedOrigins: (origin) => callback("allowedOrigins", new URL(origin).hostname, true) as true,
    onError: (_error, { clientId = "" }) =>
      callback("onError", names.get(clientId) ?? "nobody", undefined) as void,
    ...options,
  });
  t.after(() => soon("the server's end", server.stop(true)));
  return {
    url: server.url.replace("localhost", "127.0.0.1"),
    storage,
    looks,
    server,
    entered: () => entered,
    ended: () => ended,
    open: (name: string) =>
      Client.open(t, `${server.url}/?name=${name}`, { headers: { origin: `http://${name}` } }),
  };
}

/** Lets everything that was sent arrive before any of it is handled. */
function holdUp(): void {
  const end = performance.now() + 40;
  while (performance.now() < end);
}

/** The looks that showed a store that somebody else had entered. */
const strange = (looks: readonly Look[]) =>
  looks.filter(({ name, store }) => store !== undefined && store !== name);

describe("a store that one client's callback enters", () => {
  for (const place of PLACES) {
    for (const time of TIMES) {
      test(`in ${place} ${time} is seen by no other client`, async (t) => {
        const app = watch(t, place, time);
        const names = Array.from({ length: 20 }, (_, at) => `${at % 7 ? "looks" : "enters"}-${at}`);
        const clients = await Promise.all(names.map((name) => app.open(name)));
        for (let round = 0; round < 3; round += 1) {
          for (const [at, client] of clients.entries())
            client.say({ name: names[at], fail: round === 1 });
        }
        holdUp();
        await until("the answers", () => clients.every(({ received }) => received.length >= 3));
        for (const client of clients) client.socket.close();
        await until("onDisconnect", () => app.ended() === clients.length);
        const late = await app.open("late");
        late.say({ name: "late" });
        await late.next();
        await late.close();
        await until("the last onDisconnect", () => app.ended() === clients.length + 1);

        assert.deepEqual(strange(app.looks), []);
        assert.ok(app.entered() > 0);
        for (const at of PLACES)
          assert.ok(
            app.looks.some((look) => look.place === at),
            at,
          );
      });
    }
  }

  for (const time of TIMES) {
    test(`in a middleware ${time} is not seen by the messages that wait behind it`, async (t) => {
      const app = watch(t, "middleware", time);
      const client = await app.open("enters-0");
      for (let count = 0; count < 5; count += 1) client.say({ name: "enters-0" });
      holdUp();
      await until("the answers", () => client.received.length === 5);
      const starts = app.looks.filter(({ place }) => place === "payload");
      assert.deepEqual(
        starts.map(({ store }) => store),
        Array.from({ length: 5 }, () => undefined),
      );
    });
  }

  test("is not seen by the messages that wait until a handler is done", async (t) => {
    const app = watch(t, "handler", "before its first await", { maxHandlersInFlight: 1 });
    const client = await app.open("enters-0");
    for (let count = 0; count < 5; count += 1) client.say({ name: "enters-0" });
    holdUp();
    await until("the answers", () => client.received.length === 5);
    const starts = app.looks.filter(({ place }) => place === "payload");
    assert.deepEqual(
      starts.map(({ store }) => store),
      Array.from({ length: 5 }, () => undefined),
    );
  });
});

describe("a store that a message enters", () => {
  for (const [place, time] of [
    ["payload", "at once"],
    ["payload", "before its first await"],
    ["middleware", "at once"],
    ["middleware", "before its first await"],
  ] as const) {
    test(`in its ${place} ${time} is seen by its later callbacks, and by no other message`, async (t) => {
      const app = watch(t, place, time);
      const client = await app.open("enters-0");
      for (let round = 0; round < 2; round += 1) {
        app.looks.length = 0;
        client.say({ name: "enters-0", fail: true });
        await client.next();
        await until("onError", () => app.looks.some((look) => look.place === "onError"));
        const seen = Object.fromEntries(app.looks.map((look) => [look.place, look.store]));
        const first = app.looks[0];
        assert.deepEqual([first?.place, first?.store], ["payload", undefined]);
        assert.deepEqual([seen["handler"], seen["onError"]], ["enters-0", "enters-0"]);
      }
    });
  }
});

describe("a store that a middleware enters for a call", () => {
  for (const end of ["aborts it", "goes"] as const) {
    test(`is seen by what ends the call, when its client ${end}`, async (t) => {
      const storage = new AsyncLocalStorage<string>();
      const looks: string[] = [];
      const look = (where: string, name: string) => {
        looks.push(`${name}: ${where} of ${storage.getStore()}`);
      };
      const zo = zocket.create({
        headers: schema<Record<string, string>>((value) => ({ value })),
        onConnect: ({ name = "" }) => ({ name }),
      });
      const anything = schema<unknown>((value) => ({ value }));
      const { incoming } = zo.message.use(({ ctx }) => storage.enterWith(ctx.name));
      const stream = incoming({ payload: anything, stream: anything });
      const routes = { ordinary: stream, asynchronous: stream };
      const app = zo.router(routes, {
        ordinary: function* ({ ctx: { name }, signal }) {
          signal.addEventListener("abort", () => look("a signal", name));
          try {
            for (;;) yield "";
          } finally {
            look("a generator", name);
          }
        },
        asynchronous: async function* ({ ctx: { name }, signal }) {
          signal.addEventListener("abort", () => look("a signal", name));
          try {
            for (;;) yield "";
          } finally {
            look("a generator", name);
          }
        },
      });
      const server = createServer(app, zo, { port: 0, hostname: "127.0.0.1" });
      t.after(() => soon("the server's end", server.stop(true)));
      const names = ["ada", "grace", "linus"];
      const clients = await Promise.all(
        names.map((name) => Client.open(t, `${server.url}/?name=${name}`)),
      );
      for (const { socket } of clients) {
        socket.send('{"id":1,"type":"ordinary"}');
        socket.send('{"id":2,"type":"asynchronous"}');
      }
      await until("all items", () => clients.every(({ received }) => received.length === 128));
      for (const { socket } of clients) {
        if (end === "goes") socket.terminate();
        else for (const id of [1, 2]) socket.send(JSON.stringify({ id, type: "$abort" }));
      }
      await until("all looks", () => looks.length === 4 * names.length);
      const expected = names.flatMap((name) =>
        ["a generator", "a signal"].map((where) => `${name}: ${where} of ${name}`),
      );
      assert.deepEqual([...new Set(looks)].sort(), expected);
    });
  }
});

describe("the context in which createServer was called", () => {
  test("is where every event starts, also for several servers in one process", async (t) => {
    const storage = new AsyncLocalStorage<string>();
    const apps = await Promise.all(
      ["red", "blue", undefined].map(async (colour) => {
        const seen = new Map<Place, Set<unknown>>(PLACES.map((place) => [place, new Set()]));
        const look = (place: Place) => {
          seen.get(place)?.add(storage.getStore());
          storage.enterWith("left behind");
        };
        const zo = zocket.create({
          headers: schema<Record<string, string>>((value) => ({ value })),
          onDisconnect: () => look("onDisconnect"),
        });
        const payload = schema<string>(async (value) => {
          look("payload");
          await sleep(1);
          return { value };
        });
        const app = zo.router(
          { say: zo.message.incoming({ payload }), said: zo.message.outgoing({ payload }) },
          { say: ({ payload, ctx }) => ctx.send.said(payload).to(ctx.clientId) },
        );
        const allowedOrigins = () => {
          look("allowedOrigins");
          return true;
        };
        const options = { port: 0, hostname: "127.0.0.1", allowedOrigins };
        const create = () => createServer(app, zo, options);
        const server = colour === undefined ? create() : storage.run(colour, create);
        t.after(() => soon("the server's end", server.stop(true)));
        return { colour, seen, url: server.url };
      }),
    );
    for (const { colour, seen, url } of apps) {
      const headers = { origin: "http://somewhere" };
      const clients = await Promise.all([1, 2, 3].map(() => Client.open(t, url, { headers })));
      for (let round = 0; round < 4; round += 1) for (const client of clients) client.say("x");
      await until("the answers", () => clients.every(({ received }) => received.length === 4));
      for (const client of clients) await client.close();
      await until("onDisconnect", () => seen.get("onDisconnect")?.size);
      for (const place of ["allowedOrigins", "payload", "onDisconnect"] as const)
        assert.deepEqual([...(seen.get(place) ?? [])], [colour], place);
    }
  });
});

// Node 20 and 22 start to track promises when a process first uses a storage. The test runner makes Node track them too, so
// these servers run in processes of their own.
describe("the first store of a process", () => {
  const LATE = `
    import { AsyncLocalStorage } from "node:async_hooks";
    const storage = new AsyncLocalStorage();
    const wait = () => new Promise((resolve) => setTimeout(resolve, 100));
    const visit = async (clientId) => {
      await wait();
      const seen = storage.getStore();
      storage.enterWith(clientId);
      await wait();
      return seen === undefined && storage.getStore() === clientId;
    };`;

  test("entered in handlers after an await is seen by no other client", async (t) => {
    const child = Child.node(
      t,
      `${LATE}
       hooks.say = async (payload, ctx) => ctx.send.said(await visit(ctx.clientId)).to(ctx.clientId);
       tell(createServer(router, zo, local));`,
    );
    const url = `ws://127.0.0.1:${await portOf(child)}`;
    const clients = await Promise.all(Array.from({ length: 20 }, () => Client.open(t, url)));
    for (const client of clients) client.say("x");
    for (const client of clients) assert.equal((await client.next()).payload, true);
  });

  test("entered in onConnect after an await is seen by no other client", async (t) => {
    const child = Child.node(
      t,
      `${LATE}
       hooks.connect = async (headers, clientId) => ({ alone: await visit(clientId) });
       hooks.say = (payload, ctx) => ctx.send.said(ctx.alone).to(ctx.clientId);
       tell(createServer(router, zo, local));`,
    );
    const url = `ws://127.0.0.1:${await portOf(child)}`;
    const clients = await Promise.all(Array.from({ length: 20 }, () => Client.open(t, url)));
    for (const client of clients) client.say("x");
    for (const client of clients) assert.equal((await client.next()).payload, true);
  });

  test("is no longer prepared for once the server has stopped", async (t) => {
    const child = Child.node(
      t,
      `import { executionAsyncId } from "node:async_hooks";
       hooks.say = async (payload, ctx) => {
         await null;
         ctx.send.said(payload).to(ctx.clientId);
       };
       const server = createServer(router, zo, local);
       tell(server);
       process.stdin.once("data", async () => {
         await server.stop();
         await new Promise((resolve) => setTimeout(resolve, 1));
         await null;
         // Only what runs after a tracked promise has an id.
         console.log("id " + executionAsyncId() + ";");
         process.exit();
       });`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    for (let count = 0; count < 3; count += 1) await client.roundTrip();
    child.tell("stop");
    assert.equal(await child.printed(/id (\d+);/), "0");
  });
});
