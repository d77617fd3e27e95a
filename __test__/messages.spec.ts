// A message's way in, up to the handler: frames, every code of `$error`, what `onError` is told, payloads.
// Clients: `ws`, and Python's `websockets` and undici's WebSocket where it is about frames.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { describe, test, type TestContext } from "node:test";

import { createServer, zocket, type ServerOptions } from "@zocket/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { type } from "arktype";
import { WebSocket as UndiciWebSocket } from "undici";
import * as v from "valibot";
import { z } from "zod";

import {
  anything,
  HARD_STRINGS,
  incoming,
  keys,
  outgoing,
  Queue,
  schema,
  serve,
  syncHandlers,
  syncRoutes,
  Talker,
  within,
  zo,
  type ErrorReply,
} from "./_talk.ts";

const MIB = 1024 * 1024;

/** A server with one route `chat.say`, whose handler keeps what it gets. */
function listen(t: TestContext, payload: StandardSchemaV1 = anything, options: ServerOptions = {}) {
  const handled = new Queue<unknown>("the handler");
  const routes = {
    ...syncRoutes,
    chat: {
      say: incoming({ payload }),
      mute: incoming({ payload: anything }),
      onSaid: outgoing({ payload: anything }),
    },
  };
  const app = zo.router(routes, {
    ...syncHandlers,
    chat: { say: ({ payload }) => handled.push(payload) },
  });
  const started = serve(t, (onError) => createServer(app, zo, { port: 0, onError, ...options }));
  return { ...started, url: started.server.url, handled };
}

/** A server whose `chat.say` does what the test wants to go wrong. */
function listenTo(t: TestContext, handler: () => unknown, middleware: () => unknown = () => {}) {
  const builder = zo.message.use(middleware as () => void);
  const routes = { ...syncRoutes, chat: { say: builder.incoming({ payload: anything }) } };
  const app = zo.router(routes, {
    ...syncHandlers,
    chat: { say: handler as () => void },
  });
  const started = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
  return { ...started, url: started.server.url };
}

async function reply(talker: Talker): Promise<ErrorReply> {
  const payload = (await talker.expect("$error")) as ErrorReply;
  assert.equal(typeof payload.message, "string");
  assert.notEqual(payload.message, "");
  return payload;
}

describe("a message's frames", () => {
  test("a text frame of JSON reaches the handler of its route", async (t) => {
    const { url, handled } = listen(t);
    const talker = await Talker.open(t, url);
    talker.raw('{"type":"chat.say","payload":{"text":"hi","n":[1,2.5,-3e2,true,null]}}');
    assert.deepEqual(await handled.next(), { text: "hi", n: [1, 2.5, -300, true, null] });
  });

  test("a binary frame that holds the same text is taken too", async (t) => {
    const { url, handled } = listen(t);
    const talker = await Talker.open(t, url);
    talker.raw(Buffer.from('{"type":"chat.say","payload":"naïve 😀"}'));
    assert.equal(await handled.next(), "naïve 😀");
  });

  test("a message in many fragments is one message, wherever a character is cut", async (t) => {
    const { url, handled } = listen(t);
    const talker = await Talker.open(t, url);
    const bytes = Buffer.from('{"type":"chat.say","payload":"é漢😀"}');
    for (const binary of [false, true]) {
      for (const [index, byte] of bytes.entries()) {
        talker.socket.send(Buffer.of(byte), { binary, fin: index === bytes.length - 1 });
      }
      assert.equal(await handled.next(), "é漢😀");
    }
  });

  test("white space, further keys, any order of keys and escapes in keys change nothing", async (t) => {
    const { url, handled, problems } = listen(t);
    const talker = await Talker.meet(t, url);
    const texts = [
      ' \r\n\t{ "type" : "chat.say" , "payload" : 1 } \r\n\t',
      '{"payload":1,"type":"chat.say"}',
      '{"id":7,"type":"chat.say","nested":{"type":1,"payload":2},"payload":1,"":[]}',
      String.raw`{"\u0074ype":"chat.s\u0061y","payl\u006fad":1}`,
    ];
    for (const text of texts) talker.raw(text);
    assert.deepEqual(await handled.take(texts.length), [1, 1, 1, 1]);
    assert.deepEqual(await talker.sync(), []);
    assert.deepEqual(problems.drain(), []);
  });

  test("undici's WebSocket, which is Node's and the browsers' kind, is understood both ways", async (t) => {
    const { url, handled } = listen(t);
    const socket = new UndiciWebSocket(url);
    t.after(() => socket.close());
    const messages = new Queue<string>("a message");
    socket.addEventListener("message", ({ data }) => messages.push(data as string));
    await within(new Promise((resolve) => socket.addEventListener("open", resolve)), "open");
    socket.send('{"type":"chat.say","payload":"text"}');
    socket.send(Buffer.from('{"type":"chat.say","payload":"binary"}'));
    socket.send('{"type":"sync","payload":"😀"}');
    assert.deepEqual(await handled.take(2), ["text", "binary"]);
    const { type, payload } = JSON.parse(await messages.next()) as {
      type: string;
      payload: { number: string };
    };
    assert.deepEqual([type, payload.number], ["onSync", "😀"]);
  });

  test("Python's websockets is understood both ways", async (t) => {
    const python = process.env["ZOCKET_PYTHON"];
    if (!python) return t.skip('ZOCKET_PYTHON names no Python that has "websockets"');
    const { url, handled } = listen(t);
    const program = `
import asyncio, json, sys
from websockets.asyncio.client import connect

async def main():
    async with connect(sys.argv[1]) as socket:
        await socket.send(json.dumps({"type": "chat.say", "payload": "text \\u6f22"}))
        await socket.send(json.dumps({"type": "chat.say", "payload": "bytes"}).encode())
        await socket.send(['{"type":"chat.', 'say","payload":"frag', 'ments"}'])
        await socket.send('{"type":"sync","payload":{"back":"\\U0001f600"}}')
        print(await socket.recv())

asyncio.run(main())`;
    const child = spawn(python, ["-c", program, url], { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill());
    assert.deepEqual(await handled.take(3), ["text 漢", "bytes", "fragments"]);
    const printed = await within(text(child.stdout), "Python's output");
    const { type, payload } = JSON.parse(printed) as {
      type: string;
      payload: { number: unknown };
    };
    assert.deepEqual([type, payload.number], ["onSync", { back: "😀" }]);
  });
});

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
    ["a very long name", "x".repeat(100_000)],
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
      // A name without end would let a client send us in circles with its own bytes.
      if (name.length < 1000) assert.equal(payload.route, name);
      else assert.ok(name.startsWith(String(payload.route).slice(0, 16)));
      assert.deepEqual(await talker.sync(), []);
      assert.deepEqual(handled.drain(), []);
      assert.deepEqual(problems.drain(), []);
      assert.deepEqual(server.metrics().bad, { NO_ROUTE: 1 });
    });
  }

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

