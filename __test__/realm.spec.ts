// The package in a realm of its own, as Jest loads it: every module runs in a context of `node:vm`, and addons and Node's own
// modules come from the realm around it. What the package makes and throws is of the realm that loaded it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { describe, test } from "node:test";
import vm from "node:vm";

import { ROOT } from "./_child.ts";
import { Client } from "./_support.ts";
import { zo } from "./_talk.ts";

/** Globals of Node that Jest hands to its realms; the language's own are those of the realm. */
const SHARED = [
  "AbortController",
  "Buffer",
  "TextDecoder",
  "TextEncoder",
  "URL",
  "URLSearchParams",
  "clearImmediate",
  "clearTimeout",
  "console",
  "process",
  "queueMicrotask",
  "setImmediate",
  "setTimeout",
] as const;

/** A realm, with a function that runs a program in it; the program's value is what it returns. */
function newRealm(): (program: string) => unknown {
  const globals = Object.fromEntries(SHARED.map((name) => [name, globalThis[name]]));
  const context = vm.createContext(globals);
  const modules = new Map<string, { exports: unknown }>();

  function load(file: string): unknown {
    if (file.endsWith(".node")) return createRequire(file)(file);
    const known = modules.get(file);
    if (known) return known.exports;
    const module = { exports: {} as unknown };
    modules.set(file, module);
    run(file, readFileSync(file, "utf8"), module);
    return module.exports;
  }

  function run(file: string, code: string, module: { exports: unknown }): unknown {
    const from = createRequire(file);
    const find = (name: string): unknown => {
      const found = from.resolve(name);
      return path.isAbsolute(found) ? load(found) : from(name);
    };
    const require = Object.assign(find, { resolve: from.resolve });
    const wrapper = `(function (exports, require, module, __filename, __dirname) {${code}\n})`;
    const body = vm.runInContext(wrapper, context, { filename: file }) as (
      ...args: unknown[]
    ) => unknown;
    return body(module.exports, require, module, file, path.dirname(file));
  }

  return (program) => run(path.join(ROOT, "program.js"), program, { exports: {} });
}

const SETUP = `
  const { createServer, createZocketClient, zocket } = require("@zocket/core");
  const anything = { "~standard": { version: 1, vendor: "specs", validate: (value) => ({ value }) } };
  const zo = zocket.create({ headers: anything });
  const { incoming, outgoing, use } = zo.message;
  const options = { port: 0, hostname: "127.0.0.1", ioThreads: 1 };`;

