// Payloads that are bytes, through the built package and real sockets: both ways, with our client and with foreign ones.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test, type TestContext } from "node:test";

import {
  createServer,
  createZocketClient,
  type ErrorInfo,
  type ServerOptions,
  type WebSocketClass,
} from "@zocket/core";
import { bytes, message } from "@zocket/core/contract";
import { WebSocket as Undici } from "undici";
import { WebSocket } from "ws";

import { Child } from "./_child.ts";
import { anything, Queue, until, within, zo } from "./_talk.ts";

const { incoming, outgoing } = zo.message;

const routes = {
  file: {
    put: incoming({ payload: zo.bytes() }),
    small: incoming({ payload: zo.bytes({ max: 3 }), reply: zo.bytes({ max: 3 }) }),
    echo: incoming({ payload: zo.bytes(), reply: zo.bytes() }),
    parts: incoming({ payload: anything, stream: zo.bytes(), reply: zo.bytes() }),
    wrong: incoming({ payload: anything, reply: zo.bytes() }),
    onPart: outgoing({ payload: zo.bytes() }),
    onState: outgoing({ payload: zo.bytes(), slowClient: "latest" }),
  },
  text: incoming({ payload: anything, reply: anything }),
  onText: outgoing({ payload: anything }),
};

/** A server whose handlers keep what they get. */
function serve(t: TestContext, options: ServerOptions = {}) {
  const got = new Queue<Uint8Array>("bytes");
  const errors: ErrorInfo[] = [];
  const app = zo.router(routes, {
    file: {
      put: ({ payload }) => got.push(payload),
      small: ({ payload }) => payload,
      echo: async ({ payload }) => payload,
      parts: async function* ({ payload }) {
        for (const part of payload as number[]) yield new Uint8Array(part).fill(part);
        return new Uint16Array([1, 2]);
      },
      wrong: ({ payload }) => payload as Uint8Array,
    },
    text: ({ payload }) => payload,
  });
  const onError = (_: unknown, info: ErrorInfo) => errors.push(info);
  const server = createServer(app, zo, { port: 0, onError, ...options });
  t.after(() => server.stop(true));
  return { server, got, errors };
}

function connect(t: TestContext, url: string, WebSocketClass: unknown = WebSocket) {
  const client = createZocketClient<typeof routes>(url, {
    WebSocket: WebSocketClass as WebSocketClass,
  });
  t.after(() => client.close());
  return client;
}

/** A message of bytes, as the wire has it. */
function frame(name: string, id: bigint | undefined, payload: Uint8Array): Buffer {
  const text = Buffer.from(name);
  const head = Buffer.alloc(4);
  head[1] = id === undefined ? 0 : 1;
  head.writeUInt16BE(text.length, 2);
  const number = Buffer.alloc(id === undefined ? 0 : 8);
  if (id !== undefined) number.writeBigUInt64BE(id);
  return Buffer.concat([head, text, number, payload]);
}

/** A client that nobody here wrote, which looks at the bytes of each frame. */
async function raw(t: TestContext, url: string, options = {}) {
  const socket = new WebSocket(url, options);
  const frames = new Queue<Buffer | string>("a frame");
  socket.on("message", (data, isBinary) => frames.push(isBinary ? (data as Buffer) : String(data)));
  t.after(() => socket.terminate());
  await once(socket, "open");
  return { socket, frames };
}

const pattern = (length: number) => new Uint8Array(length).map((_, at) => (at * 31) ^ (at >> 8));

/** Compared by hand, as the report on a difference of megabytes takes minutes. */
const same = (left: Uint8Array, right: Uint8Array) => assert.equal(Buffer.compare(left, right), 0);

