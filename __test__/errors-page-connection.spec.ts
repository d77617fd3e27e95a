// docs/errors.md: close codes and refused upgrades, each row provoked on a running server, over a socket of ours.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { RefusalReason, ServerOptions } from "@zocket/core";

import { Authority } from "./_certificates.ts";
import { eachRow, inSources, rowsOf, valuesOf, type Case } from "./_errors-page.ts";
import { ask, frame, Raw, request, said, type Answer } from "./_raw.ts";
import { two } from "./_share-clients.ts";
import { Client, serve, type Given, type Headers } from "./_support.ts";
import { latch, soon, until } from "./_wait.ts";

const REASONS: Record<RefusalReason, true> = {
  HEADERS: true,
  CONNECT: true,
  ORIGIN: true,
  STOP: true,
  NOT_UPGRADE: true,
  VERSION: true,
  MALFORMED: true,
  HEAD_TOO_LARGE: true,
  PATH: true,
  MAX_CONNECTIONS: true,
  TIMEOUT: true,
  ADDRESS: true,
  UPGRADE_RATE: true,
  ADDRESS_RATE: true,
};

/** A close frame with this code. */
const closing = (code: number) => frame(Buffer.of(code >> 8, code & 0xff), 8);

/** A row whose code a client gets that sends these frames, each on a connection of its own. */
const after =
  (frames: Uint8Array[][], given: Given = {}): Case =>
  async (t, { Code }) => {
    const app = serve(t, given);
    for (const bytes of frames) {
      const raw = await Raw.open(t, app.port);
      raw.write(...bytes);
      assert.equal(await raw.closeCode(), Number(Code), Buffer.concat(bytes).toString("hex"));
      await raw.ended;
    }
    await until("their ends", () => app.disconnects.length === frames.length);
    // A broken frame is the fault of one client, and nobody else's.
    await Client.open(t, app.url);
    assert.deepEqual(app.errors, []);
  };

/** The first byte of a frame changed. */
function started(byte: number, bytes: Buffer): Buffer {
  bytes[0] = byte;
  return bytes;
}

