// Compression with clients of other makers, and what the options and the messages say about it.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer, zocket, type ServerOptions } from "@zocket/core";

import { Child } from "./_child.ts";
import { Client, anything, dice, serve, type App } from "./_support.ts";
import { soon, until } from "./_wait.ts";

const ALWAYS = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/** An envelope of some 50 KiB that shrinks, but repeats at all distances. */
const LONG = longText(50_000);

function longText(bytes: number): string {
  const roll = dice(7);
  let text = "";
  while (text.length < bytes) {
    const back = text.length - roll(40_000);
    text += back > 0 ? text.slice(back, back + 60) : `${roll(1e9)} grüße 🙂 `;
  }
  return text;
}

/** Bytes that a broadcast took on the wire, all clients together. */
async function costs(app: App, payload: unknown, clients: Client[]): Promise<number> {
  const written = () => app.server.metrics().queued === 0;
  await until("what came before to be counted", written);
  const before = app.server.metrics();
  app.shout(payload);
  for (const client of clients) assert.deepEqual((await client.next()).payload, payload);
  await until("all of it to be counted", written);
  const now = app.server.metrics();
  assert.equal(now.written - before.written, clients.length);
  assert.equal(now.sent, now.written + now.dropped);
  return now.bytesOut - before.bytesOut;
}

