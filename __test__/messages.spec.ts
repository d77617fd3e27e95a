// A message's way in, up to the handler: frames and payloads. Clients: `ws`, Python's `websockets` and undici's WebSocket.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";

import { createServer, zocket } from "@zocket/core";
import { WebSocket as UndiciWebSocket } from "undici";
import { z } from "zod";

import { listen } from "./_chat.ts";
import { anything, HARD_STRINGS, Queue, schema, serve, Talker, within } from "./_talk.ts";

const MIB = 1024 * 1024;

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
      '{"ID":7,"type":"chat.say","nested":{"type":1,"payload":2},"payload":1,"":[]}',
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
