// A server as its owner sees it: options, address, the answers to requests that do not upgrade, limits, metrics, and how
// long Node lives.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { describe, test } from "node:test";

import { createServer, zocket, type ServerOptions } from "@zocket/core";

import {
  Child,
  Client,
  Raw,
  anything,
  ask,
  frame,
  latch,
  portOf,
  request,
  said,
  serve,
  until,
} from "./_support.ts";

const hasIPv6 = Object.values(networkInterfaces())
  .flat()
  .some((it) => it?.address === "::1");
const onLinux = process.platform === "linux";
const zo = zocket.create({ headers: anything<Record<string, string>>() });
const router = zo.router(
  { say: zo.message.incoming({ payload: anything<unknown>() }) },
  { say() {} },
);

describe("where a server listens", () => {
  test("it is bound when createServer returns", async (t) => {
    const { server } = serve(t);
    assert.ok(server.port > 0 && server.port < 65_536);
    assert.equal(server.hostname, "127.0.0.1");
    assert.equal(server.url, `ws://127.0.0.1:${server.port}`);
    await Client.open(t, server.url);
  });

  test("port 3000 of all interfaces is the default", async () => {
    try {
      const server = createServer(router, zo);
      const { port, url } = server;
      await server.stop();
      assert.deepEqual([port, url], [3000, "ws://localhost:3000"]);
    } catch (error) {
      // Somebody else on this machine has it, which tells as much.
      assert.equal((error as NodeJS.ErrnoException).code, "EADDRINUSE");
      assert.match((error as Error).message, /\b3000\b/);
    }
  });

  test("port 0 is any free one", (t) => {
    assert.notEqual(serve(t).port, serve(t).port);
  });

  test("all interfaces are reached by IPv4 and IPv6, and the url says localhost", async (t) => {
    const { server, port } = serve(t, { options: { hostname: undefined } as ServerOptions });
    assert.equal(server.url, `ws://localhost:${port}`);
    await Client.open(t, `ws://127.0.0.1:${port}`);
    if (hasIPv6) await Client.open(t, `ws://[::1]:${port}`);
    else t.diagnostic("this machine has no IPv6: ::1 is not tried");
  });

  test("the unspecified addresses are all interfaces too", (t) => {
    const { server } = serve(t, { options: { hostname: "0.0.0.0" } });
    assert.equal(server.url, `ws://localhost:${server.port}`);
  });

  test("an IPv6 address stands in brackets in the url", { skip: !hasIPv6 }, async (t) => {
    const { server } = serve(t, { options: { hostname: "::1" } });
    assert.equal(server.hostname, "::1");
    assert.equal(server.url, `ws://[::1]:${server.port}`);
    await Client.open(t, server.url);
  });

  test("a host name is resolved, and the url can be connected to", async (t) => {
    const { server } = serve(t, { options: { hostname: "localhost" } });
    await Client.open(t, server.url);
  });

  test("a port that another program has is an Error with EADDRINUSE, thrown by createServer", async (t) => {
    const other = createTcpServer().listen(0, "127.0.0.1");
    t.after(() => other.close());
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    assert.throws(
      () => createServer(router, zo, { port, hostname: "127.0.0.1" }),
      (error) => {
        assert.ok(error instanceof Error && !(error instanceof TypeError));
        assert.equal((error as NodeJS.ErrnoException).code, "EADDRINUSE");
        return true;
      },
    );
  });

  test("a port that another of our servers has is EADDRINUSE too, and leaves that server alone", async (t) => {
    const { port, url } = serve(t);
    const again = () => createServer(router, zo, { port, hostname: "127.0.0.1" });
    assert.throws(again, { code: "EADDRINUSE" });
    await (await Client.open(t, url)).roundTrip();
  });

  test("all interfaces cannot be had twice either, by us or by others", async (t) => {
    const server = createServer(router, zo, { port: 0 });
    t.after(() => server.stop(true));
    assert.throws(() => createServer(router, zo, { port: server.port }), { code: "EADDRINUSE" });
    const other = createTcpServer().listen(server.port);
    const [error] = await once(other, "error");
    assert.equal((error as NodeJS.ErrnoException).code, "EADDRINUSE");
  });

  test("an address that is not this machine's is an Error with a code", () => {
    const elsewhere = () => createServer(router, zo, { port: 0, hostname: "192.0.2.1" });
    assert.throws(elsewhere, { name: "Error", code: "EADDRNOTAVAIL" });
  });
});

