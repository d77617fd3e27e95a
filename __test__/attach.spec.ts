// A server on somebody else's HTTP server. What clients notice of it is nothing, whichever way their bytes take.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { connect as connectTls } from "node:tls";

import { KINDS, attached, trusting, type Attached, type Kind } from "./_attached.ts";
import { frame, request, said } from "./_raw.ts";
import { Client } from "./_support.ts";
import { latch, soon, until } from "./_wait.ts";

/** A connection to an HTTP server of some kind, below HTTP. */
function dial(t: TestContext, { url, port }: Attached, kind: Kind): Socket {
  const file = /^ws\+unix:\/\/(.*):\/ws$/.exec(url)?.[1];
  const secure = kind === "https" || kind === "http2";
  const options = { port, host: "127.0.0.1", ...trusting, ALPNProtocols: ["http/1.1"] };
  const socket = secure ? connectTls(options) : connect(file ? { path: file } : options);
  socket.on("error", () => {});
  t.after(() => socket.destroy());
  return socket;
}

/** All that comes from a socket, as text. */
function collect(socket: Socket): { text: string; over: boolean } {
  const seen = { text: "", over: false };
  socket.on("data", (bytes: Buffer) => (seen.text += bytes.toString("latin1")));
  socket.on("close", () => (seen.over = true));
  return seen;
}

const ASK = (changes = {}, path = "/ws") => request(changes, `GET ${path} HTTP/1.1`);
const EVENT = { http: "connection", https: "secureConnection", http2: "secureConnection" } as const;
const statusOf = ({ text }: { text: string }) => Number(/^HTTP\/1\.1 (\d+) /.exec(text)?.[1]);