describe("bytes", () => {
  for (const [name, WebSocketClass] of Object.entries({ ws: WebSocket, undici: Undici })) {
    test(`go to a handler, come back as a reply and reach listeners, with ${name}`, async (t) => {
      const { server, got } = serve(t, { maxPayload: 17 << 20, maxBackpressure: 40 << 20 });
      const client = connect(t, server.url, WebSocketClass);
      const heard = new Queue<Uint8Array>("bytes at a listener");
      client.on.file.onPart((part) => heard.push(part));
      for (const length of [0, 1, 125, 126, 65_536, 1 << 20, 16 << 20]) {
        const sent = pattern(length);
        client.send.file.put(sent);
        const payload = await got.next();
        assert.equal(Object.getPrototypeOf(payload), Uint8Array.prototype);
        same(payload, sent);
        same(await client.call.file.echo(sent), sent);
        server.send.file.onPart(sent).broadcast();
        same(await heard.next(), sent);
      }
    });
  }

  test("that look like JSON, or like a head, are bytes", async (t) => {
    const { server } = serve(t);
    const client = connect(t, server.url);
    for (const text of ['{"type":"text","payload":1}', "null", "\0\0\0\u0001a", "\ufeff{}"]) {
      const sent = Buffer.from(text);
      assert.equal(Buffer.from(await client.call.file.echo(sent)).toString(), text);
    }
  });

  test("of a handler and of each listener are nobody else's, and begin their memory", async (t) => {
    const { server, got } = serve(t);
    const client = connect(t, server.url);
    const heard: Uint8Array[] = [];
    for (let n = 0; n < 3; n += 1) {
      client.on.file.onPart((part) => {
        assert.deepEqual([...part], [1, 2, 3]);
        part.fill(9);
        heard.push(part);
      });
    }
    const sent = Uint8Array.of(1, 2, 3);
    // Many in one batch.
    for (let n = 0; n < 100; n += 1) client.send.file.put(sent);
    const all = await got.take(100);
    assert.equal(new Set(all.map(({ buffer }) => buffer)).size, 100);
    for (const payload of all) {
      assert.deepEqual([...payload], [1, 2, 3]);
      assert.deepEqual([payload.byteOffset, payload.buffer.byteLength], [0, 3]);
      payload.fill(7);
    }
    server.send.file.onPart(sent).broadcast();
    await until(() => heard.length === 3, "all have heard");
    assert.equal(new Set(heard.map(({ buffer }) => buffer)).size, 3);
    for (const part of heard) assert.deepEqual([part.byteOffset, part.buffer.byteLength], [0, 3]);
  });

  test("are taken from every kind of view and buffer, as they are when they are sent", async (t) => {
    const { server, got } = serve(t);
    const client = connect(t, server.url);
    const heard = new Queue<Uint8Array>("bytes at a listener");
    client.on.file.onPart((part) => heard.push(part));
    client.send.file.put(new Uint8Array());
    await got.next();
    const memory = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7).buffer;
    const shared = new SharedArrayBuffer(4);
    new Uint8Array(shared).set([9, 8, 7, 6]);
    const kinds = {
      whole: [memory, [0, 1, 2, 3, 4, 5, 6, 7]],
      view: [new Uint8Array(memory, 2, 3), [2, 3, 4]],
      words: [new Uint16Array(memory, 2, 2), [2, 3, 4, 5]],
      dataView: [new DataView(memory, 7), [7]],
      pooled: [Buffer.from("pool"), [...Buffer.from("pool")]],
      shared: [shared, [9, 8, 7, 6]],
      sharedView: [new Uint8Array(shared, 1, 2), [8, 7]],
    } as const;
    for (const [given, expected] of Object.values(kinds)) {
      client.send.file.put(given);
      assert.deepEqual([...(await got.next())], [...expected]);
      const message = server.send.file.onPart(given);
      message.broadcast();
      assert.deepEqual([...(await heard.next())], [...expected]);
    }
    const changing = Uint8Array.of(1);
    client.send.file.put(changing);
    const message = server.send.file.onPart(changing);
    changing[0] = 2;
    message.broadcast();
    assert.deepEqual([...(await got.next()), ...(await heard.next())], [1, 1]);
    structuredClone(changing, { transfer: [changing.buffer] });
    assert.throws(() => server.send.file.onPart(changing), TypeError);
    assert.throws(() => client.send.file.put(changing), TypeError);
  });

  test("are the only thing that a route of bytes sends", (t) => {
    const { server } = serve(t);
    for (const wrong of [undefined, null, "text", [1, 2], { length: 1 }]) {
      assert.throws(
        () => server.send.file.onPart(wrong as never),
        /^TypeError: send\.file\.onPart\(…\): expected bytes/,
      );
    }
  });

  test("are items and the reply of a stream", async (t) => {
    const { server } = serve(t);
    const client = connect(t, server.url);
    const call = client.call.file.parts(Array.from({ length: 200 }, (_, at) => at));
    let at = 0;
    for await (const part of call) {
      assert.deepEqual(part, new Uint8Array(at).fill(at));
      at += 1;
    }
    assert.equal(at, 200);
    assert.deepEqual([...(await client.call.file.parts([]))], [1, 0, 2, 0]);
  });

  test("past `max`, and JSON, are INVALID_PAYLOAD, and a reply that is neither is HANDLER_ERROR", async (t) => {
    const { server, errors } = serve(t);
    const client = connect(t, server.url);
    assert.equal((await client.call.file.small(new Uint8Array(3))).length, 3);
    const long = await client.call.file.small(new Uint8Array(4)).safe();
    assert.ok(!long.ok && long.error.code === "INVALID_PAYLOAD");
    assert.deepEqual(long.error.issues, [{ message: "expected at most 3 bytes, got 4" }]);
    for (const json of [[1], "AAAA", { 0: 1 }, null, undefined]) {
      const wrong = await client.call.file.echo(json as never).safe();
      assert.ok(!wrong.ok && wrong.error.code === "INVALID_PAYLOAD");
    }
    const reply = await client.call.file.wrong("text").safe();
    assert.ok(!reply.ok && reply.error.code === "HANDLER_ERROR");
    assert.equal(errors.at(-1)?.code, "HANDLER_ERROR");
  });

  test("for a route of JSON are BAD_MESSAGE, and the call learns of it", async (t) => {
    const { server } = serve(t);
    const client = connect(t, server.url);
    const result = await client.call.text(Uint8Array.of(1) as never).safe();
    assert.ok(!result.ok && result.error.code === "BAD_MESSAGE");
    const why = "the payload of this route is JSON, not bytes";
    assert.deepEqual([result.error.route, result.error.message], ["text", why]);
    const told = new Promise((resolve) => client.onError(resolve));
    client.send.text(Uint8Array.of(1) as never);
    const expected = { code: "BAD_MESSAGE", route: "text", message: why };
    assert.deepEqual(await within(told, "the $error"), expected);
    assert.equal(await client.call.text("still here"), "still here");
  });

  test("for a route of JSON do not leave a client that has the routes at hand", async (t) => {
    const { server } = serve(t);
    const client = createZocketClient(server.url, {
      WebSocket: WebSocket as unknown as WebSocketClass,
      routes,
    });
    t.after(() => client.close());
    const refused = await client.call.text(Uint8Array.of(1)).safe();
    assert.ok(!refused.ok && refused.error.code === "INVALID_PAYLOAD");
    same(await client.call.file.echo(Uint8Array.of(1)), Uint8Array.of(1));
    assert.equal((server.metrics() as { received: number }).received, 1);
  });

  test("keep their order among messages of JSON, to a room and to everybody", async (t) => {
    const { server } = serve(t);
    const client = connect(t, server.url);
    const heard = new Queue<unknown>("a message");
    client.on.file.onPart((part) => heard.push([...part]));
    client.on.onText((text) => heard.push(text));
    await client.call.text(1);
    for (let n = 0; n < 50; n += 1) {
      server.send.file.onPart(Uint8Array.of(n)).broadcast();
      server.send.onText(n).broadcast();
    }
    for (let n = 0; n < 50; n += 1) {
      assert.deepEqual(await heard.next(), [n]);
      assert.equal(await heard.next(), n);
    }
  });

  test("that wait for a connection count for maxQueuedBytes, and those past maxPayload are TOO_LARGE", async (t) => {
    const { server, got } = serve(t, { maxPayload: 10_000 });
    const client = createZocketClient<typeof routes>(server.url, {
      WebSocket: WebSocket as unknown as WebSocketClass,
      autoConnect: false,
      maxQueuedBytes: 1_000,
    });
    t.after(() => client.close());
    const codes = new Queue<string>("an error");
    client.onError(({ code }) => codes.push(code));
    client.send.file.put(new Uint8Array(900));
    client.send.file.put(new Uint8Array(200));
    assert.equal(await codes.next(), "QUEUE_FULL");
    client.reconnect();
    assert.equal((await got.next()).length, 900);
    client.send.file.put(new Uint8Array(10_000));
    assert.equal(await codes.next(), "TOO_LARGE");
  });
});