describe("options", () => {
  const WRONG: [name: string, ...values: unknown[]][] = [
    ["port", -1, 65_536, 1.5, NaN, "3000", null, true],
    ["hostname", "", 1, null, {}],
    ["path", "", "chat", 1, null, /x/],
    ["allowedOrigins", "https://example.com", 1, null, {}, [1], [null]],
    ["maxPayload", 0, -1, 1.5, Infinity, "1", null, 2 ** 40],
    ["maxBackpressure", -1, 0.5, NaN, "1", null],
    ["slowClient", "close", "", 1, null, true],
    ["heartbeatInterval", -1, 0.5, NaN, Infinity, "30", null, 2 ** 31],
    ["handshakeTimeout", 0, -1, NaN, Infinity, "10", null, 2 ** 31],
    ["maxConnections", 0, -1, 1.5, NaN, Infinity, "1", null],
    ["ioThreads", 0, -1, 1.5, 257, "1", null],
    ["onError", 1, "log", null, {}],
  ];
  for (const [name, ...values] of WRONG) {
    test(`a wrong ${name} is a TypeError that names it`, () => {
      for (const value of values) {
        const options = { port: 0, [name]: value } as ServerOptions;
        assert.throws(
          () => void createServer(router, zo, options).stop(),
          (error) => {
            assert.ok(error instanceof TypeError, `${String(value)}: ${String(error)}`);
            assert.ok(error.message.includes(name), error.message);
            return true;
          },
          `${name}: ${String(value)} was taken`,
        );
      }
    });
  }

  test("one that is undefined is left out", async (t) => {
    const names = WRONG.map(([name]) => name).filter((name) => name !== "port");
    const undefineds = Object.fromEntries(names.map((name) => [name, undefined]));
    await Client.open(t, serve(t, { options: { ...undefineds, hostname: "127.0.0.1" } }).url);
  });

  test("ioThreads is the number of threads for WebSocket I/O", { skip: !onLinux }, async (t) => {
    const threads = () => readdirSync("/proc/self/task").length;
    const before = threads();
    const { server } = serve(t, { options: { ioThreads: 1 } });
    const others = threads() - before - 1;
    await server.stop();
    await until("its threads' end", () => threads() <= before);
    const { url } = serve(t, { options: { ioThreads: 7 } });
    assert.equal(threads() - before, 7 + others);
    const clients = await Promise.all(Array.from({ length: 14 }, () => Client.open(t, url)));
    await Promise.all(clients.map((client) => client.roundTrip()));
  });

  test("anything but a router, a zo and an object of options is a TypeError", () => {
    const create = createServer as (...args: unknown[]) => unknown;
    for (const wrong of [undefined, null, 1, "x", {}, () => {}, [router]]) {
      assert.throws(() => create(wrong, zo, { port: 0 }), TypeError, `router: ${String(wrong)}`);
      assert.throws(() => create(router, wrong, { port: 0 }), TypeError, `zo: ${String(wrong)}`);
    }
    for (const wrong of [null, 1, "x", true]) {
      assert.throws(() => create(router, zo, wrong), TypeError, `options: ${String(wrong)}`);
    }
  });
});

