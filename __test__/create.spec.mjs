// `zocket.create` and the message builder: what they return, every way to use them wrongly, and what they leave in memory.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { createContext, runInContext } from "node:vm";
import { Worker } from "node:worker_threads";

import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";

import native from "../index.js";
import {
  NO_FUNCTIONS,
  NO_OBJECTS,
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

describe("zocket.create", () => {
  test("returns a plain object with the schema and the callbacks as given", () => {
    const onConnect = () => ({ userId: "1" });
    const onDisconnect = async () => {};
    const created = zocket.create({ headers: schema, onConnect, onDisconnect });
    assert.equal(Object.getPrototypeOf(created), Object.prototype);
    const keys = [
      "message",
      "router",
      "use",
      "bytes",
      "headersSchema",
      "onConnect",
      "onOpen",
      "onDisconnect",
    ];
    assert.deepEqual(Object.keys(created), keys);
    assert.equal(created.headersSchema, schema);
    assert.equal(created.onConnect, onConnect);
    assert.equal(created.onDisconnect, onDisconnect);
    assert.equal(Object.getPrototypeOf(created.message), Object.prototype);
    assert.deepEqual(Object.keys(created.message), ["incoming", "outgoing", "use"]);
  });

  test("takes callbacks that are left out or undefined as absent", () => {
    for (const config of [{ headers: schema }, { headers: schema, onConnect: undefined }]) {
      const created = zocket.create(config);
      assert.equal(created.onConnect, undefined);
      assert.equal(created.onDisconnect, undefined);
    }
  });

  test("takes the schemas of zod, valibot and arktype, callable ones too", () => {
    const arktype = type({ authorization: "string" });
    assert.equal(typeof arktype, "function");
    for (const headers of [
      z.object({ authorization: z.string() }),
      v.object({ authorization: v.string() }),
      arktype,
    ]) {
      assert.equal(zocket.create({ headers }).headersSchema, headers);
    }
  });

  test("reads a config whose properties are inherited", () => {
    class Config {
      get headers() {
        return schema;
      }
      onConnect() {}
    }
    assert.equal(zocket.create(new Config()).onConnect, Config.prototype.onConnect);
  });

  test("refuses a config that is no object", () => {
    const expected = "expected an object { headers, onConnect?, onOpen?, onDisconnect? }";
    assertTypeError(() => zocket.create(), `zocket.create: config: ${expected}, got undefined`);
    for (const [config, got] of NO_OBJECTS) {
      assertTypeError(
        () => zocket.create(config),
        `zocket.create: config: ${expected}, got ${got}`,
      );
    }
  });

  test("refuses headers that are missing or no Standard Schema", () => {
    const place = "zocket.create: config.headers";
    assertTypeError(() => zocket.create({}), `${place}: expected ${SCHEMA}, got undefined`);
    for (const [headers, got] of NO_SCHEMAS) {
      assertTypeError(() => zocket.create({ headers }), `${place}: expected ${SCHEMA}, got ${got}`);
    }
  });

  test("refuses an option that does not exist, and says which is near", () => {
    const wrong = (config, hint) => {
      const name = Object.keys(config).at(-1);
      const text = `zocket.create: config.${name}: unknown option; ${hint}`;
      assertTypeError(() => zocket.create({ headers: schema, ...config }), text);
    };
    wrong({ onconnect() {} }, "did you mean onConnect?");
    wrong({ onDisconect() {} }, "did you mean onDisconnect?");
    wrong({ onopen() {} }, "did you mean onOpen?");
    wrong({ onConnect() {}, context: undefined }, "did you mean onConnect?");
    const all = "expected one of headers, onConnect, onOpen, onDisconnect, transformer";
    wrong({ rooms: {} }, all);
    wrong({ tls: {} }, "createServer takes it");
    wrong({ ["__proto__"]: 1 }, all);
    const other = "zocket.create: config.header: unknown option; did you mean headers?";
    assertTypeError(() => zocket.create({ header: schema }), other);
    const hidden = Object.defineProperty({ headers: schema }, "rooms", { value: {} });
    for (const config of [{ headers: schema, [Symbol("rooms")]: {} }, hidden])
      zocket.create(config);
  });

  test("refuses callbacks that are no functions, null among them", () => {
    for (const name of ["onConnect", "onDisconnect"]) {
      for (const [callback, got] of NO_FUNCTIONS) {
        if (callback === undefined) continue;
        assertTypeError(
          () => zocket.create({ headers: schema, [name]: callback }),
          `zocket.create: config.${name}: expected a function, got ${got}`,
        );
      }
    }
  });
});

describe("the message builder", () => {
  test("makes plain message definitions", () => {
    assert.equal(Object.getPrototypeOf(message), Object.prototype);
    assert.deepEqual(message, { payload: schema, _direction: "in", _middlewares: [] });
    assert.equal(message.payload, schema);
    assert.equal(Object.getPrototypeOf(notice), Object.prototype);
    assert.deepEqual(notice, { payload: schema, _direction: "out" });
  });

  test("keeps what an outgoing message says of slow clients", () => {
    for (const slowClient of POLICIES) {
      const definition = outgoing({ payload: schema, slowClient });
      assert.deepEqual(definition, { payload: schema, _direction: "out", slowClient });
    }
    assert.deepEqual(outgoing({ payload: schema, slowClient: undefined }), notice);
    assert.deepEqual(incoming({ payload: schema, slowClient: undefined }), message);
  });

  test("keeps whether an outgoing message may be compressed, and refuses anything else", () => {
    for (const compress of [true, false]) {
      const definition = outgoing({ payload: schema, compress });
      assert.deepEqual(definition, { payload: schema, _direction: "out", compress });
      assertTypeError(
        () => incoming({ payload: schema, compress }),
        "zo.message.incoming: compress: only outgoing messages have a compress",
      );
    }
    assert.deepEqual(outgoing({ payload: schema, compress: undefined }), notice);
    for (const [compress, got] of [
      [null, "null"],
      [0, "0"],
      ["no", '"no"'],
    ]) {
      assertTypeError(
        () => outgoing({ payload: schema, compress }),
        `zo.message.outgoing: compress: expected true or false, got ${got}`,
      );
    }
  });

  test("refuses another word about slow clients, and any for an incoming message", () => {
    for (const [slowClient, got] of NO_POLICIES) {
      assertTypeError(
        () => outgoing({ payload: schema, slowClient }),
        `zo.message.outgoing: slowClient: expected ${POLICY}, got ${got}`,
      );
    }
    for (const slowClient of [...POLICIES, null, 1]) {
      for (const builder of [zo.message, use(handle)]) {
        assertTypeError(
          () => builder.incoming({ payload: schema, slowClient }),
          "zo.message.incoming: slowClient: only outgoing messages have a slowClient",
        );
      }
    }
  });

  test("adds a middleware to a new builder and leaves the old one as it was", () => {
    const [first, second, third] = [() => {}, async () => {}, () => ({})];
    const one = use(first);
    const two = one.use(second);
    const other = one.use(third);
    const middlewares = (builder) => builder.incoming({ payload: schema })._middlewares;
    assert.deepEqual(middlewares(zo.message), []);
    assert.deepEqual(middlewares(one), [first]);
    assert.deepEqual(middlewares(two), [first, second]);
    assert.deepEqual(middlewares(other), [first, third]);
    assert.deepEqual(two.outgoing({ payload: schema }), notice);
  });

  test("does not let a changed definition reach the builder", () => {
    const builder = use(handle);
    builder.incoming({ payload: schema })._middlewares.push(() => {});
    assert.deepEqual(builder.incoming({ payload: schema })._middlewares, [handle]);
  });

  test("has functions that work whatever `this` is", () => {
    const builder = use(handle);
    for (const receiver of [undefined, null, {}, [1, 2], "text"]) {
      const definition = builder.incoming.call(receiver, { payload: schema });
      assert.deepEqual(definition._middlewares, [handle]);
      assert.deepEqual(builder.outgoing.call(receiver, { payload: schema }), notice);
      const next = builder.use.call(receiver, handle).incoming({ payload: schema });
      assert.deepEqual(next._middlewares, [handle, handle]);
      assert.deepEqual(zo.router.call(receiver, { a: message }, {}).routes, { a: message });
      assert.equal(zocket.create.call(receiver, { headers: schema }).headersSchema, schema);
    }
  });

  test("refuses a definition that is no object or whose payload is no schema", () => {
    for (const name of ["incoming", "outgoing"]) {
      const place = `zo.message.${name}`;
      for (const [definition, got] of NO_OBJECTS) {
        assertTypeError(
          () => zo.message[name](definition),
          `${place}: expected an object { payload: schema }, got ${got}`,
        );
      }
      for (const [payload, got] of NO_SCHEMAS) {
        assertTypeError(
          () => zo.message[name]({ payload }),
          `${place}: payload: expected ${SCHEMA}, got ${got}`,
        );
      }
      for (const itself of [z.string(), z.object({ text: z.string() }), type("string")]) {
        assertTypeError(
          () => zo.message[name](itself),
          `${place}: expected an object { payload: schema }, got the schema itself`,
        );
      }
    }
  });

  test("refuses an option that does not exist, and says which is near", () => {
    for (const name of ["incoming", "outgoing"]) {
      const place = `zo.message.${name}`;
      for (const wrong of ["schema", "data", "Payload", "payloda"]) {
        const text = `${place}: ${wrong}: unknown option; did you mean payload?`;
        assertTypeError(() => zo.message[name]({ [wrong]: schema }), text);
        const both = { payload: schema, [wrong]: undefined };
        assertTypeError(() => zo.message[name](both), text);
      }
    }
    const definition = { payload: schema, description: "" };
    const text = "description: unknown option; expected";
    assertTypeError(
      () => incoming(definition),
      `zo.message.incoming: ${text} one of payload, reply, stream, errors`,
    );
    const all = `zo.message.outgoing: ${text} one of payload, slowClient, compress`;
    assertTypeError(() => outgoing(definition), all);
  });

  test("keeps how a message is answered", () => {
    const errors = { ROOM_FULL: schema, NOT_FOUND: schema };
    const call = incoming({ payload: schema, reply: schema, stream: schema, errors });
    assert.deepEqual(call, { ...message, reply: schema, stream: schema, errors });
    assert.deepEqual(incoming({ payload: schema, reply: undefined, errors: undefined }), message);
    const { _table } = zo.router({ call }, { call: handle });
    assert.deepEqual(_table.incoming[0], {
      name: "call",
      schema,
      reply: schema,
      stream: schema,
      errors,
      middlewares: [],
      handler: handle,
    });
  });

  test("refuses answers that are no schemas, and codes that are the library's own", () => {
    for (const [value, got] of NO_SCHEMAS) {
      if (value === undefined) continue;
      for (const name of ["reply", "stream"]) {
        assertTypeError(
          () => incoming({ payload: schema, [name]: value }),
          `zo.message.incoming: ${name}: expected ${SCHEMA}, got ${got}`,
        );
      }
      assertTypeError(
        () => incoming({ payload: schema, errors: { GONE: value } }),
        `zo.message.incoming: errors.GONE: expected ${SCHEMA}, got ${got}`,
      );
    }
    for (const [errors, got] of [...NO_OBJECTS.slice(1), [schema, "an object"]]) {
      assertTypeError(
        () => incoming({ payload: schema, errors }),
        `zo.message.incoming: errors: expected a plain object of schemas under their codes, got ${got}`,
      );
    }
    for (const code of ["TIMEOUT", "NO_ROUTE", "HANDLER_ERROR", "TOO_MANY_CALLS", "BAD_REPLY"]) {
      assertTypeError(
        () => incoming({ payload: schema, errors: { [code]: schema } }),
        `zo.message.incoming: errors: expected a code of your own, got "${code}"`,
      );
      assertTypeError(
        () => zo.router({ a: { ...message, errors: { [code]: schema } } }, {}),
        `zo.router: routes.a.errors: expected a code of your own, got "${code}"`,
      );
    }
  });

  test("refuses a middleware that is no function", () => {
    for (const [middleware, got] of NO_FUNCTIONS) {
      assertTypeError(
        () => use(middleware),
        `zo.message.use: expected a middleware (a function), got ${got}`,
      );
    }
  });
});

describe("memory and threads", () => {
  test("lets go of schemas, middlewares and callbacks with their builder", async () => {
    // Collected a few times with turns of the event loop between: Node-API frees functions in one of those.
    setFlagsFromString("--expose-gc");
    const collect = runInContext("gc", createContext());
    const watched = (() => {
      const values = [{ ...schema }, () => {}, () => {}, () => {}];
      const [headers, middleware, onConnect, handler] = values;
      const created = zocket.create({ headers, onConnect });
      const definition = created.message.use(middleware).incoming({ payload: headers });
      created.router({ a: definition }, { a: handler });
      return values.map((value) => new WeakRef(value));
    })();
    for (let round = 0; round < 10 && watched.some((ref) => ref.deref()); round++) {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
    }
    assert.deepEqual(
      watched.map((ref) => ref.deref()),
      [undefined, undefined, undefined, undefined],
    );
  });

  test("works in a worker and survives its early end", async () => {
    const code = `
      const { parentPort, workerData } = require("node:worker_threads");
      const { zocket } = require(workerData);
      const schema = { "~standard": { validate: (value) => ({ value }) } };
      const zo = zocket.create({ headers: schema, onConnect() {} });
      const a = zo.message.use(() => {}).incoming({ payload: schema });
      parentPort.postMessage(zo.router({ a }, { a() {} })._table.incoming.length);
      // The end comes in the middle of a call, with native frames on the stack.
      zo.router(new Proxy({}, { ownKeys() { for (;;); } }), {});
    `;
    const workerData = fileURLToPath(new URL("../index.js", import.meta.url));
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(code, { eval: true, workerData });
      const [count] = await new Promise((resolve, reject) => {
        worker.once("message", (...values) => resolve(values));
        worker.once("error", reject);
      });
      assert.equal(count, 1);
      await worker.terminate();
    }
  });
});