for (const kind of KINDS) {
  describe(`on a server of ${kind}`, () => {
    test("clients connect, talk and leave", async (t) => {
      const { app, url } = await attached(t, { kind });
      const client = await Client.open(t, url, trusting);
      await client.roundTrip();
      const large = "x".repeat(900_000);
      client.say(large);
      await until("the echo", () => client.received.some((it) => it.payload === large));
      assert.equal(app.server.clientCount(), 1);
      assert.deepEqual(await client.close(), { code: 1000, reason: "" });
      await until("onDisconnect", () => app.disconnects.length === 1);
      assert.equal(app.server.clientCount(), 0);
    });

    test("messages that come with the request are kept, in order", async (t) => {
      const gate = latch();
      const house = await attached(t, { kind, given: { onConnect: () => gate.promise } });
      const socket = dial(t, house, kind);
      const early = Array.from({ length: 200 }, (_, n) => said(`${n} ${"x".repeat(500)}`));
      socket.write(Buffer.concat([Buffer.from(ASK()), ...early]));
      await until("onConnect", () => house.app.connects.length === 1);
      socket.write(said("last"));
      gate.open();
      await until("all", () => house.app.messages.length === 201);
      const heads = house.app.messages.map(({ payload }) => String(payload).split(" ")[0]);
      assert.deepEqual(heads, [...Array.from(early, (_, n) => String(n)), "last"]);
    });

    test("a request for a page gets the page, before and after an upgrade", async (t) => {
      const house = await attached(t, { kind });
      const socket = dial(t, house, kind);
      const seen = collect(socket);
      socket.write("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
      await until("the page", () => seen.text.includes("got /page"));
      seen.text = "";
      socket.write(ASK());
      await until("the 101", () => statusOf(seen) === 101);
      socket.write(said("after a page"));
      await until("the message", () => house.app.messages.length === 1);
    });

    test("the 101 follows the response to an earlier request", async (t) => {
      const responses: ServerResponse[] = [];
      const listener = (_: IncomingMessage, response: ServerResponse) =>
        void responses.push(response);
      const house = await attached(t, { kind, listener });
      const socket = dial(t, house, kind);
      const seen = collect(socket);
      const page = (n: number) => `GET /${n} HTTP/1.1\r\nHost: x\r\n\r\n`;
      socket.write(page(1) + page(2) + ASK() + said("early").toString("latin1"), "latin1");
      await until("the admission", () => house.app.messages.length === 1);
      assert.equal(seen.text, "");
      responses[1]?.end("second");
      responses[0]?.write("a piece");
      await until("a piece of the first", () => seen.text.includes("a piece"));
      assert.ok(!seen.text.includes("101"));
      responses[0]?.end();
      await until("the echo", () => seen.text.includes("early"));
      const order = ["a piece", "second", "HTTP/1.1 101", '"early"'].map((it) =>
        seen.text.indexOf(it),
      );
      assert.deepEqual(
        order,
        order.toSorted((a, b) => a - b),
      );
      assert.ok(!order.includes(-1));
    });

    test("a client leaves at the deadline of the handshake, if an earlier response does not end", async (t) => {
      const listener = (_: IncomingMessage, response: ServerResponse) =>
        void response.write("a piece");
      const given = { options: { handshakeTimeout: 1_000 } };
      const house = await attached(t, { kind, listener, given });
      const socket = dial(t, house, kind);
      const seen = collect(socket);
      socket.write(`GET /page HTTP/1.1\r\nHost: x\r\n\r\n${ASK()}`);
      await until("the end", () => seen.over);
      await until("onDisconnect", () => house.app.disconnects.length === 1);
      assert.ok(!seen.text.includes("101"));
    });

    test("closing the HTTP server neither closes them nor waits for them", async (t) => {
      const { http, url } = await attached(t, { kind });
      const client = await Client.open(t, url, trusting);
      await client.roundTrip();
      http.closeAllConnections?.();
      await soon("the HTTP server's end", new Promise((resolve) => http.close(resolve)));
      await client.roundTrip();
    });

    test("a client that vanishes is noticed", async (t) => {
      const house = await attached(t, { kind });
      for (const leave of ["destroy", "end"] as const) {
        const socket = dial(t, house, kind);
        const seen = collect(socket);
        socket.write(ASK());
        await until("the 101", () => statusOf(seen) === 101);
        socket[leave]();
        await until(`onDisconnect after ${leave}`, () => house.app.server.clientCount() === 0);
      }
    });

    test("stop closes with 1001, stop(true) cuts off, and the HTTP server goes on", async (t) => {
      for (const force of [false, true]) {
        const house = await attached(t, { kind });
        const client = await Client.open(t, house.url, trusting);
        await house.app.server.stop(force);
        assert.equal((await soon("the end", client.closed)).code, force ? 1006 : 1001);
        const socket = dial(t, house, kind);
        const seen = collect(socket);
        socket.write("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
        await until("the page", () => seen.text.includes("got /page"));
      }
    });

    test("a client that does not read is cut off, socket and all", async (t) => {
      const options = { maxBackpressure: 64 * 1024 };
      const house = await attached(t, { kind, given: { options } });
      const accepted = once(house.http, kind === "unix" ? "connection" : EVENT[kind]);
      const socket = dial(t, house, kind);
      const [inner] = (await accepted) as [Socket];
      const isClosed = new Promise((resolve) => inner.once("close", resolve));
      socket.write(ASK());
      await once(socket, "data");
      socket.pause();
      const text = "x".repeat(60_000);
      await until("the cut", () => {
        for (let n = 0; n < 50; n += 1) house.app.shout(text);
        return house.app.disconnects.length === 1;
      });
      assert.equal(house.app.errors[0]?.code, "SLOW_CLIENT");
      await soon("the end of Node's socket", isClosed);
      const closed = new Promise((resolve) => socket.once("close", resolve));
      socket.resume();
      await soon("the end at the client", closed);
    });

    test("a client that has not read for long is gone when the server has cut it off", async (t) => {
      const options = { slowClient: "drop", maxBackpressure: 64 * 1024 } as const;
      const house = await attached(t, { kind, given: { options } });
      const accepted = once(house.http, kind === "unix" ? "connection" : EVENT[kind]);
      const socket = dial(t, house, kind);
      const [inner] = (await accepted) as [Socket];
      const isClosed = new Promise((resolve) => inner.once("close", resolve));
      socket.write(ASK());
      await once(socket, "data");
      socket.pause();
      // Slowly, so that Node moves what it can: in the end all buffers on the way are full.
      const text = "x".repeat(60_000);
      let full = 0;
      while (full < 20) {
        const { dropped } = house.app.server.metrics();
        house.app.shout(text);
        await new Promise((resolve) => setTimeout(resolve, 5));
        full = house.app.server.metrics().dropped > dropped ? full + 1 : 0;
      }
      await house.app.server.stop(true);
      await soon("the end of Node's socket", isClosed);
    });

    test("limits, deadlines and refusals hold", async (t) => {
      const never = latch<object>();
      const house = await attached(t, {
        kind,
        given: {
          onConnect: ({ wait }) => (wait ? never.promise : {}),
          options: { maxConnections: 2, handshakeTimeout: 2_000, maxConnectionsPerAddress: 1 },
        },
      });
      const answer = async (text: string) => {
        const socket = dial(t, house, kind);
        const seen = collect(socket);
        socket.write(text);
        await until("the end", () => seen.over);
        return statusOf(seen);
      };
      const many = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`x-${n}`, "1"]));
      assert.equal(await answer(ASK({ "Sec-WebSocket-Key": "short" })), 400);
      assert.equal(await answer(ASK({ "Sec-WebSocket-Version": "8" })), 426);
      assert.equal(await answer(ASK(many)), 431);
      assert.equal(await answer(ASK({ "Content-Length": "5" }) + "hello"), 400);
      assert.equal(await answer(ASK({}, "/ws?wait=1")), 503);
      assert.equal(await answer(ASK({}, "/other")), 404);
      await Client.open(t, house.url, trusting);
      if (kind === "unix") await Client.open(t, house.url, trusting);
      assert.equal(await answer(ASK()), kind === "unix" ? 503 : 429);
      const { refused } = house.app.server.metrics();
      const last = kind === "unix" ? { MAX_CONNECTIONS: 1 } : { ADDRESS: 1 };
      const expected = {
        MALFORMED: 2,
        VERSION: 1,
        HEAD_TOO_LARGE: 1,
        TIMEOUT: 1,
        PATH: 1,
        ...last,
      };
      assert.deepEqual(refused, expected);
    });

    test("while it drains it answers 503, until the last connection is closed", async (t) => {
      const house = await attached(t, { kind });
      const client = await Client.open(t, house.url, trusting);
      const stopped = house.app.server.stop({ drain: 100_000 });
      const socket = dial(t, house, kind);
      const seen = collect(socket);
      socket.write(ASK());
      await until("the refusal", () => seen.over);
      assert.equal(statusOf(seen), 503);
      await client.roundTrip();
      await client.close();
      await soon("stop", stopped);
      assert.equal(house.http.listenerCount("upgrade"), 0);
      assert.equal(house.app.server.metrics().refused.STOP, 1);
    });

    test("frames of the client that break the rules end it with the right code", async (t) => {
      const house = await attached(t, { kind });
      const socket = dial(t, house, kind);
      const seen = collect(socket);
      socket.write(ASK());
      await until("the 101", () => statusOf(seen) === 101);
      seen.text = "";
      socket.write(frame("x", 3));
      await until("the end", () => seen.over);
      const close = Buffer.from(seen.text, "latin1");
      assert.deepEqual([close[0], close.readUInt16BE(2)], [0x88, 1002]);
    });
  });
}