describe("requests that do not upgrade", () => {
  test("any path is served by default", async (t) => {
    const { port } = serve(t);
    for (const path of ["/", "/a/b", "/?x=1", "/%20"]) {
      assert.equal((await ask(t, port, request({}, `GET ${path} HTTP/1.1`))).status, 101, path);
    }
  });

  test("with `path`, upgrade requests for exactly it are served, the query aside, and others get 404", async (t) => {
    const { server, port } = serve(t, { options: { path: "/ws" } });
    for (const path of ["/ws", "/ws?", "/ws?a=1&b=/x"]) {
      assert.equal((await ask(t, port, request({}, `GET ${path} HTTP/1.1`))).status, 101, path);
    }
    const others = ["/", "/w", "/ws/", "/wss", "/ws/x", "/WS", "//ws", "/?/ws", "/%77s"];
    for (const path of others) {
      assert.equal((await ask(t, port, request({}, `GET ${path} HTTP/1.1`))).status, 404, path);
    }
    assert.deepEqual(server.metrics().refused, { PATH: others.length });
  });

  test("one that is no upgrade gets 426 with `Upgrade: websocket`, on any path", async (t) => {
    const { server, port } = serve(t, { options: { path: "/ws" } });
    const plain = { Upgrade: undefined, Connection: undefined };
    const requests = [
      request(plain),
      request(plain, "GET /ws HTTP/1.1"),
      request(plain, "GET /elsewhere HTTP/1.1"),
      request({ ...plain, "Sec-WebSocket-Key": undefined, "Sec-WebSocket-Version": undefined }),
      request({}, "POST /ws HTTP/1.1"),
      request({ Upgrade: "h2c" }),
      request({ Connection: "keep-alive" }),
    ];
    for (const text of requests) {
      const { status, headers } = await ask(t, port, text);
      assert.deepEqual([status, headers["upgrade"]], [426, "websocket"], text);
    }
    assert.deepEqual(server.metrics().refused, { NOT_UPGRADE: requests.length });
  });

  test("a head is read however it is cut", async (t) => {
    const raw = new Raw(t, serve(t).port);
    raw.socket.setNoDelay(true);
    for (const byte of request()) {
      raw.write(byte);
      await new Promise(setImmediate);
    }
    assert.equal((await raw.answer()).status, 101);
  });

  test("fetch gets its 426 as an ordinary answer", async (t) => {
    const answer = await fetch(`http://127.0.0.1:${serve(t).port}/any/path`);
    assert.equal(answer.status, 426);
    assert.equal(answer.headers.get("upgrade"), "websocket");
    assert.notEqual(await answer.text(), "");
  });

  test("another WebSocket version gets 426 with `Sec-WebSocket-Version: 13`", async (t) => {
    const { server, port } = serve(t);
    for (const version of ["8", "0", "14", "thirteen"]) {
      const answer = await ask(t, port, request({ "Sec-WebSocket-Version": version }));
      assert.equal(answer.status, 426, version);
      assert.equal(answer.headers["sec-websocket-version"], "13");
    }
    assert.deepEqual(server.metrics().refused, { VERSION: 4 });
  });

  const MALFORMED: Record<string, string> = {
    "without a key": request({ "Sec-WebSocket-Key": undefined }),
    "with a key that is no base64": request({ "Sec-WebSocket-Key": "!".repeat(24) }),
    "with a key of 15 bytes": request({ "Sec-WebSocket-Key": "A".repeat(20) }),
    "with two keys": request({ "Sec-WebSocket-Key": Array(2).fill("dGhlIHNhbXBsZSBub25jZQ==") }),
    "without a version": request({ "Sec-WebSocket-Version": undefined }),
    "without a host": request({ Host: undefined }),
    "with two hosts": request({ Host: ["a", "a"] }),
    "with two authorizations": request({ Authorization: ["Bearer a", "Bearer b"] }),
    "that announces a body": request({ "Content-Length": "5" }),
    "in chunks": request({ "Transfer-Encoding": "chunked" }),
    "of HTTP/1.0": request({}, "GET / HTTP/1.0"),
    "with a field name that holds a space": request({ "X Y": "1" }),
    "with a NUL": request({ "X-Y": "\0" }),
    "with a folded line": request({ "X-Y": "1\r\n 2" }),
    "with a bare line feed": request().replaceAll("\r\n", "\n"),
    "that is TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "that is nonsense": "nonsense\r\n\r\n",
  };
  for (const [what, text] of Object.entries(MALFORMED)) {
    test(`a head ${what} gets 400`, async (t) => {
      const { server, port } = serve(t);
      assert.equal((await ask(t, port, Buffer.from(text, "latin1"))).status, 400);
      assert.deepEqual(server.metrics().refused, { MALFORMED: 1 });
    });
  }

  test("a head over 16 KiB gets 431, one below it is served", async (t) => {
    const { server, port } = serve(t);
    const room = 16 * 1024 - request({ "X-Long": "" }).length;
    const long = (length: number) => ask(t, port, request({ "X-Long": "x".repeat(length) }));
    assert.equal((await long(room)).status, 101);
    assert.equal((await long(room + 1)).status, 431);
    assert.equal((await ask(t, port, "GET /".padEnd(64 * 1024, "x"))).status, 431);
    assert.deepEqual(server.metrics().refused, { HEAD_TOO_LARGE: 2 });
  });

  test("more than 100 fields get 431, 100 are served", async (t) => {
    const { port } = serve(t);
    const fields = (count: number) => ({ "X-Many": Array<string>(count - 5).fill("1") });
    assert.equal((await ask(t, port, request(fields(100)))).status, 101);
    assert.equal((await ask(t, port, request(fields(101)))).status, 431);
  });

  test("a slow head gets 408", async (t) => {
    const { server, port } = serve(t, { options: { handshakeTimeout: 100 } });
    assert.equal((await ask(t, port, "GET / HTTP/1.1\r\nHost: ")).status, 408);
    assert.equal((await ask(t, port)).status, 408);
    assert.deepEqual(server.metrics().refused, { TIMEOUT: 2 });
  });

  test("none of them reaches onConnect, and each ends its connection", async (t) => {
    const app = serve(t, { options: { path: "/ws" } });
    for (const text of [request(), request({ Upgrade: undefined }), MALFORMED["without a key"]]) {
      const raw = new Raw(t, app.port, text ?? "");
      await raw.answer();
      await raw.ended;
    }
    await Client.open(t, `${app.url}/ws`);
    assert.equal(app.connects.length, 1);
  });
});