eachRow("Close codes", ["Code", "At fault"], {
  "1001, nobody": async (t) => {
    const app = serve(t);
    const raw = await Raw.open(t, app.port);
    const stopped = app.server.stop();
    assert.equal(await raw.closeCode(), 1001);
    raw.write(closing(1001));
    await soon("stop", stopped);
    const drained = serve(t);
    const client = await Client.open(t, drained.url);
    await soon("stop", drained.server.stop({ drain: 50 }));
    const { code, reason } = await client.closed;
    assert.equal(code, 1001);
    assert.match(reason, /^reconnect-after=\d+$/);
  },
  "1002, client": after([
    // Not masked.
    [Buffer.of(0x81, 1, 0x41)],
    // A reserved bit, a reserved opcode.
    [started(0xc1, frame("x"))],
    [frame("x", 3)],
    // A control frame that is fragmented, or too long.
    [frame("x", 9, false)],
    [frame(Buffer.alloc(126), 9)],
    // A continuation of nothing, and a new message within another.
    [frame("x", 0)],
    [frame("x", 1, false), frame("y")],
    // Close codes that nobody may send.
    ...[0, 999, 1004, 1005, 1006, 1015, 2999].map((code) => [closing(code)]),
    [frame("x", 8)],
  ]),
  "1007, client": after([
    [frame(Buffer.of(0x22, 0xff, 0x22))],
    [frame(Buffer.of(0xc3), 1, false), frame(Buffer.of(0x28), 0)],
  ]),
  "1009, client": after(
    [[said("x".repeat(64))], [frame("x".repeat(40), 1, false), frame("x".repeat(40), 0)]],
    { options: { maxPayload: 64 } },
  ),
  "the client's, nobody": async (t) => {
    const app = serve(t);
    for (const code of [1000, 1001, 3000, 4999]) {
      const raw = await Raw.open(t, app.port);
      raw.write(closing(code));
      assert.equal(await raw.closeCode(), code);
    }
    const without = await Raw.open(t, app.port);
    without.write(frame("", 8));
    await until("an empty close frame", () => without.frames().length > 0);
    assert.deepEqual(without.frames(), [{ opcode: 8, payload: Buffer.alloc(0) }]);
  },
  "1011, application": async (t) => {
    const app = serve(t, { onOpen: () => Promise.reject(new Error("mine")) });
    const raw = await Raw.open(t, app.port);
    assert.equal(await raw.closeCode(), 1011);
  },
  "1012, nobody": async (t) => {
    const { a, b } = await two(t);
    const raw = await Raw.open(t, a.port);
    const own = "return server.metrics().workers.find(({ isThis }) => isThis).connections";
    const worker = (await a.ask(own)) === 1 ? a : b;
    // It waits for the answer of the client, and does not get one.
    await worker.ask("void server.stop()");
    assert.equal(await raw.closeCode(), 1012);
  },
  "the server's, nobody": async (t) => {
    const app = serve(t);
    for (const [place, code] of [1000, 1008, 1014, 3000, 4999].entries()) {
      const raw = await Raw.open(t, app.port);
      await app.server.disconnect(app.connects[place]?.clientId ?? "", { code });
      assert.equal(await raw.closeCode(), code);
    }
  },
  "1006, application": async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    await app.server.stop(true);
    assert.equal((await soon("the end", client.closed)).code, 1006);
  },
  "1006, client": async (t) => {
    const app = serve(t, { options: { maxBackpressure: 1024 } });
    const slow = await Client.open(t, app.url);
    slow.socket.pause();
    const text = "x".repeat(32 * 1024);
    await until("it is cut off", () => {
      for (let burst = 0; burst < 100; burst++) app.shout(text);
      return app.server.clientCount() === 0;
    });
    slow.socket.resume();
    assert.equal((await soon("the end", slow.closed)).code, 1006);
  },
  "1006, network": async (t) => {
    const app = serve(t, { options: { heartbeatInterval: 20 } });
    const silent = await Raw.open(t, app.port);
    await soon("the end", silent.ended);
    // It was pinged, and no close frame came.
    assert.deepEqual([...new Set(silent.frames().map(({ opcode }) => opcode))], [9]);
    assert.equal(await silent.closeCode(), 1006);
    await until("onDisconnect", () => app.disconnects.length === 1);
  },
});

/** What is asked of a server, and what else is true of the answer. */
interface Refused {
  given?: Given;
  ask?: string;
  check?: (answer: Answer) => void;
}

const throws = (): never => {
  throw new Error("secret");
};
const withStatus = (status: number) => (): never => {
  throw Object.assign(new Error("secret"), { status });
};
const schema = (validate: () => unknown) =>
  ({ "~standard": { version: 1, vendor: "specs", validate } }) as StandardSchemaV1<
    unknown,
    Headers
  >;
const ELSEWHERE = request({ Origin: "https://elsewhere.example" });

/** A row that these requests are answered by. */
const refused =
  (...requests: Refused[]): Case =>
  async (t, row) => {
    for (const { given, ask: bytes = request(), check } of requests) {
      const app = serve(t, given);
      const answer = await ask(t, app.port, bytes);
      isRefusal(answer, row);
      check?.(answer);
      assert.doesNotMatch(answer.body, /secret/);
      assert.deepEqual(app.server.metrics().refused, { [row["refused"] ?? ""]: 1 });
      assert.equal(app.server.metrics().accepted, 0);
      const told = row["onError"] === "no" ? [] : [row["onError"]];
      // What the engine tells comes with the bell.
      await until("onError", () => app.errors.length >= told.length);
      assert.deepEqual(
        app.errors.map(({ code }) => code),
        told,
      );
    }
  };

