// What goes wrong with a message: every code of `$error` with its shape, and what `onError` is told.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer } from "@zocket/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";

import { listen, listenTo } from "./_chat.ts";
import {
  anything,
  incoming,
  keys,
  raise,
  reply,
  schema,
  serve,
  syncHandlers,
  Talker,
  zo,
  syncRoutes,
} from "./_talk.ts";

describe("BAD_MESSAGE", () => {
  const bad: [what: string, data: string | Uint8Array][] = [
    ["an empty message", ""],
    ["white space", "  "],
    ["text that is not JSON", "hello"],
    ["JSON that is cut off", '{"type":"chat.say","payload":{"a":'],
    ["two JSON values", '{"type":"chat.say"}{"type":"chat.say"}'],
    ["a comma too many", '{"type":"chat.say","payload":1,}'],
    ["a payload that is not JSON", '{"type":"chat.say","payload":NaN}'],
    ["a raw control character in a string", '{"type":"chat.say","payload":"\u0001"}'],
    ["a number with a leading zero", '{"type":"chat.say","payload":01}'],
    ["a byte order mark", '\ufeff{"type":"chat.say"}'],
    ["an array", '["chat.say",1]'],
    ["null", "null"],
    ["a number", "42"],
    ["a string", '"chat.say"'],
    ["true", "true"],
    ["an object without a type", '{"payload":1}'],
    ["an empty object", "{}"],
    ["a type that only its __proto__ has", '{"__proto__":{"type":"chat.say"},"payload":1}'],
    ["a type of another case", '{"Type":"chat.say"}'],
    ["a type that is null", '{"type":null}'],
    ["a type that is a number", '{"type":1}'],
    ["a type that is an array of the name", '{"type":["chat.say"]}'],
    ["a type that is an object", '{"type":{"toString":"chat.say"}}'],
    ["a doubled type", '{"type":"chat.say","type":"chat.say"}'],
    ["a type doubled by an escape", String.raw`{"type":"chat.say","\u0074ype":"chat.say"}`],
    [
      "a payload doubled by an escape",
      String.raw`{"payload":1,"type":"chat.say","p\u0061yload":1}`,
    ],
    ["a payload doubled with null", '{"type":"chat.say","payload":null,"payload":1}'],
    ["a doubled payload", '{"type":"chat.say","payload":1,"payload":1}'],
    ["invalid UTF-8 in a binary frame", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])],
    [
      "a surrogate encoded in UTF-8 in a binary frame",
      Buffer.concat([
        Buffer.from('{"type":"chat.say","payload":"'),
        Buffer.from([0xed, 0xa0, 0x80]),
        Buffer.from('"}'),
      ]),
    ],
    ["binary data that is no text", Buffer.from([0, 1, 2, 3])],
    ["brackets nested deep and never closed", "[".repeat(100_000)],
  ];
  for (const [what, data] of bad) {
    test(`${what}: an $error to the sender, a word to onError, and nothing else`, async (t) => {
      const { url, handled, problems, server } = listen(t);
      const talker = await Talker.meet(t, url);
      talker.raw(data);
      const payload = await reply(talker);
      assert.deepEqual(keys(payload), ["code", "message"]);
      assert.equal(payload.code, "BAD_MESSAGE");
      const { error, info } = await problems.next();
      assert.ok(error instanceof Error);
      assert.deepEqual({ ...info }, { code: "BAD_MESSAGE", clientId: talker.id });

      talker.say("chat.say", "still here");
      assert.equal(await handled.next(), "still here");
      assert.deepEqual(await talker.sync(), []);
      assert.deepEqual(problems.drain(), []);
      assert.deepEqual(server.metrics().bad, { BAD_MESSAGE: 1 });
    });
  }
});

test("a binary frame gets the same replies, in text frames, as a text frame", async (t) => {
  const { url } = listenTo(
    t,
    ({ payload }) => raise(payload),
    ({ payload }) => {
      if (payload === "reject") raise(payload);
    },
  );
  const talker = await Talker.meet(t, url);
  const sent = [
    "[]",
    '{"type":"nowhere"}',
    '{"type":"chat.say","payload":"reject"}',
    '{"type":"chat.say","payload":"handle"}',
  ];
  const replies: unknown[] = [];
  for (const asBytes of [false, true]) {
    for (const text of sent) {
      talker.raw(asBytes ? Buffer.from(text) : text);
      replies.push(await reply(talker));
    }
  }
  assert.deepEqual(replies.slice(4), replies.slice(0, 4));
  const codes = replies.slice(4).map((it) => (it as { code: string }).code);
  assert.deepEqual(codes, ["BAD_MESSAGE", "NO_ROUTE", "REJECTED", "HANDLER_ERROR"]);
});