describe("limits", () => {
  test("a message up to maxPayload is taken, a larger one closes the connection with 1009", async (t) => {
    const { url, messages } = serve(t, { options: { maxPayload: 1000 } });
    const text = (length: number) => {
      const empty = JSON.stringify({ type: "say", payload: "" }).length;
      return JSON.stringify({ type: "say", payload: "x".repeat(length - empty) });
    };
    const client = await Client.open(t, url);
    client.socket.send(text(1000));
    await until("the message", () => messages.length === 1);
    client.socket.send(text(1001));
    assert.equal((await client.closed).code, 1009);
    assert.equal(messages.length, 1);
  });

  test("the fragments of a message count together", async (t) => {
    const { port, messages } = serve(t, { options: { maxPayload: 1000 } });
    const raw = await Raw.open(t, port);
    raw.write(frame("x".repeat(600), 1, false), frame("x".repeat(600), 0, true));
    assert.equal(await raw.closeCode(), 1009);
    assert.equal(messages.length, 0);
  });

  test("a frame that only announces too much closes the connection at once", async (t) => {
    const raw = await Raw.open(t, serve(t).port);
    raw.write(Buffer.of(0x81, 0xff, 0, 0, 0x7f, 0, 0, 0, 0, 0, 1, 2, 3, 4));
    assert.equal(await raw.closeCode(), 1009);
  });

  test("maxPayload is 1 MiB by default", async (t) => {
    const { url, messages } = serve(t, { say() {} });
    const empty = JSON.stringify({ type: "say", payload: "" }).length;
    const client = await Client.open(t, url);
    client.say("x".repeat(1024 * 1024 - empty));
    await until("the message", () => messages.length === 1);
    client.say("x".repeat(1024 * 1024 - empty + 1));
    assert.equal((await client.closed).code, 1009);
  });

  test("past maxConnections upgrades get 503, pending ones count, and a place that is left is free", async (t) => {
    const admission = latch<object>();
    const { server, url, port } = serve(t, {
      onConnect: ({ slow }) => (slow ? admission.promise : {}),
      options: { maxConnections: 2 },
    });
    const first = await Client.open(t, url);
    const pending = new Raw(t, port, request({}, "GET /?slow=1 HTTP/1.1"));
    await until("the refusal", async () => (await ask(t, port, request())).status === 503);
    assert.equal((await ask(t, port, request())).status, 503);
    const refused = server.metrics().refused["MAX_CONNECTIONS"];
    assert.ok(refused !== undefined && refused >= 2);
    // A request that is no upgrade takes no place.
    assert.equal((await ask(t, port, request({ Upgrade: undefined }))).status, 426);
    await first.close();
    await until("a place", async () => (await ask(t, port, request())).status === 101);
    admission.open({});
    assert.equal((await pending.answer()).status, 101);
  });

  test("a silent client is pinged, and one that answers stays", async (t) => {
    const { url, disconnects } = serve(t, { options: { heartbeatInterval: 50 } });
    const client = await Client.open(t, url);
    let pings = 0;
    client.socket.on("ping", () => pings++);
    await until("five pings", () => pings >= 5);
    await client.roundTrip();
    assert.equal(disconnects.length, 0);
  });

  test("a client from which nothing comes for two intervals is ended", async (t) => {
    const { server, port, disconnects } = serve(t, { options: { heartbeatInterval: 50 } });
    const mute = await Raw.open(t, port);
    await mute.ended;
    assert.ok(
      mute.frames().some(({ opcode }) => opcode === 9),
      "it was pinged first",
    );
    await until("onDisconnect", () => disconnects.length === 1);
    assert.equal(server.clientCount(), 0);
  });

  test("heartbeatInterval 0 sends no pings", async (t) => {
    const { port } = serve(t, { options: { heartbeatInterval: 0 } });
    const pinging = serve(t, { options: { heartbeatInterval: 30 } });
    const mute = await Raw.open(t, port);
    // The other server's client, opened later, is over: this one would have been too.
    await (
      await Raw.open(t, pinging.port)
    ).ended;
    mute.write(said("here"));
    await until("the echo", () => mute.messages().length === 1);
    assert.equal(mute.frames().length, 1);
  });

  const CHUNK = "x".repeat(64 * 1024);

  test("a slow client is disconnected past maxBackpressure and reported as SLOW_CLIENT", async (t) => {
    const app = serve(t, { options: { maxBackpressure: 256 * 1024 } });
    const slow = await Raw.open(t, app.port);
    const quick = await Client.open(t, app.url);
    slow.socket.pause();
    let rounds = 0;
    await until("the slow client's end", async () => {
      app.shout(CHUNK);
      rounds++;
      await quick.roundTrip();
      return app.disconnects.length === 1;
    });
    const [end] = app.disconnects;
    assert.notEqual(end?.clientId, app.messages[0]?.clientId);
    await until("SLOW_CLIENT", () =>
      app.errors.some((it) => it.code === "SLOW_CLIENT" && it.clientId === end?.clientId),
    );
    const got = quick.received.filter(({ payload }) => payload === CHUNK);
    assert.equal(got.length, rounds, "the quick client got everything");
    await until("the books to be closed", () => app.server.metrics().queued === 0);
    const { sent, written, dropped } = app.server.metrics();
    assert.ok(dropped > 0, "what was queued for it is dropped");
    assert.equal(sent, written + dropped);
  });

  test('with slowClient "drop" new messages for it are dropped and counted, and it stays', async (t) => {
    const app = serve(t, { options: { maxBackpressure: 256 * 1024, slowClient: "drop" } });
    const slow = await Client.open(t, app.url);
    slow.socket.pause();
    const number = { last: 0 };
    await until("a dropped message", () => {
      for (let round = 0; round < 10; round++) app.shout([++number.last, CHUNK]);
      return app.server.metrics().dropped > 0;
    });
    slow.socket.resume();
    await until("an empty outbox", () => app.server.metrics().queued === 0);
    await slow.roundTrip();
    const { sent, written, dropped } = app.server.metrics();
    assert.equal(sent, written + dropped);
    const numbers = slow.received.flatMap(({ payload }) =>
      Array.isArray(payload) ? payload[0] : [],
    );
    assert.equal(numbers.length, number.last - dropped, "what was not dropped arrived");
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
      "in order",
    );
    assert.equal(numbers[0], 1, "the oldest are kept");
    assert.equal(app.disconnects.length, 0);
  });

  test("backpressure is measured before a message is added: an idle client gets one of any size", async (t) => {
    for (const slowClient of ["disconnect", "drop"] as const) {
      const app = serve(t, { options: { maxBackpressure: 0, slowClient } });
      const client = await Client.open(t, app.url);
      app.shout("x".repeat(8 * 1024 * 1024));
      assert.equal(String((await client.next()).payload).length, 8 * 1024 * 1024);
      await client.roundTrip();
    }
  });
});