describe("on the wire", () => {
  test("a message of bytes is a head and the bytes, both ways", async (t) => {
    const { server, got } = serve(t);
    const { socket, frames } = await raw(t, server.url);
    socket.send(frame("file.put", undefined, Uint8Array.of(0, 255)));
    assert.deepEqual([...(await got.next())], [0, 255]);
    socket.send(frame("file.echo", 2n ** 53n - 1n, Buffer.from("back")));
    assert.deepEqual(await frames.next(), frame("$reply", 2n ** 53n - 1n, Buffer.from("back")));
    socket.send(frame("file.put", 5n, new Uint8Array()));
    assert.equal(await frames.next(), '{"type":"$reply","id":5}');
    server.send.file.onPart(Buffer.from("part")).broadcast();
    assert.deepEqual(await frames.next(), frame("file.onPart", undefined, Buffer.from("part")));
    socket.send('{"id":1,"type":"file.parts","payload":[1]}');
    assert.deepEqual(await frames.next(), frame("$item", 1n, Uint8Array.of(1)));
    socket.send('{"type":"$more","id":1,"payload":1}');
    assert.deepEqual(await frames.next(), frame("$end", 1n, Uint8Array.of(1, 0, 2, 0)));
  });

  test("a binary message of JSON is taken as before", async (t) => {
    const { server } = serve(t);
    const { socket, frames } = await raw(t, server.url);
    socket.send(Buffer.from('{"id":1,"type":"text","payload":"x"}'));
    assert.equal(await frames.next(), '{"type":"$reply","id":1,"payload":"x"}');
  });

  test("a message that is cut at any place is refused, and the connection goes on", async (t) => {
    const { server, got } = serve(t);
    const { socket, frames } = await raw(t, server.url);
    const whole = frame("file.put", 7n, new Uint8Array());
    for (let length = 1; length < whole.length; length += 1) {
      socket.send(whole.subarray(0, length));
      const error = JSON.parse(String(await frames.next())) as { id?: number; payload: ErrorInfo };
      assert.deepEqual([error.payload.code, error.id], ["BAD_MESSAGE", undefined]);
    }
    socket.send(whole);
    assert.equal((await got.next()).length, 0);
  });

  test("compressed bytes are bytes", async (t) => {
    const { server, got } = serve(t, { compression: true });
    const { socket, frames } = await raw(t, server.url, { perMessageDeflate: { threshold: 0 } });
    assert.match(socket.extensions, /permessage-deflate/);
    const long = Buffer.alloc(50_000, "again and again ");
    socket.send(frame("file.put", undefined, long));
    same(await got.next(), long);
    server.send.file.onPart(long).broadcast();
    same((await frames.next()) as Buffer, frame("file.onPart", undefined, long));
    assert.ok((server.metrics() as { bytesOut: number }).bytesOut < 10_000);
  });

  const python = process.env["ZOCKET_PYTHON"];
  const skip = python ? false : "ZOCKET_PYTHON names no Python that has websockets";
  test("Python's websockets sends and receives bytes, and calls with them", { skip }, async (t) => {
    const { server, got } = serve(t, { maxPayload: 2 << 20 });
    const program = `
import asyncio, struct, websockets

def message(name, id, payload):
    name = name.encode()
    head = struct.pack(">BBH", 0, 0 if id is None else 1, len(name)) + name
    return head + (b"" if id is None else struct.pack(">Q", id)) + payload

async def main():
    async with websockets.connect("${server.url}", max_size=None) as socket:
        for id, length in enumerate([0, 1, 125, 126, 65_536, 1 << 20]):
            payload = bytes(range(256)) * (length // 256) + bytes(length % 256)
            await socket.send(message("file.put", None, payload))
            assert await socket.recv() == message("file.onPart", None, payload), length
            await socket.send(message("file.echo", id, payload))
            assert await socket.recv() == message("$reply", id, payload), length
        await socket.send(message("text", 9, b"bytes"))
        print(await socket.recv())

asyncio.run(main())
`;
    const child = new Child(t, python ?? "", ["-c", program]);
    const lengths: number[] = [];
    for (let n = 0; n < 6; n += 1) {
      const payload = await got.next();
      lengths.push(payload.length);
      server.send.file.onPart(payload).broadcast();
    }
    await child.endsWell();
    assert.deepEqual(lengths, [0, 1, 125, 126, 65_536, 1 << 20]);
    const { id, payload } = JSON.parse(child.out) as { id: number; payload: ErrorInfo };
    assert.deepEqual([id, payload.code], [9, "BAD_MESSAGE"]);
  });
});