/** Whether the answer is what the row says. */
function isRefusal({ status, headers }: Answer, row: Readonly<Record<string, string>>): void {
  const [from = 0, to = from] = (row["Status"] ?? "").split(" to ").map(Number);
  assert.ok(status >= from && status <= to, `${status} instead of ${row["Status"]}`);
  assert.match(headers["connection"] ?? "", /^close\b/);
  const isJson = row["Status"] === "400" && row["refused"] === "HEADERS";
  const type = isJson ? "application/json" : "text/plain; charset=utf-8";
  assert.equal(headers["content-type"], type);
}

const namesProtocol = ({ headers }: Answer) => assert.equal(headers["upgrade"], "websocket");
const without = (name: string) => request({ [name]: undefined });

/** Waits for an answer that takes an option's time; a second is enough for a request to be read by then. */
const SOON = { handshakeTimeout: 1_000 };

eachRow("Refused upgrades", ["Status", "refused", "At fault"], {
  "400, HEADERS, client": refused({
    given: { headers: schema(() => ({ issues: [{ message: "no" }] })) },
    check: ({ body }) =>
      assert.deepEqual(JSON.parse(body), {
        error: "Invalid headers",
        details: [{ message: "not accepted" }],
      }),
  }),
  "500, HEADERS, application": refused({ given: { headers: schema(throws) } }),
  "403, CONNECT, client": refused(
    { given: { onConnect: throws } },
    { given: { onConnect: async () => throws() } },
    { given: { onConnect: withStatus(399) } },
    { given: { onConnect: withStatus(600) } },
    { given: { onConnect: withStatus(401.5) } },
  ),
  "400 to 499, CONNECT, client": refused(
    ...[400, 401, 499].map((status) => ({
      given: { onConnect: withStatus(status) },
      check: (answer: Answer) => assert.equal(answer.status, status),
    })),
  ),
  "500 to 599, CONNECT, application": refused(
    ...[500, 503, 599].map((status) => ({
      given: { onConnect: withStatus(status) },
      check: (answer: Answer) => assert.equal(answer.status, status),
    })),
  ),
  "500, CONNECT, application": refused(
    ...[1, "text", null].map((value) => ({ given: { onConnect: () => value } })),
  ),
  "403, ORIGIN, client": refused(
    { given: { options: { allowedOrigins: ["https://example.com"] } }, ask: ELSEWHERE },
    { given: { options: { allowedOrigins: () => false } }, ask: ELSEWHERE },
  ),
  "403, ORIGIN, application": refused({
    given: { options: { allowedOrigins: throws } },
    ask: ELSEWHERE,
  }),
  "503, STOP, nobody": async (t, row) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: () => admission.promise });
    const raw = new Raw(t, app.port, request());
    await until("onConnect", () => app.connects.length === 1);
    const stopped = app.server.stop();
    isRefusal(await raw.answer(), row);
    admission.open({});
    await soon("stop", stopped);
    assert.deepEqual(app.server.metrics().refused, { STOP: 1 });
    assert.deepEqual(app.errors, []);
  },
  "426, NOT_UPGRADE, client": refused(
    { ask: without("Upgrade"), check: namesProtocol },
    { ask: request({}, "POST / HTTP/1.1"), check: namesProtocol },
    {
      given: { options: { path: "/ws" } },
      ask: "GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n",
      check: namesProtocol,
    },
  ),
  "426, VERSION, client": refused({
    ask: request({ "Sec-WebSocket-Version": "8" }),
    check: (answer) => {
      namesProtocol(answer);
      assert.equal(answer.headers["sec-websocket-version"], "13");
    },
  }),
  "400, MALFORMED, client": refused({ ask: "nonsense\r\n\r\n" }),
  "431, HEAD_TOO_LARGE, client": refused(
    { ask: request({ Cookie: "x".repeat(16 * 1024) }) },
    { ask: request({ "X-Many": Array.from({ length: 100 }, String) }) },
  ),
  "404, PATH, client": refused(
    { given: { options: { path: "/ws" } } },
    { given: { options: { path: "/ws" } }, ask: request({}, "GET /ws/ HTTP/1.1") },
  ),
  "503, MAX_CONNECTIONS, nobody": async (t, row) => {
    const app = serve(t, { options: { maxConnections: 1 } });
    await Client.open(t, app.url);
    isRefusal(await ask(t, app.port, request()), row);
    assert.deepEqual(app.server.metrics().refused, { MAX_CONNECTIONS: 1 });
    assert.deepEqual(app.errors, []);
  },
  "429, ADDRESS, nobody": async (t, row) => {
    const app = serve(t, { options: { maxConnectionsPerAddress: 1 } });
    await Client.open(t, app.url);
    isRefusal(await ask(t, app.port, request()), row);
    assert.deepEqual(app.server.metrics().refused, { ADDRESS: 1 });
    assert.deepEqual(app.errors, []);
  },
  "503, UPGRADE_RATE, nobody": async (t, row) => {
    // One in a thousand seconds.
    const app = serve(t, { options: { maxUpgradesPerSecond: 0.001 } });
    await Client.open(t, app.url);
    const answer = await ask(t, app.port, request());
    isRefusal(answer, row);
    assert.equal(answer.headers["retry-after"], "1");
    assert.deepEqual(app.server.metrics().refused, { UPGRADE_RATE: 1 });
    assert.deepEqual(app.errors, []);
  },
  "429, ADDRESS_RATE, nobody": async (t, row) => {
    // One in twenty seconds.
    const app = serve(t, { options: { maxUpgradesPerSecondPerAddress: 0.05 } });
    await Client.open(t, app.url);
    const answer = await ask(t, app.port, request());
    isRefusal(answer, row);
    assert.match(answer.headers["retry-after"] ?? "", /^(1?\d|20)$/);
    assert.deepEqual(app.server.metrics().refused, { ADDRESS_RATE: 1 });
    assert.deepEqual(app.errors, []);
  },
  "408, TIMEOUT, client": refused({ given: { options: SOON }, ask: "GET / HTTP/1.1\r\n" }),
  "503, TIMEOUT, application": slow({ onConnect: () => new Promise(() => {}), options: SOON }),
});