describe("metrics", () => {
  test("has every field from the start", (t) => {
    assert.deepEqual(serve(t).server.metrics(), {
      connections: 0,
      accepted: 0,
      refused: {},
      received: 0,
      bad: {},
      sent: 0,
      written: 0,
      queued: 0,
      dropped: 0,
      bytesIn: 0,
      bytesOut: 0,
      rooms: 0,
    });
  });

  test("counts connections, accepted and refused upgrades", async (t) => {
    const { server, url, port, disconnects } = serve(t, {
      onConnect: ({ no }) => {
        if (no) throw new Error("no");
      },
      headers: {
        "~standard": {
          version: 1,
          vendor: "specs",
          validate: (value) => {
            const headers = value as Record<string, string>;
            return headers["bad"] ? { issues: [{ message: "bad" }] } : { value: headers };
          },
        },
      },
    });
    const first = await Client.open(t, url);
    await Client.open(t, url);
    assert.equal((await ask(t, port, request({ No: "1" }))).status, 403);
    assert.equal((await ask(t, port, request({ Bad: "1" }))).status, 400);
    await first.close();
    await until("onDisconnect", () => disconnects.length === 1);
    const { connections, accepted, refused } = server.metrics();
    assert.deepEqual([connections, accepted, refused], [1, 2, { CONNECT: 1, HEADERS: 1 }]);
  });

  test("counts messages and bytes, and bad messages by code wherever they were found", async (t) => {
    const app = serve(t, {
      payload: {
        "~standard": {
          version: 1,
          vendor: "specs",
          validate: (value) => (value === "bad" ? { issues: [{ message: "bad" }] } : { value }),
        },
      },
      say: (payload) => {
        if (payload === "throw") throw new Error("thrown");
      },
    });
    const client = await Client.open(t, app.url);
    for (const text of ["no json", "[]", '{"type":"nobody"}']) client.socket.send(text);
    client.say("bad");
    client.say("throw");
    client.say("good");
    await until("the handler", () => app.messages.length === 2);
    for (let answers = 0; answers < 5; answers++)
      assert.equal((await client.next()).type, "$error");
    const { received, bad, bytesIn, bytesOut } = app.server.metrics();
    assert.equal(received, 6);
    assert.deepEqual(bad, { BAD_MESSAGE: 2, NO_ROUTE: 1, INVALID_PAYLOAD: 1, HANDLER_ERROR: 1 });
    assert.ok(bytesIn > 6 * 7 && bytesOut > 5 * 20);
  });

  test("sent counts a message once per client it was meant for, and is written + queued + dropped at any time", async (t) => {
    const app = serve(t, { options: { maxBackpressure: 100_000 } });
    const check = () => {
      const { sent, written, queued, dropped } = app.server.metrics();
      assert.equal(sent, written + queued + dropped);
    };
    const clients = await Promise.all(Array.from({ length: 20 }, () => Client.open(t, app.url)));
    app.shout("all");
    await until("20 messages", () => clients.every(({ received }) => received.length === 1));
    assert.equal(app.server.metrics().sent, 20);
    const slow = clients.slice(0, 5);
    for (const { socket } of slow) socket.pause();
    for (let round = 0; round < 200; round++) {
      app.shout("x".repeat(50_000));
      check();
      if (round % 20 === 0) {
        clients.at(-1 - round / 20)?.reset();
        await new Promise(setImmediate);
        check();
      }
    }
    for (const client of clients) client.drop();
    await until("the end of all", () => app.disconnects.length === 20);
    await until("empty outboxes", () => {
      check();
      return app.server.metrics().queued === 0;
    });
    assert.ok(
      app.server.metrics().dropped > 0,
      "what was queued when a connection ended is dropped",
    );
  });

  test("rooms counts those that have a member", async (t) => {
    const app = serve(t);
    const [first, second] = [await Client.open(t, app.url), await Client.open(t, app.url)];
    await first.join("a");
    await first.join("b");
    await second.join("b");
    await until("two rooms", () => app.server.metrics().rooms === 2);
    await first.close();
    await until("one room", () => app.server.metrics().rooms === 1);
    await second.close();
    await until("no room", () => app.server.metrics().rooms === 0);
  });
});