describe("a client", () => {
  /** A server that sends what it likes. */
  async function tell(t: TestContext, frames: readonly Buffer[]) {
    const { WebSocketServer } = await import("ws");
    const server = new WebSocketServer({ port: 0, handleProtocols: () => "zocket.1" });
    t.after(() => server.close());
    await once(server, "listening");
    server.on("connection", (socket) => {
      socket.send('{"type":"$welcome","payload":{"clientId":"x"}}');
      for (const one of frames) socket.send(one);
      socket.send('{"type":"onText","payload":"last"}');
    });
    const { port } = server.address() as { port: number };
    const client = connect(t, `ws://127.0.0.1:${port}`);
    t.after(() => {
      for (const socket of server.clients) socket.terminate();
    });
    return client;
  }

  test("passes over messages that are cut, and those with unknown flags or a name that is no text", async (t) => {
    const whole = frame("file.onPart", 7n, new Uint8Array());
    const cuts = Array.from({ length: whole.length }, (_, length) => whole.subarray(0, length));
    const flags = Buffer.from(frame("file.onPart", undefined, new Uint8Array(20)));
    flags[1] = 2;
    const noText = Buffer.from(frame("file.onPart", undefined, new Uint8Array()));
    noText[6] = 0xff;
    const lie = Buffer.from(frame("file.onPart", undefined, new Uint8Array()));
    lie.writeUInt16BE(65_535, 2);
    const huge = frame("x".repeat(65_535), undefined, new Uint8Array());
    const client = await tell(t, [...cuts, flags, noText, lie, huge, Buffer.alloc(0)]);
    client.on.file.onPart(() => assert.fail("a message that is none"));
    const last = new Promise<unknown>((resolve) => client.on.onText(resolve));
    assert.equal(await within(last, "the last message"), "last");
  });

  test("takes a name of any characters", async (t) => {
    const client = await tell(t, [frame("grüße.🙂", undefined, Uint8Array.of(1))]);
    const on = client.on as unknown as Record<
      string,
      Record<string, (listener: (part: unknown) => void) => void>
    >;
    const got = new Promise<unknown>((resolve) => on["grüße"]?.["🙂"]?.(resolve));
    assert.deepEqual(await within(got, "bytes"), Uint8Array.of(1));
  });

  test("throws for bytes under a name that is longer than the head can say", async (t) => {
    const client = await tell(t, []);
    const send = client.send as unknown as Record<string, (bytes: Uint8Array) => void>;
    const sent = () => send["é".repeat(32_768)]?.(Uint8Array.of(1));
    assert.throws(sent, { name: "TypeError", message: /65,535 bytes/ });
  });
});