describe("compression", () => {
  test("is off by default, also for clients that offer it", async (t) => {
    for (const compression of [undefined, false]) {
      const app = serve(t, { options: { compression } });
      const client = await Client.open(t, app.url, { perMessageDeflate: true });
      assert.equal(client.socket.extensions, "");
      assert.ok((await costs(app, LONG, [client])) > LONG.length);
    }
  });

  for (const compression of [true, {}, { level: 9, threshold: 0, maxWindowBits: 15 }]) {
    test(`works with ws both ways: ${JSON.stringify(compression)}`, async (t) => {
      const app = serve(t, { options: { compression } });
      const options = { perMessageDeflate: { threshold: 0 } };
      const client = await Client.open(t, app.url, options);
      assert.equal(client.socket.extensions, "permessage-deflate");
      for (const payload of [null, "", "x", { a: [1, "grüße"] }, "y".repeat(900_000), LONG]) {
        client.say(payload);
        assert.deepEqual((await client.next()).payload, payload);
      }
      const { bytesIn, bytesOut } = app.server.metrics();
      assert.ok(bytesIn < 30_000, `${bytesIn} bytes in`);
      assert.ok(bytesOut < 30_000, `${bytesOut} bytes out`);
      assert.deepEqual(app.errors, []);
      await soon("the end", client.close());
    });
  }

  for (const bits of [9, 10, 11, 12, 13, 14, 15]) {
    test(`keeps to a window of ${bits} bits that a client asks for`, async (t) => {
      const app = serve(t, { options: { compression: true } });
      const asks = { serverMaxWindowBits: bits, clientMaxWindowBits: bits, threshold: 0 };
      const client = await Client.open(t, app.url, { perMessageDeflate: asks });
      assert.equal(client.socket.extensions, "permessage-deflate");
      const plain = await Client.open(t, app.url);
      for (const length of [400, 3_000, 30_000, 200_000]) {
        const payload = longText(length);
        await costs(app, payload, [client, plain]);
        client.say(payload);
        assert.equal((await client.next()).payload, payload);
      }
    });
  }

  test("declines a window of 8 bits, and goes on without compression", async (t) => {
    const app = serve(t, { options: { compression: true } });
    const asks = { serverMaxWindowBits: 8 };
    const client = await Client.open(t, app.url, { perMessageDeflate: asks });
    assert.equal(client.socket.extensions, "");
    assert.ok((await costs(app, LONG, [client])) > LONG.length);
    client.say(LONG);
    assert.equal((await client.next()).payload, LONG);
  });

  test("maxWindowBits bounds both directions", async (t) => {
    const app = serve(t, { options: { compression: { maxWindowBits: 10 } } });
    const asks = { serverMaxWindowBits: 12 };
    let answer: string | undefined;
    const client = new Client(t, app.url, { perMessageDeflate: asks });
    client.socket.once("upgrade", ({ headers }) => {
      answer = headers["sec-websocket-extensions"];
    });
    await client.roundTrip().catch(() => {});
    await until("the 101", () => client.socket.readyState === 1);
    assert.equal(answer, `${ALWAYS}; server_max_window_bits=10; client_max_window_bits=10`);
    client.say(LONG);
    await until("the echo", () => client.received.some(({ payload }) => payload === LONG));
  });

  test("compresses what is as long as the threshold, in bytes of the envelope", async (t) => {
    const app = serve(t, { options: { compression: { threshold: 500 } } });
    const client = await Client.open(t, app.url, { perMessageDeflate: true });
    const around = '{"type":"said","payload":""}'.length;
    assert.equal(await costs(app, "é".repeat((498 - around) / 2), [client]), 498 + 4);
    assert.ok((await costs(app, "é".repeat((500 - around) / 2), [client])) < 100);
  });

  test("leaves alone what holds a secret: compress: false", async (t) => {
    const payload = anything<string>();
    const zo = zocket.create({ headers: anything<Record<string, string>>() });
    const { incoming, outgoing } = zo.message;
    const secret = outgoing({ payload, compress: false });
    assert.deepEqual(secret, { payload, _direction: "out", compress: false });
    const routes = {
      ask: incoming({ payload }),
      secret,
      open: outgoing({ payload, compress: true }),
    };
    const router = zo.router(routes, {
      ask({ payload, ctx }) {
        ctx.rooms.join("room");
        ctx.send.secret(payload).to(ctx.clientId);
        ctx.send.secret(payload).toRoom("room");
        ctx.send.secret(payload).broadcast();
        ctx.send.open(payload).to(ctx.clientId);
      },
    });
    const server = createServer(router, zo, { port: 0, compression: true });
    t.after(() => server.stop(true));
    const client = await Client.open(t, server.url, { perMessageDeflate: true });
    client.send("ask", LONG);
    await until("four messages", () => client.received.length === 4);
    assert.ok(client.received.every((message) => message.payload === LONG));
    const bytes = Buffer.byteLength(LONG);
    await until("all of it to be counted", () => server.metrics().queued === 0);
    const { bytesOut } = server.metrics();
    assert.ok(bytesOut > 3 * bytes && bytesOut < 3.7 * bytes, `${bytesOut} bytes out`);
  });

  test("a message past maxPayload is 1009, however short it comes", async (t) => {
    const app = serve(t, { options: { compression: true, maxPayload: 10_000 } });
    const client = await Client.open(t, app.url, { perMessageDeflate: { threshold: 0 } });
    client.say("x".repeat(9_900));
    await client.next();
    client.say("x".repeat(10_100));
    assert.equal((await soon("the end", client.closed)).code, 1009);
    assert.equal(app.messages.length, 1);
  });

  test("what is slow to inflate keeps neither others nor the event loop waiting", async (t) => {
    const app = serve(t, {
      say: () => {},
      options: { compression: true, maxPayload: 64 * 1024 * 1024, ioThreads: 1 },
    });
    const bomber = await Client.open(t, app.url, { perMessageDeflate: { threshold: 0 } });
    const other = await Client.open(t, app.url);
    bomber.send("join", "x".repeat(60_000_000));
    bomber.send("nowhere", "x".repeat(60_000_000));
    await other.join("room");
    await until("the answer", () => bomber.received.some(({ type }) => type === "$error"));
  });

  const python = process.env["ZOCKET_PYTHON"];
  const skip = python ? false : "ZOCKET_PYTHON names no Python that has websockets";
  test("works with Python's websockets both ways", { skip }, async (t) => {
    const app = serve(t, { options: { compression: true } });
    const program = `
import asyncio, json, websockets

async def main():
    async with websockets.connect("${app.url}", max_size=None) as socket:
        print(socket.response.headers["Sec-WebSocket-Extensions"])
        for payload in ["x", "y" * 300_000, "grüße 🙂" * 1000, list(range(20_000))]:
            await socket.send(json.dumps({"type": "say", "payload": payload}))
            assert json.loads(await socket.recv())["payload"] == payload

asyncio.run(main())
`;
    const child = new Child(t, python ?? "", ["-c", program]);
    await child.endsWell();
    assert.ok(child.out.startsWith(ALWAYS), child.out);
    const { bytesIn, bytesOut } = app.server.metrics();
    assert.ok(bytesIn < 150_000 && bytesOut < 150_000, `${bytesIn} in, ${bytesOut} out`);
  });

  test("wrong settings are a TypeError that names them", () => {
    const zo = zocket.create({ headers: anything<Record<string, string>>() });
    const router = zo.router({}, {});
    const create = (compression: unknown) =>
      void createServer(router, zo, { port: 0, compression } as ServerOptions).stop();
    const wrong: [compression: unknown, place: string, expected: RegExp][] = [
      ["yes", "compression", /expected true, false or an object/],
      [{ threshold: -1 }, "compression.threshold", /a whole number of bytes, got -1/],
      [{ threshold: "1" }, "compression.threshold", /got "1"/],
      [{ level: 0 }, "compression.level", /a whole number from 1 to 9, got 0/],
      [{ level: 10 }, "compression.level", /got 10/],
      [{ level: 1.5 }, "compression.level", /got 1.5/],
      [{ maxWindowBits: 8 }, "compression.maxWindowBits", /from 9 to 15, got 8/],
      [{ maxWindowBits: 16 }, "compression.maxWindowBits", /got 16/],
      [{ levle: 1 }, "compression.levle", /unknown option; did you mean level\?/],
      [{ serverMaxWindowBits: 9 }, "compression.serverMaxWindowBits", /did you mean maxWindowBits/],
      [{ memLevel: 9 }, "compression.memLevel", /unknown option; expected one of threshold, level/],
    ];
    for (const [compression, place, expected] of wrong) {
      assert.throws(
        () => create(compression),
        (error) => {
          assert.ok(error instanceof TypeError);
          assert.ok(error.message.startsWith(`createServer: options.${place}: `), error.message);
          assert.match(error.message, expected);
          return true;
        },
      );
    }
    for (const name of ["perMessageDeflate", "permessageDeflate", "permessage_deflate"]) {
      const options = { port: 0, [name]: true } as ServerOptions;
      assert.throws(() => void createServer(router, zo, options).stop(), {
        name: "TypeError",
        message: `createServer: options.${name}: unknown option; it is called \`compression\``,
      });
    }
  });
});