describe("clientCount", () => {
  test("grows at the 101, not before", async (t) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: () => admission.promise });
    const pending = new Raw(t, app.port, request());
    await until("onConnect", () => app.connects.length === 1);
    assert.equal(app.server.clientCount(), 0);
    admission.open({});
    await pending.answer();
    assert.equal(app.server.clientCount(), 1);
  });

  test("is already right in the turn in which a client learns that it is connected", async (t) => {
    const app = serve(t);
    for (let round = 1; round <= 20; round++) {
      const client = new Client(t, app.url);
      await new Promise<void>((resolve, reject) => {
        client.socket.once("upgrade", () => {
          try {
            assert.equal(app.server.clientCount(), round);
            resolve();
          } catch (error) {
            reject(error);
          }
        });
      });
    }
  });

  test("shrinks when onDisconnect begins", async (t) => {
    const counts: number[] = [];
    const app = serve(t, { onDisconnect: () => counts.push(app.server.clientCount()) });
    const clients = [await Client.open(t, app.url), await Client.open(t, app.url)];
    assert.equal(app.server.clientCount(), 2);
    for (const client of clients) await client.close();
    await until("both ends", () => counts.length === 2);
    assert.deepEqual(counts, [1, 0]);
  });

  test("is what metrics calls connections", async (t) => {
    const { server, url } = serve(t);
    await Client.open(t, url);
    assert.deepEqual([server.clientCount(), server.metrics().connections], [1, 1]);
  });
});