/** A row whose body these requests are answered with. */
const says = (...requests: (string | Buffer)[]): Case => saysWith({}, ...requests);
const saysWith =
  (options: ServerOptions, ...requests: (string | Buffer)[]): Case =>
  async (t, row) => {
    const app = serve(t, { options });
    for (const bytes of requests) {
      const { status, body } = await ask(t, app.port, bytes);
      assert.deepEqual(
        [status, body.replaceAll("`", "")],
        [400, `${row["Body"]}\n`],
        String(bytes),
      );
    }
    assert.deepEqual(app.server.metrics().refused, { MALFORMED: requests.length });
  };
const twice = (name: string) => request({ [name]: ["a", "a"] });
const target = (text: string) => request({}, `GET ${text} HTTP/1.1`);

/** An upgrade request that offers these subprotocols. */
const offering = (...protocols: string[]) =>
  request({ "Sec-WebSocket-Protocol": protocols.join(", ") });
const EMPTY = `zocket.h.${Buffer.from("{}").toString("base64url")}`;

/** What a client that offers `zocket.1` is told, each by an application of its own. */
const refusedInAFrame =
  (status: number, ...given: Given[]): Case =>
  async (t, { Code = "", code }) => {
    for (const application of given) {
      const app = serve(t, application);
      const raw = new Raw(t, app.port, offering("zocket.1"));
      assert.equal(await raw.closeCode(), 4000 + status);
      const [{ type, payload } = { type: "" }, ...others] = raw.messages();
      const { issues, ...told } = payload as { issues?: unknown };
      assert.equal(type, "$refused");
      assert.deepEqual(told, { status, code });
      assert.equal(issues !== undefined, status === 400 && code === "HEADERS");
      assert.deepEqual(others, []);
      const [least = 0, most = least] = Code.split(" to ").map(Number);
      assert.ok(4000 + status >= least && 4000 + status <= most);
      await until("its count", () => app.server.metrics().refused[code as RefusalReason] === 1);
    }
  };