describe("NO_ROUTE", () => {
  const names: [what: string, name: string][] = [
    ["a route nobody made", "chat.sing"],
    ["an outgoing route", "chat.onSaid"],
    ["a route without a handler", "chat.mute"],
    ["a group of routes", "chat"],
    ["a name below a route", "chat.say.loud"],
    ["a name with a dot too many", "chat..say"],
    ["a route in other case", "Chat.say"],
    ["the empty name", ""],
    ["$error", "$error"],
    ["a name of the library's that does not exist", "$close"],
    ["__proto__", "__proto__"],
    ["constructor", "constructor"],
    ["toString", "toString"],
    ["chat.__proto__", "chat.__proto__"],
    ["chat.constructor", "chat.constructor"],
    ["a name with quotes and a NUL", 'a"\\\u0000'],
    ["a name with lone surrogates", "\udc00a\ud800"],
    ["a long name", "x".repeat(1_024)],
  ];
  for (const [what, name] of names) {
    test(`${what}: an $error that names the route`, async (t) => {
      const { url, handled, problems, server } = listen(t);
      const talker = await Talker.meet(t, url);
      talker.say(name, { text: "hi" });
      const payload = await reply(talker);
      assert.deepEqual(keys(payload), ["code", "message", "route"]);
      assert.equal(payload.code, "NO_ROUTE");
      const { error, info } = await problems.next();
      assert.ok(error instanceof Error);
      assert.equal(info.code, "NO_ROUTE");
      assert.equal(info.clientId, talker.id);
      assert.equal(info.route, payload.route);
      assert.equal(payload.route, name);
      assert.deepEqual(await talker.sync(), []);
      assert.deepEqual(handled.drain(), []);
      assert.deepEqual(problems.drain(), []);
      assert.deepEqual(server.metrics().bad, { NO_ROUTE: 1 });
    });
  }

  test("a name without end: an $error that names its start", async (t) => {
    const { url, problems } = listen(t);
    const talker = await Talker.meet(t, url);
    talker.say("x".repeat(100_000), { text: "hi" });
    const told = `${"x".repeat(1_024)}…`;
    assert.equal((await reply(talker)).route, told);
    assert.equal((await problems.next()).info.route, told);
    // Half a surrogate pair at its start is no text that could be cut.
    talker.socket.send(`{"type":"\\ud800${"x".repeat(100_000)}"}`);
    assert.deepEqual(keys(await reply(talker)), ["code", "message"]);
    assert.equal((await problems.next()).info.route, undefined);
  });

  test("a handler is not found on the prototype of the handlers", async (t) => {
    const routes = {
      ...syncRoutes,
      constructor: incoming({ payload: anything }),
      toString: incoming({ payload: anything }),
    };
    const app = zo.router(routes, syncHandlers as never);
    const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    talker.say("constructor", 1);
    assert.equal((await reply(talker)).code, "NO_ROUTE");
    talker.say("toString", 1);
    assert.equal((await reply(talker)).code, "NO_ROUTE");
  });
});