describe("how long Node lives", () => {
  test("it stays alive while a server listens, and exits by itself after stop", async (t) => {
    const child = Child.node(
      t,
      `process.on("beforeExit", () => console.log("idle"));
       const server = createServer(router, zo, local);
       hooks.say = (payload, ctx) => {
         if (payload === "stop") void server.stop();
         else ctx.send.said(payload).to(ctx.clientId);
       };
       tell(server);`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    await client.roundTrip();
    assert.doesNotMatch(child.out, /idle/);
    client.say("stop");
    assert.equal((await client.closed).code, 1001);
    await child.endsWell();
  });

  test("after unref the listener does not hold it", async (t) => {
    await Child.node(t, `createServer(router, zo, local).unref();`).endsWell();
  });

  test("after unref open connections do not hold it", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       hooks.say = () => server.unref();
       tell(server);`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    client.say("unref");
    await child.endsWell();
    await client.closed;
  });

  test("after ref it holds Node again", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       server.unref(); server.unref(); server.ref(); server.ref();
       hooks.say = (payload, ctx) => {
         if (payload === "unref") server.unref();
         else ctx.send.said(payload).to(ctx.clientId);
       };
       tell(server);`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    await client.roundTrip();
    client.say("unref");
    await child.endsWell();
  });

  test("an unref'd server works while something else holds Node", async (t) => {
    const app = serve(t);
    app.server.unref();
    await (await Client.open(t, app.url)).roundTrip();
    app.server.ref();
  });

  test("it stays alive, and the server works, although nobody keeps what createServer returned", async (t) => {
    const child = Child.node(
      t,
      `tell(createServer(router, zo, local));
       hooks.say = (payload, ctx) => { gc(); gc(); ctx.send.said(payload).to(ctx.clientId); };
       for (let turn = 0; turn < 10; turn++) { gc(); await new Promise(setImmediate); }
       console.log("collected");`,
      ["--expose-gc"],
    );
    const port = await portOf(child);
    await child.printed(/collected/);
    const client = await Client.open(t, `ws://127.0.0.1:${port}`);
    for (let round = 0; round < 5; round++) await client.roundTrip();
    child.process.kill();
    await child.exit;
  });

  test("a server may be used, and stopped, while the process exits", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       process.on("exit", () => {
         server.send.said("last words").broadcast();
         server.metrics();
         void server.stop();
         void server.stop(true);
       });
       hooks.say = () => process.exit(0);
       tell(server);`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    client.say("exit");
    await child.endsWell();
  });

  test("ref and unref after stop are harmless", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       await server.stop();
       server.ref(); server.unref(); server.ref();`,
    );
    await child.endsWell();
  });

  const TRAFFIC = `
    const server = createServer(router, zo, { ...local, ioThreads: 4 });
    let messages = 0;
    hooks.say = (payload, ctx) => {
      ctx.send.said(payload).broadcast();
      if (++messages === 2000) end();
    };
    tell(server);`;

  /** Sixteen clients that talk until the server is gone. */
  async function flood(t: Parameters<typeof Client.open>[0], port: number): Promise<void> {
    const open = Array.from({ length: 16 }, () => Client.open(t, `ws://127.0.0.1:${port}`));
    const clients = await Promise.all(open);
    await Promise.all(
      clients.map(async (client) => {
        while (client.socket.readyState === client.socket.OPEN) {
          for (let burst = 0; burst < 20; burst++) client.say("x".repeat(burst));
          await new Promise(setImmediate);
        }
      }),
    );
  }

  test("process.exit in mid-traffic exits with its code, five times", async (t) => {
    for (let round = 0; round < 5; round++) {
      const child = Child.node(t, `const end = () => process.exit(7);${TRAFFIC}`);
      await flood(t, await portOf(child));
      assert.deepEqual(
        { ...(await child.exit), err: child.err },
        { code: 7, signal: null, err: "" },
      );
    }
  });

  test("an uncaught error in mid-traffic ends the process as it does without a server, five times", async (t) => {
    for (let round = 0; round < 5; round++) {
      const child = Child.node(
        t,
        `const end = () => setImmediate(() => { throw new Error("on purpose"); });${TRAFFIC}`,
      );
      await flood(t, await portOf(child));
      assert.deepEqual(await child.exit, { code: 1, signal: null });
      assert.match(child.err, /Error: on purpose/);
      assert.doesNotMatch(child.err, /panic|fatal|napi/i);
    }
  });

  test("process.exit works in every callback", async (t) => {
    for (const hook of ["connect", "say", "disconnect"]) {
      const child = Child.node(
        t,
        `hooks.${hook} = () => process.exit(7); tell(createServer(router, zo, local));`,
      );
      const raw = new Raw(t, await portOf(child), request(), said("x"));
      if (hook === "disconnect") {
        await raw.answer();
        raw.socket.destroy();
      }
      assert.deepEqual(await child.exit, { code: 7, signal: null }, hook);
    }
  });
});