eachRow("Refusals in a frame", ["Code", "code"], {
  "4400, HEADERS": refusedInAFrame(400, {
    headers: schema(() => ({ issues: [{ message: "no" }] })),
  }),
  "4500, HEADERS": refusedInAFrame(500, { headers: schema(throws) }),
  "4403, CONNECT": refusedInAFrame(403, { onConnect: throws }, { onConnect: async () => throws() }),
  "4400 to 4599, CONNECT": async (t, row) => {
    for (const status of [400, 401, 599]) {
      const onConnect = () => {
        throw { status };
      };
      await refusedInAFrame(status, { onConnect })(t, row);
    }
  },
  "4500, CONNECT": refusedInAFrame(500, { onConnect: () => 1 }),
  "4503, TIMEOUT": refusedInAFrame(503, {
    onConnect: () => new Promise(() => {}),
    options: { handshakeTimeout: 1_000 },
  }),
});

eachRow("Malformed requests", ["Body"], {
  "The zocket.h. subprotocol is not unpadded base64url of a JSON object of strings.": says(
    offering("zocket.1", "zocket.h."),
    offering("zocket.1", `${EMPTY}=`),
    offering("zocket.h.W10", "zocket.1"),
  ),
  "The request has more than one zocket.h. subprotocol.": says(offering("zocket.1", EMPTY, EMPTY)),
  "The request has a zocket.h. subprotocol, but does not offer zocket.1.": says(offering(EMPTY)),
  "The request is HTTP/1.0; WebSocket needs HTTP/1.1. A proxy in front may need proxy_http_version 1.1.":
    says(
      request({}, "GET / HTTP/1.0"),
      request({ Host: undefined, "Sec-WebSocket-Key": undefined }, "GET / HTTP/1.0"),
      request({ "Sec-WebSocket-Version": undefined }, "GET / HTTP/1.0"),
    ),
  "The request is not HTTP/1.1.": says(
    request({}, "GET / HTTP/1.2"),
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  ),
  "The request is TLS, but this port speaks plain HTTP: use ws://, or give the server the option tls.":
    says(Buffer.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3)),
  "The first line of the request is not GET /path HTTP/1.1.": says(
    "nonsense\r\n\r\n",
    request({}, "GET  / HTTP/1.1"),
    request({}, "GET /"),
  ),
  "A header of the request is not Name: value on one line.": says(
    request({ "X Y": "1" }),
    request({ "X-Y ": "1" }),
    request({ "X-Y": "1\r\n 2" }),
    request({ "X-Y": "1\r\nno colon" }),
  ),
  "The request has a control character, or a line that does not end with CR LF.": says(
    request().replaceAll("\r\n", "\n"),
    request({ "X-Y": "\0" }),
    "\r\n\r\n",
  ),
  "The target of the request must be a path that starts with /, without #.": says(
    ...["*", "a:1", "ftp://a/", "/#a"].map(target),
  ),
  "The request has no Host header.": says(without("Host")),
  "The request has no Sec-WebSocket-Key header.": says(without("Sec-WebSocket-Key")),
  "The request has no Sec-WebSocket-Version header.": says(without("Sec-WebSocket-Version")),
  "The request has more than one Host header.": says(twice("Host")),
  "The request has more than one Sec-WebSocket-Key header.": says(twice("Sec-WebSocket-Key")),
  "The request has more than one Sec-WebSocket-Version header.": says(
    twice("Sec-WebSocket-Version"),
  ),
  "The request has more than one Authorization header.": says(twice("Authorization")),
  "The Host header is not a host name with an optional port.": says(
    ...["", "a b", "a, b", "u@a", "a:x"].map((Host) => request({ Host })),
  ),
  "The Sec-WebSocket-Key header is not 16 bytes in base64.": says(
    ...["", "short", "!".repeat(24), "A".repeat(20)].map((key) =>
      request({ "Sec-WebSocket-Key": key }),
    ),
  ),
  "The request is plain HTTP, but this port speaks TLS: use wss:// or https://.": saysWith(
    { tls: new Authority().issue() },
    request(),
    "HEAD / HTTP/1.1\r\n",
  ),
  "The request announces a body. An upgrade request has none.": says(
    request({ "Content-Length": "1" }),
    request({ "Transfer-Encoding": "chunked" }),
  ),
});