/** `throw` as an expression. */
function raise(thrown: unknown): never {
  throw thrown;
}

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

describe("onError", () => {
  for (const [what, onError] of [
    ["throws", () => raise(new Error("from onError"))],
    ["rejects", () => Promise.reject(new Error("from onError"))],
  ] as const) {
    test(`one that ${what} harms nothing`, async (t) => {
      const { url } = listen(
        t,
        schema((value) => (value === "bad" ? raise(new Error()) : { value })),
        { onError },
      );
      const talker = await Talker.meet(t, url);
      talker.raw("no JSON");
      talker.say("nowhere");
      talker.say("chat.say", "bad");
      const replies = [await reply(talker), await reply(talker), await reply(talker)];
      const codes = replies.map(({ code }) => code).sort();
      assert.deepEqual(codes, ["BAD_MESSAGE", "INVALID_PAYLOAD", "NO_ROUTE"]);
      assert.deepEqual(await talker.sync(), []);
    });
  }

  test("gets what went wrong once each, in the order of one client's messages", async (t) => {
    const { url, problems } = listen(t, z.number());
    const talker = await Talker.meet(t, url);
    talker.say("chat.say", "x");
    talker.say("chat.sing");
    talker.raw("[]");
    talker.say("chat.say", "y");
    await talker.take(4);
    const codes = (await problems.take(4)).map(({ info }) => info.code);
    assert.deepEqual(codes, ["INVALID_PAYLOAD", "NO_ROUTE", "BAD_MESSAGE", "INVALID_PAYLOAD"]);
    assert.deepEqual(problems.drain(), []);
  });
});

