// What the package says of mistakes that nothing else would show: incoming routes without a handler, and messages that nobody sent.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createServer, createZocketClient, zocket, type ErrorInfo } from "@zocket/core";
import { WebSocket } from "ws";

import { Child } from "./_child.ts";
import { anything } from "./_support.ts";
import { soon, until } from "./_wait.ts";

const zo = zocket.create({ headers: anything<unknown>() });
const { incoming, outgoing } = zo.message;
const message = incoming({ payload: anything<string>() });
const routes = {
  chat: { say: message, typing: message, onSaid: outgoing({ payload: anything<string>() }) },
  admin: { ban: message, unban: message },
};

/** A server, and what its `onError` is told. */
function serve(t: TestContext, router: object) {
  const told: { error: Error; info: ErrorInfo }[] = [];
  const server = createServer(router as ReturnType<typeof zo.router<typeof routes>>, zo, {
    port: 0,
    hostname: "127.0.0.1",
    onError: (error, info) => told.push({ error: error as Error, info }),
  });
  t.after(() => soon("the server's end", server.stop(true)));
  return { server, told };
}

describe("incoming routes without a handler", () => {
  test("onError hears of them once when the server starts, after createServer has returned", async (t) => {
    const { server, told } = serve(t, zo.router(routes, { chat: { say: () => {} } }));
    assert.equal(told.length, 0);
    await undefined;
    assert.deepEqual(
      told.map(({ info }) => info),
      [{ code: "NO_HANDLER" }],
    );
    const text = 'these incoming routes have no handler: "chat.typing", "admin.ban", "admin.unban"';
    assert.equal(told[0]?.error.message, text);

    // Such a message is answered as ever.
    const client = createZocketClient<typeof routes>(server.url, { WebSocket });
    t.after(() => client.close());
    const code = new Promise((done) => client.onError(done));
    client.send.admin.ban("x");
    assert.equal(((await soon("a $error", code)) as { code: string }).code, "NO_ROUTE");
    await until("onError to hear of it", () => told.length === 2);
    assert.equal(told[1]?.info.code, "NO_ROUTE");
  });

  test("onError hears nothing if there are none, and again at each start", async (t) => {
    const all = { say: () => {}, typing: () => {} };
    const whole = serve(t, zo.router(routes, { chat: all, admin: { ban() {}, unban() {} } }));
    const router = zo.router(routes, { chat: all, admin: undefined });
    const [first, second] = [serve(t, router), serve(t, router)];
    await undefined;
    assert.deepEqual(whole.told, []);
    assert.equal(first.told.length, 1);
    assert.equal(second.told.length, 1);
  });

  test("ten are named, and the others counted", async (t) => {
    const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [`r${at}`, message]));
    const { told } = serve(t, zo.router(many, {}));
    await undefined;
    const text = told[0]?.error.message ?? "";
    assert.ok(text.includes('"r0"') && text.endsWith('"r9" and 4990 more'), text);
  });

  test("an onError that throws or rejects ends nothing", async (t) => {
    const options = { port: 0, hostname: "127.0.0.1" };
    const program = `
      const bare = zo.router(routes, {});
      for (const onError of [() => { throw 1; }, async () => { throw 2; }]) {
        const server = createServer(bare, zo, { ...${JSON.stringify(options)}, onError });
        await new Promise(setImmediate);
        await server.stop();
      }
      console.log("fine;");`;
    await Child.node(t, program).printed(/fine;/);
  });

  test("the default log writes it in one line", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(zo.router(routes, {}), zo, local);
       setImmediate(async () => { await server.stop(); console.log("over;"); });`,
    );
    await child.printed(/over;/);
    assert.equal(child.err, 'zocket: NO_HANDLER: these incoming routes have no handler: "say"\n');
  });
});

describe("zo.router.strict", () => {
  const chat = { say: () => {}, typing: () => {} };

  test("makes a router of routes that all have a handler", (t) => {
    const handlers = { chat, admin: { ban: () => {}, unban: () => {} } };
    const router = zo.router.strict(routes, handlers);
    assert.equal(router.routes, routes);
    assert.equal(router.handlers, handlers);
    assert.deepEqual(Object.keys(router), ["routes", "handlers"]);
    serve(t, router);
  });

  test("throws a TypeError that names those without one", () => {
    const { strict } = zo.router;
    const wrong: [handlers: object, names: string][] = [
      [{ chat, admin: { ban: () => {} } }, '"admin.unban"'],
      [{ chat }, '"admin.ban", "admin.unban"'],
      [{ chat, admin: undefined }, '"admin.ban", "admin.unban"'],
      [{ chat: { ...chat, typing: undefined } }, '"chat.typing", "admin.ban", "admin.unban"'],
    ];
    for (const [handlers, names] of wrong) {
      const place = "zo.router.strict: handlers";
      const message = `${place}: expected a handler for each incoming route, got none for ${names}`;
      assert.throws(() => strict(routes, handlers as never), { name: "TypeError", message });
    }
    assert.throws(() => strict(routes, { chat: 1 } as never), TypeError);
    assert.throws(() => strict(undefined as never, {} as never), TypeError);
  });
});

/** What `onError` is told by a program in which messages are collected. */
async function toldBy(t: TestContext, program: string, env: NodeJS.ProcessEnv = {}) {
  const child = Child.node(
    t,
    `const told = [];
     const onError = (error, info) => told.push([error.message, info]);
     const more = zo.router({ ...routes, chat: { moved: zo.message.outgoing({ payload: anything }) } }, { say: () => {} });
     const server = createServer(more, zo, { ...local, onError });
     const collect = async () => {
       for (let round = 0; round < 5; round++) { gc(); await new Promise((done) => setTimeout(done, 5)); }
     };
     ${program}
     console.log("told " + JSON.stringify(told) + ";");
     process.exit();`,
    ["--expose-gc"],
    { NODE_ENV: "test", ...env },
  );
  return JSON.parse(await child.printed(/told (.*);/)) as [text: string, info: ErrorInfo][];
}

describe("messages that nobody sent", () => {
  test("onError hears of one once for each route, when it is collected", async (t) => {
    const told = await toldBy(
      t,
      `for (let at = 0; at < 100; at++) { server.send.said(at); server.send.chat.moved(at); }
       if (told.length > 0) throw new Error("too early");
       await collect();
       for (let at = 0; at < 100; at++) server.send.said(at);
       await collect();`,
    );
    const instead = "call to, toRoom or broadcast of what it returns";
    assert.deepEqual(told.toSorted(), [
      [
        `send.chat.moved(…) was not sent to anybody; ${instead}`,
        { code: "UNSENT", route: "chat.moved" },
      ],
      [`send.said(…) was not sent to anybody; ${instead}`, { code: "UNSENT", route: "said" }],
    ]);
  });

  test("a message of a handler's ctx counts too", async (t) => {
    const told = await toldBy(
      t,
      `hooks.say = (payload, ctx) => { ctx.send.said(payload); };
       const own = createServer(router, zo, { ...local, onError });
       const { WebSocket } = await import("ws");
       const socket = new WebSocket(own.url);
       await new Promise((done) => socket.on("open", done));
       socket.send('{"type":"say","payload":1}');
       socket.send('{"type":"nowhere"}');
       await new Promise((done) => socket.on("message", done));
       await collect();`,
    );
    assert.deepEqual(
      told.map(([, { code, route }]) => [code, route]),
      [
        ["NO_ROUTE", "nowhere"],
        ["UNSENT", "said"],
      ],
    );
  });

  test("says nothing of messages that were sent, in any way, or may still be", async (t) => {
    const told = await toldBy(
      t,
      `for (let at = 0; at < 3_000; at++) {
         server.send.said(at).to("nobody");
         server.send.said(at).to([]);
         server.send.said(at).toRoom([]);
         server.send.said(at).broadcast();
         const { toRoom } = server.send.said(at);
         toRoom("empty");
         const twice = server.send.said(at);
         twice.broadcast();
         twice.to("nobody");
       }
       const kept = server.send.chat.moved(1);
       await collect();
       kept.broadcast();`,
    );
    assert.deepEqual(told, []);
  });

  test("finds one among very many that were sent", async (t) => {
    const told = await toldBy(
      t,
      `for (let at = 0; at < 20_000; at++) server.send.said(at).broadcast();
       await collect();
       for (let at = 0; at < 256; at++) server.send.said(at);
       await collect();`,
    );
    assert.deepEqual(
      told.map(([, info]) => info),
      [{ code: "UNSENT", route: "said" }],
    );
  });

  test("says nothing in production", async (t) => {
    const program = `server.send.said(1); await collect();`;
    assert.deepEqual(await toldBy(t, program, { NODE_ENV: "production" }), []);
  });

  test("is no more than 64 watched messages of a route, and holds none of them", async (t) => {
    const child = Child.node(
      t,
      `let registered = 0;
       const held = [];
       const Real = FinalizationRegistry;
       globalThis.FinalizationRegistry = class extends Real {
         register(target, value) { registered += 1; held.push(new WeakRef(target)); super.register(target, value); }
       };
       const server = createServer(router, zo, { ...local, onError: () => {} });
       const kept = [];
       for (let at = 0; at < 1_000; at++) kept.push(server.send.said("x".repeat(1_000)));
       const most = registered;
       kept.length = 0;
       for (let round = 0; round < 5; round++) { gc(); await new Promise((done) => setTimeout(done, 5)); }
       const left = held.filter((it) => it.deref() !== undefined).length;
       console.log("watched " + most + " left " + left + ";");
       process.exit();`,
      ["--expose-gc"],
      { NODE_ENV: "development" },
    );
    assert.equal(await child.printed(/watched (.*);/), "64 left 0");
  });

  test("does not keep Node alive, nor a server that has stopped", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       server.send.said(1);
       await server.stop();`,
      [],
      { NODE_ENV: "development" },
    );
    await child.endsWell();
  });
});