describe("zo.bytes", () => {
  test("stands at the message builder of the contract, too, and is an export of its own there", () => {
    assert.equal(message.bytes, bytes);
    assert.equal(message.withTransformer().bytes, bytes);
    const { bytes: taken } = message;
    assert.equal(taken({ max: 1 })["~standard"].vendor, "zocket");
  });

  const validate = (schema: ReturnType<typeof bytes>, value: unknown) =>
    schema["~standard"].validate(value) as { value?: Uint8Array; issues?: unknown };

  test("is a Standard Schema that takes bytes alone", () => {
    const schema = zo.bytes({ max: 4 });
    assert.equal(schema["~standard"].version, 1);
    assert.equal(schema["~standard"].vendor, "zocket");
    const given = Uint8Array.of(1, 2);
    assert.equal(validate(schema, given).value, given);
    assert.deepEqual(validate(schema, given.buffer).value, given);
    for (const wrong of [undefined, null, "", [1], {}, 1, new Uint8Array(5)]) {
      assert.ok(validate(schema, wrong).issues);
    }
    assert.ok(validate(zo.bytes({ max: 0 }), new Uint8Array()).value);
  });

  test("refuses wrong options", () => {
    for (const max of [-1, 1.5, NaN, "1", null, 2 ** 53]) {
      assert.throws(() => bytes({ max: max as never }), /^TypeError: zo\.bytes: options\.max/);
    }
    assert.throws(() => bytes({ maxLength: 1 } as never), /did you mean max\?/);
    assert.throws(() => bytes(7 as never), TypeError);
  });

  test("cannot be the data of an error", () => {
    const errors = { BAD: bytes() };
    assert.throws(
      () => message.incoming({ payload: anything, errors: errors as never }),
      /^TypeError: zo\.message\.incoming: errors\.BAD: .*bytes/,
    );
  });
});