describe("a payload", () => {
  test("that is missing reaches the schema as undefined, null as null", async (t) => {
    const validated: unknown[] = [];
    const { url, handled } = listen(
      t,
      schema((value) => (validated.push(value), { value })),
    );
    const talker = await Talker.open(t, url);
    talker.raw('{"type":"chat.say"}');
    talker.raw('{"type":"chat.say","payload":null}');
    talker.raw('{"type":"chat.say","payload":false}');
    assert.deepEqual(await handled.take(3), [undefined, null, false]);
    assert.deepEqual(validated, [undefined, null, false]);
  });

  test("reaches the handler as the schema made it", async (t) => {
    const { url, handled } = listen(
      t,
      z.object({ at: z.string().transform((at) => new Date(at)), by: z.string().default("me") }),
    );
    const talker = await Talker.open(t, url);
    talker.say("chat.say", { at: "2020-01-02T03:04:05.678Z", extra: 1 });
    assert.deepEqual(await handled.next(), { at: new Date(1577934245678), by: "me" });
  });

  test("of any JSON kind arrives as JSON.parse reads it", async (t) => {
    const { url, handled } = listen(t);
    const talker = await Talker.open(t, url);
    const texts = [
      "-0",
      "1e400",
      "1e-400",
      "123456789012345678901234567890",
      '""',
      "[[[]],{}]",
      '{"b":1,"a":2,"1":3}',
      '{"a":1,"a":2}',
      String.raw`"\u00e9\ud83d\ude00\/\n"`,
    ];
    for (const text of texts) talker.raw(`{"type":"chat.say","payload":${text}}`);
    const got = await handled.take(texts.length);
    for (const [index, text] of texts.entries())
      assert.deepEqual(got[index], JSON.parse(text), text);
  });

  test("of 1 MiB and all, and no byte more, is taken: more closes with 1009", async (t) => {
    const { url, handled } = listen(t);
    const talker = await Talker.meet(t, url);
    const frame = (bytes: number) => {
      const head = '{"type":"chat.say","payload":"';
      return `${head}${"x".repeat(bytes - head.length - 2)}"}`;
    };
    for (const binary of [false, true]) {
      talker.socket.send(frame(MIB), { binary });
      assert.equal(((await handled.next()) as string).length, MIB - frame(100).indexOf("x") - 2);
    }
    assert.deepEqual(await talker.sync(), []);
    talker.raw(frame(MIB + 1));
    assert.equal(await within(talker.closed, "the connection to be closed"), 1009);
    assert.deepEqual(handled.drain(), []);
  });

  test("nested 100 000 deep arrives whole", async (t) => {
    const { url, handled } = listen(t);
    const talker = await Talker.meet(t, url);
    const depth = 100_000;
    for (const [open, close] of [
      ["[", "]"],
      ['{"a":', "}"],
    ] as const) {
      const payload = `${open.repeat(depth)}1${close.repeat(depth)}`;
      talker.raw(`{"type":"chat.say","payload":${payload}}`);
      let found = 0;
      let value = await handled.next();
      for (; typeof value === "object" && value !== null; found++) [value] = Object.values(value);
      assert.deepEqual([found, value], [depth, 1]);
    }
    assert.deepEqual(await talker.sync(), []);
  });

  test("of many sizes arrives unchanged, in order", async (t) => {
    const { url, handled } = listen(t);
    const talker = await Talker.open(t, url);
    const payloads = [0, 1, 93, 94, 95, 125, 126, 4096, 65_534, 65_535, 65_536, 300_000].map(
      (size) =>
        HARD_STRINGS.join("")
          .repeat(size / 100 + 1)
          .slice(0, size),
    );
    for (const payload of payloads) talker.say("chat.say", payload);
    const got = await handled.take(payloads.length);
    for (const [index, payload] of payloads.entries()) assert.equal(got[index], payload);
  });

  test("a thousand bad messages leave the connection open and the good ones among them handled", async (t) => {
    const { url, handled, server } = listen(t, z.number());
    const talker = await Talker.open(t, url);
    for (let number = 0; number < 1000; number++) {
      talker.raw("bad");
      talker.say("nowhere");
      talker.say("chat.say", number);
      talker.say("chat.say", "no number");
    }
    const before = await talker.sync();
    assert.equal(before.length, 3000);
    assert.deepEqual(
      handled.drain(),
      Array.from({ length: 1000 }, (_, number) => number),
    );
    const bad = { BAD_MESSAGE: 1000, NO_ROUTE: 1000, INVALID_PAYLOAD: 1000 };
    assert.deepEqual({ ...server.metrics().bad }, bad);
  });
});

test("messages sent with the upgrade, before onConnect is done, are kept", async (t) => {
  let finish: (context: object) => void = () => {};
  const slow = zocket.create({
    headers: anything,
    onConnect: () => new Promise<object>((resolve) => (finish = resolve)),
  });
  const handled = new Queue<unknown>("the handler");
  const app = slow.router(
    { say: slow.message.incoming({ payload: anything }) },
    { say: ({ payload }) => handled.push(payload) },
  );
  const { server } = serve(t, (onError) => createServer(app, slow, { port: 0, onError }));
  const { connect } = await import("node:net");
  const socket = connect(server.port, "127.0.0.1");
  t.after(() => socket.destroy());
  const text = Buffer.from('{"type":"say","payload":1}');
  // Masked with zeros, the frame's bytes are its text.
  const frame = Buffer.concat([Buffer.of(0x81, 0x80 | text.length, 0, 0, 0, 0), text]);
  const head = [
    "GET / HTTP/1.1",
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
  ].join("\r\n");
  socket.write(Buffer.concat([Buffer.from(`${head}\r\n\r\n`), frame, frame]));
  const answered = new Promise((resolve) => socket.once("data", resolve));
  while (finish.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.deepEqual(handled.drain(), []);
  finish({});
  await within(answered, "the 101");
  assert.deepEqual(await handled.take(2), [1, 1]);
});