describe("in a realm of its own", () => {
  test("every error of wrong use is an instance of that realm's TypeError", () => {
    const results = newRealm()(`${SETUP}
      const wrong = {
        create: () => zocket.create({}),
        option: () => zocket.create({ headers: anything, tls: {} }),
        incoming: () => incoming(),
        outgoing: () => outgoing({ schema: anything }),
        use: () => use(1),
        useTwice: () => use(() => {}).use(1),
        later: () => use(() => {}).incoming({}),
        router: () => zo.router({ a: 1 }, {}),
        appRouter: () => createServer({}, zo),
        port: () => createServer(zo.router({}, {}), zo, { port: -1 }),
        host: () => createServer(zo.router({}, {}), zo, { host: "" }),
        url: () => createZocketClient("ws://", { WebSocket: class {} }),
        clientOption: () => createZocketClient("ws://localhost", { WebSocket: class {}, retries: 1 }),
        webSocket: () => createZocketClient("ws://localhost", { WebSocket: 1 }),
      };
      return Object.entries(wrong).map(([name, call]) => {
        try { call(); } catch (error) {
          const { message, stack } = error;
          const isWhole = message.length > 0 && stack.includes(message) && stack.includes("program.js");
          return [name, error instanceof TypeError && isWhole, String(error)];
        }
        return [name, false, "nothing was thrown"];
      });`) as [name: string, holds: boolean, text: string][];
    assert.ok(results.length > 10);
    for (const [name, holds, text] of results) assert.ok(holds, `${name}: ${text}`);
  });

  test("a failure of the system is an instance of that realm's Error, with its code", async () => {
    const [holds, code, stopped] = newRealm()(`${SETUP}
      const app = zo.router({}, {});
      const server = createServer(app, zo, options);
      const stop = () => server.stop(true);
      try {
        createServer(app, zo, { ...options, port: server.port });
      } catch (error) {
        return [error instanceof Error && !(error instanceof TypeError), error.code, stop()];
      }
      return [false, "", stop()];`) as [boolean, string, Promise<void>];
    await stopped;
    assert.ok(holds);
    assert.equal(code, "EADDRINUSE");
  });

  test("what user code throws passes through as it is, also an error of another realm", () => {
    const [own, foreign] = newRealm()(`${SETUP}
      const fs = require("node:fs");
      const own = new RangeError("zocket.create: mine");
      const thrown = (call) => { try { call(); } catch (error) { return error; } };
      let met;
      const config = { get headers() { try { fs.readFileSync("/none"); } catch (error) { throw (met = error); } } };
      return [
        thrown(() => zocket.create({ get headers() { throw own; } })) === own,
        thrown(() => zocket.create(config)) === met && !(met instanceof Error),
      ];`) as boolean[];
    assert.ok(own);
    assert.ok(foreign, "the error of Node's own module");
  });

  test("what is made is plain there, its functions may be called alone, and all of it works", async (t) => {
    const [made, server, metrics] = newRealm()(`${SETUP}
      const middleware = () => {};
      const say = use(middleware).incoming({ payload: anything });
      const onSaid = outgoing({ payload: anything, slowClient: "latest" });
      const routes = { say, onSaid };
      const handlers = { say: ({ payload, ctx }) => ctx.send.onSaid(payload).to(ctx.clientId) };
      const { router } = zo;
      const app = router(routes, handlers);
      const isPlain = (value) => Object.getPrototypeOf(value) === Object.prototype;
      const server = createServer(app, zo, options);
      const { metrics } = server;
      return [
        {
          plain: [zo, zo.message, say, onSaid, app, metrics(), metrics().refused].every(isPlain),
          functions: [zocket.create, incoming, outgoing, use, router].every((it) => it instanceof Function),
          list: say._middlewares instanceof Array && say._middlewares[0] === middleware,
          kept: say.payload === anything && onSaid.slowClient === "latest" && zo.headersSchema === anything,
          router: app.routes === routes && app.handlers === handlers,
          keys: JSON.stringify([zo, zo.message, say, app].map((it) => Object.keys(it))),
        },
        server,
        metrics,
      ];`) as [Record<string, unknown>, { url: string; stop(): Promise<void> }, () => object];
    t.after(() => server.stop());
    assert.deepEqual(
      { ...made },
      {
        plain: true,
        functions: true,
        list: true,
        kept: true,
        router: true,
        keys: JSON.stringify([
          Object.keys(zo),
          ["incoming", "outgoing", "use"],
          ["payload", "_direction", "_middlewares"],
          ["routes", "handlers"],
        ]),
      },
    );
    const client = await Client.open(t, server.url);
    client.send("say", { text: "hello" });
    assert.deepEqual(await client.next(), { type: "onSaid", payload: { text: "hello" } });
    assert.equal((metrics() as { sent: number }).sent, 1);
  });

  test("an addon that does not load is told in the same words", () => {
    const text = newRealm()(`
      const known = process.env.NAPI_RS_NATIVE_LIBRARY_PATH;
      process.env.NAPI_RS_NATIVE_LIBRARY_PATH = __filename + ".missing.node";
      try {
        require("@zocket/core");
      } catch (error) {
        return error instanceof Error && error.code === "ADDON_NOT_LOADED" && error.message;
      } finally {
        if (known === undefined) delete process.env.NAPI_RS_NATIVE_LIBRARY_PATH;
        else process.env.NAPI_RS_NATIVE_LIBRARY_PATH = known;
      }`);
    assert.match(String(text), /^The native addon of @zocket\/core for \S+ is not installed/);
  });
});