describe("several servers in one process", () => {
  test("have each their own clients and rooms", async (t) => {
    const apps = [serve(t), serve(t), serve(t)];
    const clients = await Promise.all(apps.map(({ url }) => Client.open(t, url)));
    for (const client of clients) await client.join("room");
    apps.forEach(({ server }, index) => server.publish("room", "said", `room ${index}`));
    apps.forEach(({ shout }, index) => shout(`all ${index}`));
    for (const [index, client] of clients.entries()) {
      await client.roundTrip();
      const payloads = client.received.slice(0, 3).map(({ payload }) => payload);
      assert.deepEqual(payloads, ["in room", `room ${index}`, `all ${index}`]);
    }
  });

  test("are stopped each alone", async (t) => {
    const [one, other] = [serve(t), serve(t)];
    const [ended, stays] = [await Client.open(t, one.url), await Client.open(t, other.url)];
    await one.server.stop();
    assert.equal((await ended.closed).code, 1001);
    await stays.roundTrip();
    await (await Client.open(t, other.url)).roundTrip();
  });

  test("may serve the same router", async (t) => {
    const { server, port } = serve(t);
    const twins = [0, 1].map(() => createServer(router, zo, { port: 0, hostname: "127.0.0.1" }));
    t.after(() => Promise.all(twins.map((twin) => twin.stop(true))));
    await Promise.all(twins.map(({ url }) => Client.open(t, url)));
    assert.deepEqual(
      [server, ...twins].map((it) => it.clientCount()),
      [0, 1, 1],
    );
    assert.equal(new Set([port, ...twins.map((it) => it.port)]).size, 3);
  });
});

describe("onError", () => {
  test("that throws, or rejects, ends nothing", async (t) => {
    for (const onError of [
      () => {
        throw new Error("from onError");
      },
      async () => {
        throw new Error("from onError");
      },
    ]) {
      const app = serve(t, { options: { onError } });
      const client = await Client.open(t, app.url);
      client.socket.send("no json");
      assert.equal((await client.next()).type, "$error");
      await client.roundTrip();
    }
  });

  test("left out, faults of the application are logged as they come, faults of peers as a count now and then", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       hooks.say = (payload, ctx) => {
         if (payload === "throw") throw new Error("a fault of the application");
         if (payload === "stop") return server.stop();
         ctx.send.said(payload).to(ctx.clientId);
       };
       tell(server);`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    for (let count = 0; count < 5000; count++) client.socket.send("no json");
    for (let count = 0; count < 3; count++) client.say("throw");
    await client.roundTrip();
    client.say("stop");
    const end = await child.exit;
    assert.deepEqual(end, { code: 0, signal: null });
    const log = child.out + child.err;
    assert.equal(log.match(/a fault of the application/g)?.length, 3, log.slice(0, 2000));
    assert.match(log, /BAD_MESSAGE/);
    const lines = log.split("\n").filter((line) => line.includes("BAD_MESSAGE"));
    assert.ok(lines.length < 50, `${lines.length} lines for 5000 bad messages`);
  });
});
