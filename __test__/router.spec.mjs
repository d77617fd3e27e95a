// `zo.router`: the table it leaves, and every way to write routes and handlers wrongly.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createContext, runInContext } from "node:vm";

import { type } from "arktype";
import { z } from "zod";

import native from "../index.js";
import {
  NO_FUNCTIONS,
  NO_OBJECTS,
  NO_PLAIN_OBJECTS,
  NO_POLICIES,
  NO_SCHEMAS,
  POLICIES,
  POLICY,
  SCHEMA,
  assertTypeError,
  handle,
  schema,
} from "./_wrong.mjs";

const { zocket } = native;
const zo = zocket.create({ headers: schema });
const { incoming, outgoing, use } = zo.message;
const message = incoming({ payload: schema });
const notice = outgoing({ payload: schema });

/** The names in the flat table. */
function table(routes, handlers = {}) {
  const { incoming: into, outgoing: out } = zo.router(routes, handlers)._table;
  return { in: into.map((row) => row.name), out: out.map((row) => row.name) };
}

/** Routes `{ <key>: value }`, nested `depth` times. */
function nest(depth, value, key = "a") {
  for (let level = 0; level < depth; level++) value = { [key]: value };
  return value;
}

describe("zo.router", () => {
  test("returns routes and handlers as given and hides the table", () => {
    const routes = { chat: { message, onMessage: notice } };
    const handlers = { chat: { message: handle } };
    const router = zo.router(routes, handlers);
    assert.equal(Object.getPrototypeOf(router), Object.prototype);
    assert.equal(router.routes, routes);
    assert.equal(router.handlers, handlers);
    assert.deepEqual(Object.keys(router), ["routes", "handlers"]);
    assert.deepEqual(Object.getOwnPropertyNames(router), ["routes", "handlers", "_table"]);
    assert.ok(!Object.isFrozen(routes) && !Object.isFrozen(handlers) && !Object.isFrozen(message));
    assert.deepEqual(router, { routes: { chat: { message, onMessage: notice } }, handlers });
  });

  test("numbers the incoming routes that have a handler and all outgoing routes", () => {
    const middleware = () => {};
    const guarded = use(middleware).incoming({ payload: schema });
    const routes = {
      ping: message,
      chat: { message: guarded, onMessage: notice, room: { join: message, onJoin: notice } },
      left: message,
    };
    const join = async () => {};
    const handlers = { chat: { room: { join }, message: handle }, ping: handle };
    assert.deepEqual(zo.router(routes, handlers)._table, {
      incoming: [
        { name: "ping", schema, middlewares: [], handler: handle },
        { name: "chat.message", schema, middlewares: [middleware], handler: handle },
        { name: "chat.room.join", schema, middlewares: [], handler: join },
      ],
      outgoing: [{ name: "chat.onMessage" }, { name: "chat.room.onJoin" }],
      missing: ["left"],
    });
  });

  test("keeps what outgoing routes say of slow clients in their rows", () => {
    const state = outgoing({ payload: schema, slowClient: "latest" });
    const routes = { notice, game: { state, room: { tick: { ...notice, slowClient: "drop" } } } };
    const { _table } = zo.router(routes, {});
    state.slowClient = "drop";
    assert.deepEqual(_table.outgoing, [
      { name: "notice" },
      { name: "game.state", slowClient: "latest" },
      { name: "game.room.tick", slowClient: "drop" },
    ]);
  });

  test("refuses another word about slow clients, and any of an incoming route", () => {
    for (const [slowClient, got] of NO_POLICIES) {
      assertTypeError(
        () => zo.router({ game: { state: { ...notice, slowClient } } }, {}),
        `zo.router: routes.game.state.slowClient: expected ${POLICY}, got ${got}`,
      );
    }
    for (const slowClient of [...POLICIES, null]) {
      assertTypeError(
        () => zo.router({ chat: { message: { ...message, slowClient } } }, {}),
        "zo.router: routes.chat.message.slowClient: only outgoing messages have a slowClient",
      );
    }
  });

  test("keeps what outgoing routes say of compression in their rows", () => {
    const secret = outgoing({ payload: schema, compress: false });
    const routes = { secret, open: { ...notice, compress: true, slowClient: "drop" } };
    const { _table } = zo.router(routes, {});
    assert.deepEqual(_table.outgoing, [
      { name: "secret", compress: false },
      { name: "open", slowClient: "drop", compress: true },
    ]);
    assertTypeError(
      () => zo.router({ a: { ...notice, compress: 1 } }, {}),
      "zo.router: routes.a.compress: expected true or false, got 1",
    );
    assertTypeError(
      () => zo.router({ a: { ...message, compress: false } }, {}),
      "zo.router: routes.a.compress: only outgoing messages have a compress",
    );
  });

  test("keeps the table apart from what is changed afterwards", () => {
    const definition = incoming({ payload: schema });
    const handlers = { a: handle };
    const { _table } = zo.router({ a: definition }, handlers);
    definition._middlewares.push(() => {});
    handlers.a = undefined;
    assert.deepEqual(_table.incoming, [{ name: "a", schema, middlewares: [], handler: handle }]);
  });

  test("lets handlers be left out, or be undefined", () => {
    const routes = { a: message, b: notice, c: { d: message, e: notice } };
    const out = ["b", "c.e"];
    assert.deepEqual(table(routes), { in: [], out });
    assert.deepEqual(table(routes, { a: undefined, b: undefined, x: undefined }), { in: [], out });
    assert.deepEqual(table(routes, { c: undefined }), { in: [], out });
    assert.deepEqual(table(routes, { c: { d: undefined, e: undefined } }), { in: [], out });
    assert.deepEqual(table(routes, { c: { d: handle } }), { in: ["c.d"], out });
  });

  test("takes empty groups, one definition at two paths and copies of definitions", () => {
    assert.deepEqual(table({}), { in: [], out: [] });
    assert.deepEqual(table({ a: {}, b: { c: {} } }, { a: {}, b: { c: {} } }), { in: [], out: [] });
    const group = { x: message, y: { ...notice } };
    const handlers = { a: { x: handle }, b: { x: handle } };
    const names = { in: ["a.x", "b.x"], out: ["a.y", "b.y"] };
    assert.deepEqual(table({ a: group, b: group }, handlers), names);
  });

  test("takes integer-like, odd and long keys", () => {
    const keys = ["7", "1", "a b", "~", "é", "\u{1F600}", "nul\0", "a$", "x".repeat(1_024)];
    const routes = Object.fromEntries(keys.map((key) => [key, message]));
    const handlers = Object.fromEntries(keys.map((key) => [key, handle]));
    assert.deepEqual(table(routes, handlers).in, Object.keys(routes));
    const surrogates = "\u{1F600}".repeat(256);
    assert.deepEqual(table({ [surrogates]: notice }).out, [surrogates]);
  });

  test("takes routes called payload, _direction and _middlewares", () => {
    const routes = {
      payload: message,
      _direction: { payload: notice, _direction: message, _middlewares: { "~standard": notice } },
    };
    const handlers = { payload: handle, _direction: { _direction: handle } };
    assert.deepEqual(table(routes, handlers), {
      in: ["payload", "_direction._direction"],
      out: ["_direction.payload", "_direction._middlewares.~standard"],
    });
  });

  test("treats names of Object.prototype like any other and pollutes nothing", () => {
    const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];
    const own = (value) => Object.fromEntries(names.map((name) => [name, value]));
    assert.deepEqual(table(own(message), own(handle)).in, names);
    assert.deepEqual(table(own(message)).in, []);
    assert.deepEqual(
      table(own({ a: notice })).out,
      names.map((name) => `${name}.a`),
    );
    assertTypeError(
      () => zo.router({}, own(handle)),
      'zo.router: handlers.__proto__: expected the name of an incoming route, got "__proto__"',
    );
    assert.equal({}.a, undefined);
  });

  test("reads own enumerable string keys only, each once", () => {
    let reads = 0;
    const routes = Object.defineProperties(
      {
        [Symbol("route")]: 1,
        get a() {
          return (reads++, message);
        },
      },
      { hidden: { value: 1, enumerable: false } },
    );
    const handlers = Object.defineProperties(
      {
        [Symbol("handler")]: 1,
        get a() {
          return (reads++, handle);
        },
      },
      { hidden: { value: 1, enumerable: false } },
    );
    assert.deepEqual(table(routes, handlers).in, ["a"]);
    assert.equal(reads, 2);
    Object.prototype.polluted = message;
    Object.prototype._direction = "in";
    try {
      assert.deepEqual(table({ a: message, b: {} }, { a: handle }).in, ["a"]);
    } finally {
      delete Object.prototype.polluted;
      delete Object.prototype._direction;
    }
  });

  test("takes objects without a prototype, module namespaces, proxies and other realms", async () => {
    const bare = Object.assign(Object.create(null), { a: message });
    assert.deepEqual(table(bare, Object.assign(Object.create(null), { a: handle })).in, ["a"]);
    const code =
      "export const a = { payload: { '~standard': { validate() {} } }, _direction: 'out' };";
    const module = await import(`data:text/javascript,${encodeURIComponent(code)}`);
    assert.deepEqual(table({ module }).out, ["module.a"]);
    const proxy = (target) => new Proxy(target, {});
    const proxied = proxy({ a: proxy({ b: proxy(message) }) });
    assert.deepEqual(table(proxied, proxy({ a: { b: proxy(handle) } })).in, ["a.b"]);
    const realm = createContext({ message });
    assert.deepEqual(
      table(...runInContext("[{ a: { message } }, { a: { message() {} } }]", realm)).in,
      ["a.message"],
    );
  });

  test("refuses routes that are no plain object", () => {
    assertTypeError(
      () => zo.router(),
      "zo.router: routes: expected a plain object of routes, got undefined",
    );
    for (const [routes, got] of NO_PLAIN_OBJECTS) {
      assertTypeError(
        () => zo.router(routes, {}),
        `zo.router: routes: expected a plain object of routes, got ${got}`,
      );
    }
  });

  test("refuses a leaf that is neither message nor nested routes", () => {
    for (const [leaf, got] of NO_PLAIN_OBJECTS) {
      assertTypeError(
        () => zo.router({ a: { b: leaf } }, {}),
        `zo.router: routes.a.b: expected a message definition or a plain object of nested routes, got ${got}`,
      );
    }
  });

  test("refuses a schema that stands where its message should", () => {
    for (const leaf of [schema, z.string(), type("string")]) {
      assertTypeError(
        () => zo.router({ a: { b: leaf } }, {}),
        "zo.router: routes.a.b: expected a message definition, got a schema; " +
          "wrap it: zo.message.incoming({ payload: schema })",
      );
    }
  });

  test("refuses definitions that were tampered with", () => {
    assertTypeError(
      () => zo.router({ a: { b: { ...message, _direction: "sideways" } } }, {}),
      'zo.router: routes.a.b._direction: expected "in" or "out", got "sideways"',
    );
    assertTypeError(
      () => zo.router({ a: { ...message, _direction: undefined } }, {}),
      "zo.router: routes.a.payload: expected a message definition, got a schema; " +
        "wrap it: zo.message.incoming({ payload: schema })",
    );
    for (const definition of [message, notice]) {
      for (const [payload, got] of NO_SCHEMAS) {
        assertTypeError(
          () => zo.router({ a: { ...definition, payload } }, {}),
          `zo.router: routes.a.payload: expected ${SCHEMA}, got ${got}`,
        );
      }
    }
    for (const [middlewares, got] of [
      ...NO_OBJECTS,
      [[handle, 1], "an array"],
      [Array(1), "an array"],
    ]) {
      if (Array.isArray(middlewares) && middlewares.length === 0) continue;
      assertTypeError(
        () => zo.router({ a: { ...message, _middlewares: middlewares } }, {}),
        `zo.router: routes.a._middlewares: expected an array of functions, got ${got}`,
      );
    }
  });

  test("refuses keys that are empty, hold a dot or start with $", () => {
    for (const key of ["", ".", "a.b", "$", "$error", "a.".repeat(1_000)]) {
      for (const value of [message, notice, {}]) {
        const got = JSON.stringify(key.length > 120 ? `${key.slice(0, 120)}…` : key);
        const rule = "expected a key that is not empty, has no dot and does not start with $";
        assertTypeError(
          () => zo.router({ [key]: value }, {}),
          `zo.router: routes: ${rule}, got ${got}`,
        );
        assertTypeError(
          () => zo.router({ a: { b: { [key]: value } } }, {}),
          `zo.router: routes.a.b: ${rule}, got ${got}`,
        );
        assertTypeError(
          () => zo.router({ a: { b: message } }, { a: { [key]: handle } }),
          `zo.router: handlers.a: ${rule}, got ${got}`,
        );
      }
    }
  });

  test("refuses keys with lone surrogates", () => {
    assertTypeError(
      () => zo.router({ a: { "b\ud800": message } }, {}),
      'zo.router: routes.a: expected a key without lone surrogates, got "b\ufffd"',
    );
    assertTypeError(
      () => zo.router({}, { "\udc00": handle }),
      'zo.router: handlers: expected a key without lone surrogates, got "\ufffd"',
    );
  });

  test("refuses a handler without an incoming route", () => {
    const routes = { chat: { message, onMessage: notice, empty: {} } };
    for (const [handlers, path] of [
      [{ chat: { mesage: handle } }, "chat.mesage"],
      [{ chat: { message: handle, mesage: null } }, "chat.mesage"],
      [{ chat: { empty: { a: handle } } }, "chat.empty.a"],
      [{ chatt: { message: handle } }, "chatt"],
      [{ chat: { message: handle, constructor: handle } }, "chat.constructor"],
    ]) {
      assertTypeError(
        () => zo.router(routes, handlers),
        `zo.router: handlers.${path}: expected the name of an incoming route, got ${JSON.stringify(path)}`,
      );
    }
  });

  test("refuses a handler for an outgoing route", () => {
    for (const handler of [handle, null, {}]) {
      assertTypeError(
        () => zo.router({ chat: { onMessage: notice } }, { chat: { onMessage: handler } }),
        'zo.router: handlers.chat.onMessage: "chat.onMessage" is an outgoing route; only incoming routes have handlers',
      );
    }
  });

  test("refuses a handler that is no function, nested handlers among them", () => {
    for (const [handler, got] of [...NO_FUNCTIONS, [{ message: handle }, "an object"]]) {
      if (handler === undefined) continue;
      assertTypeError(
        () => zo.router({ chat: { message } }, { chat: { message: handler } }),
        `zo.router: handlers.chat.message: expected a handler (a function), got ${got}`,
      );
    }
  });

  test("refuses handlers that are no plain object, a function for a group among them", () => {
    assertTypeError(
      () => zo.router({ a: message }),
      "zo.router: handlers: expected a plain object of handlers, got undefined",
    );
    for (const [handlers, got] of NO_PLAIN_OBJECTS) {
      const expected = `expected a plain object of handlers, got ${got}`;
      assertTypeError(() => zo.router({}, handlers), `zo.router: handlers: ${expected}`);
      if (handlers === undefined) continue;
      assertTypeError(
        () => zo.router({ a: { b: { c: message } } }, { a: { b: handlers } }),
        `zo.router: handlers.a.b: ${expected}`,
      );
    }
  });

  test("refuses routes that contain themselves or nest too deep", () => {
    const loop = { message };
    loop.deeper = { loop };
    assert.throws(() => zo.router(loop, {}), {
      name: "TypeError",
      message:
        /^zo\.router: routes\.deeper\.loop\..*….* at most 64 levels of nesting, got more; do the routes contain themselves\?$/,
    });
    assert.deepEqual(table(nest(65, message)), { in: [], out: [] });
    assert.equal(table(nest(65, notice)).out[0].split(".").length, 65);
    assert.throws(() => zo.router(nest(66, message), {}), /at most 64 levels/);
    const handlers = {};
    handlers.a = handlers;
    assert.throws(() => zo.router(nest(65, message), handlers), TypeError);
  });

  test("refuses names over 1,024 bytes and routes beyond 65,536", () => {
    const place = `zo.router: routes.${"x".repeat(120)}…`;
    for (const value of [message, notice, {}]) {
      assertTypeError(
        () => zo.router({ ["x".repeat(1_025)]: value }, {}),
        `${place}: expected a path of at most 1024 bytes, got 1025`,
      );
    }
    assert.throws(
      () => zo.router({ ["é".repeat(512)]: { a: notice } }, {}),
      /at most 1024 bytes, got 1026/,
    );
    const many = (count, value) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`r${index}`, value]));
    const routes = { a: many(32_768, message), b: many(32_768, notice) };
    assert.equal(table(routes).out.length, 32_768);
    routes.b.another = notice;
    assertTypeError(
      () => zo.router(routes, {}),
      "zo.router: routes: expected at most 65536 routes, got more",
    );
    let shared = {};
    for (let level = 0; level < 60; level++) shared = { left: shared, right: shared };
    assertTypeError(
      () => zo.router(shared, {}),
      "zo.router: routes: expected at most 65536 groups, got more",
    );
  });
});