describe("INVALID_PAYLOAD", () => {
  const schemas: [string, StandardSchemaV1][] = [
    ["zod", z.object({ text: z.string() })],
    ["valibot", v.object({ text: v.string() })],
    ["arktype", type({ text: "string" })],
    ["an asynchronous zod schema", z.object({ text: z.string().refine(async () => true) })],
  ];
  for (const [library, payload] of schemas) {
    test(`${library}: the sender gets the issues, with their messages and paths`, async (t) => {
      const { url, handled, problems, server } = listen(t, payload);
      const talker = await Talker.meet(t, url);
      talker.say("chat.say", { text: 1 });
      const answer = await reply(talker);
      assert.deepEqual(keys(answer), ["code", "issues", "message", "route"]);
      assert.deepEqual([answer.code, answer.route], ["INVALID_PAYLOAD", "chat.say"]);
      assert.equal(answer.issues?.length, 1);
      assert.notEqual(answer.issues?.[0]?.message ?? "", "");
      const [segment] = answer.issues?.[0]?.path ?? [];
      assert.equal(
        segment instanceof Object ? (segment as { key?: unknown }).key : segment,
        "text",
      );

      const { info } = await problems.next();
      const expected = { code: "INVALID_PAYLOAD", clientId: talker.id, route: "chat.say" };
      assert.deepEqual({ ...info }, expected);
      talker.say("chat.say", { text: "right" });
      assert.deepEqual(await handled.next(), { text: "right" });
      assert.deepEqual(await talker.sync(), []);
      assert.deepEqual(problems.drain(), []);
      assert.deepEqual(server.metrics().bad, { INVALID_PAYLOAD: 1 });
    });
  }

  const faulty: [string, () => unknown, unknown][] = [];
  const secret = new Error("secret");
  const rejecting = () => Promise.reject(secret);
  faulty.push(["throws", () => raise(secret), secret]);
  faulty.push(["rejects", rejecting, secret]);
  faulty.push(["throws no Error", () => raise("secret"), "secret"]);
  faulty.push(["throws undefined", () => raise(undefined), undefined]);
  for (const [what, validate, thrown] of faulty) {
    test(`a schema that ${what}: an $error without issues, what was thrown to onError`, async (t) => {
      const { url, handled, problems } = listen(t, schema(validate));
      const talker = await Talker.meet(t, url);
      talker.say("chat.say", 1);
      const answer = await reply(talker);
      assert.deepEqual(keys(answer), ["code", "message", "route"]);
      assert.deepEqual([answer.code, answer.route], ["INVALID_PAYLOAD", "chat.say"]);
      assert.doesNotMatch(answer.message, /secret/);
      const { error, info } = await problems.next();
      assert.equal(error, thrown);
      const expected = { code: "INVALID_PAYLOAD", clientId: talker.id, route: "chat.say" };
      assert.deepEqual({ ...info }, expected);
      assert.deepEqual(await talker.sync(), []);
      assert.deepEqual(handled.drain(), []);
      assert.deepEqual(problems.drain(), []);
    });
  }

  test("a schema that returns no result is one that failed", async (t) => {
    const results = [undefined, null, 1];
    let index = 0;
    const { url, handled, problems } = listen(
      t,
      schema(() => results[index++]),
    );
    const talker = await Talker.meet(t, url);
    for (const _ of results) {
      talker.say("chat.say", 1);
      assert.equal((await reply(talker)).code, "INVALID_PAYLOAD");
      assert.equal((await problems.next()).info.code, "INVALID_PAYLOAD");
    }
    assert.deepEqual(handled.drain(), []);
  });

  test("issues that JSON cannot hold do not keep the reply from the sender", async (t) => {
    const cycle: Record<string, unknown> = { message: "no" };
    cycle["self"] = cycle;
    const path = [{ key: "a" }, "b", 0, Symbol("c")];
    const issues = [cycle, { message: "big", input: 1n }, { message: "path", path }];
    const { url } = listen(
      t,
      schema(() => ({ issues })),
    );
    const talker = await Talker.meet(t, url);
    talker.say("chat.say", 1);
    const answer = await reply(talker);
    assert.equal(answer.code, "INVALID_PAYLOAD");
    assert.deepEqual(await talker.sync(), []);
  });
});

const secrets: [what: string, thrown: unknown][] = [
  ["an Error", new Error("secret")],
  ["an Error with code, status and cause", Object.assign(new Error("secret"), { status: 418 })],
  ["a string", "secret"],
  ["undefined", undefined],
  ["null", null],
  ["a symbol", Symbol("secret")],
  ["a frozen object", Object.freeze({ message: "secret", toString: null })],
  ["an object without prototype", Object.create(null)],
  ["an object whose properties throw", new Proxy({}, { get: () => raise(new Error("secret")) })],
];

for (const [code, place] of [
  ["REJECTED", "middleware"],
  ["HANDLER_ERROR", "handler"],
] as const) {
  describe(code, () => {
    for (const [what, thrown] of secrets) {
      for (const manner of ["throws", "rejects with"] as const) {
        test(`a ${place} that ${manner} ${what}: onError gets that, the sender no word of it`, async (t) => {
          let handled = 0;
          const fail = () => (manner === "throws" ? raise(thrown) : Promise.reject(thrown));
          const { url, problems, server } =
            place === "handler" ? listenTo(t, fail) : listenTo(t, () => handled++, fail);
          const talker = await Talker.meet(t, url);
          talker.say("chat.say", "hi");
          const answer = await reply(talker);
          assert.deepEqual(keys(answer), ["code", "message", "route"]);
          assert.deepEqual([answer.code, answer.route], [code, "chat.say"]);
          assert.doesNotMatch(JSON.stringify(answer), /secret/);
          const { error, info } = await problems.next();
          assert.ok(Object.is(error, thrown));
          assert.deepEqual({ ...info }, { code, clientId: talker.id, route: "chat.say" });
          assert.deepEqual(await talker.sync(), []);
          assert.deepEqual(problems.drain(), []);
          assert.equal(handled, 0);
          assert.deepEqual(server.metrics().bad, { [code]: 1 });
        });
      }
    }
  });
}