test("each text of a 400 for a malformed request is a row of docs/errors.md", () => {
  const source = inSources(
    ["src/handshake/malformed.rs"],
    /"(The [^"]*|A header [^"]*)\\n"/g,
  ).flat();
  const rows = rowsOf("Malformed requests").map((row) => row["Body"] ?? "");
  for (const text of source) {
    const pattern = text.replaceAll("`", "").replace(/[.*+?^$()|[\]\\]/g, "\\$&");
    assert.ok(
      rows.some((row) => new RegExp(`^${pattern.replace("{name}", "[\\w-]+")}$`).test(row)),
      text,
    );
  }
  assert.equal(source.length, 16);
});

/** A request that nobody decides about in time; tried again where the machine was too busy to read it within that time. */
function slow(given: Given): Case {
  return async (t, row) => {
    const app = serve(t, given);
    let answer: Answer;
    let requests = 0;
    do {
      answer = await ask(t, app.port, request());
      requests += 1;
    } while (answer.status === 408);
    isRefusal(answer, row);
    assert.deepEqual(app.server.metrics().refused, { TIMEOUT: requests });
    assert.deepEqual(app.errors, []);
  };
}

describe("nothing that the code can answer is missing in docs/errors.md:", () => {
  test("reasons", () => {
    const engine = inSources(["src/handshake/refusal.rs"], /^ {4}\w+: "([A-Z_]+)",/gm).flat();
    const reasons = Object.keys(REASONS).toSorted();
    assert.deepEqual(engine.toSorted(), reasons);
    assert.deepEqual(valuesOf("Refused upgrades", "refused"), reasons);
  });

  test("statuses of the engine", () => {
    const names = new Map(
      inSources(["src/handshake/refusal.rs"], /^ {4}(\w+): "([A-Z_]+)",/gm) as [string, string][],
    );
    const files = [
      "src/handshake/request.rs",
      "src/handshake/rules.rs",
      "src/tasks/upgrade.rs",
      "src/limits/capacity.rs",
    ];
    const pairs = inSources(files, /\((\d{3}), Reason::(\w+)\)/g);
    assert.ok(pairs.length > 5, "the sources look different now");
    const rows = rowsOf("Refused upgrades").map((row) => `${row["Status"]} ${row["refused"]}`);
    for (const [status, reason = ""] of pairs) {
      assert.ok(rows.includes(`${status} ${names.get(reason)}`), `${status} ${reason}`);
    }
  });

  test("close codes of the engine", () => {
    const files = [
      "src/shard/drain.rs",
      "src/shard/leave.rs",
      "src/frame/fault.rs",
      "ts/connections/openings.ts",
    ];
    const codes = inSources(files, /(?:Self::\w+ => \(|: u16 = |code: )(\d{4})/g).flat();
    const known = valuesOf("Close codes", "Code").filter((code) => /^\d+$/.test(code));
    assert.deepEqual([...new Set(codes), "1006"].toSorted(), known);
  });
});
