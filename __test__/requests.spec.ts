// The answers to requests that do not upgrade.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Raw, ask, request } from "./_raw.ts";
import { Client, serve } from "./_support.ts";

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
    "behind a PROXY header": `PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n${request()}`,
    "behind a PROXY header in binary": `\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c${"\x01".repeat(12)}${request()}`,
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