describe("user code that throws", () => {
  const traps = ["get", "has", "ownKeys", "getOwnPropertyDescriptor"];
  const calls = [
    ["zocket.create", (value) => zocket.create(value)],
    ["a headers schema", (value) => zocket.create({ headers: value })],
    ["zo.message.incoming", (value) => incoming(value)],
    ["an outgoing payload", (value) => outgoing({ payload: value })],
    ["routes", (value) => zo.router(value, {})],
    ["nested routes", (value) => zo.router({ a: value }, {})],
    ["handlers", (value) => zo.router({ a: message }, value)],
    ["nested handlers", (value) => zo.router({ a: { a: message } }, { a: value })],
  ];

  test("passes its own error on, whatever it is", () => {
    for (const thrown of [new RangeError("mine"), "text", undefined, null, { code: 1 }]) {
      const fail = () => {
        throw thrown;
      };
      const handler = Object.fromEntries(traps.map((trap) => [trap, fail]));
      for (const [name, call] of calls) {
        let caught = "nothing";
        try {
          call(new Proxy({ a: 1 }, handler));
        } catch (error) {
          caught = error;
        }
        assert.equal(caught, thrown, name);
      }
    }
  });

  test("passes on what each single getter throws", () => {
    const mine = new RangeError("mine");
    const get = () => {
      throw mine;
    };
    const throwing = (key, rest) =>
      Object.defineProperty({ ...rest }, key, { enumerable: true, get });
    const _middlewares = Object.defineProperty([], 0, { get });
    for (const call of [
      () => zocket.create(throwing("headers")),
      () => zocket.create({ headers: throwing("~standard") }),
      () => zocket.create({ headers: { "~standard": throwing("validate") } }),
      () => zocket.create(throwing("onConnect", { headers: schema })),
      () => zocket.create(throwing("onDisconnect", { headers: schema })),
      () => incoming(throwing("payload")),
      () => outgoing(throwing("payload")),
      () => incoming(throwing("slowClient", { payload: schema })),
      () => outgoing(throwing("slowClient", { payload: schema })),
      () => zo.router({ a: throwing("slowClient", message) }, {}),
      () => zo.router({ a: throwing("slowClient", notice) }, {}),
      () => zo.router(throwing("a"), {}),
      () => zo.router({ a: throwing("b") }, {}),
      () => zo.router({ a: throwing("payload", message) }, {}),
      () => zo.router({ a: throwing("_direction", message) }, {}),
      () => zo.router({ a: throwing("_middlewares", message) }, {}),
      () => zo.router({ a: { ...message, _middlewares } }, {}),
      () => zo.router({ a: message }, throwing("a")),
      () => zo.router({ a: { b: message } }, { a: throwing("b") }),
    ]) {
      assert.throws(call, (error) => error === mine);
    }
  });

  test("survives a revoked proxy", () => {
    for (const [, call] of calls) {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      assert.throws(() => call(proxy), TypeError);
    }
  });
});
