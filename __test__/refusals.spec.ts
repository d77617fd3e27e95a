// Clients that offer `zocket.1`: they are welcomed, or refused in a frame that a browser shows.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { z } from "zod";

import { Raw, ask, frame, request, said } from "./_raw.ts";
import { serve, type App, type Given } from "./_support.ts";
import { latch, until } from "./_wait.ts";

const ZOCKET = { "Sec-WebSocket-Protocol": "zocket.1" };

/** What a refused client gets: the only message, and the close code after it. */
async function refusal(t: Parameters<typeof serve>[0], app: App, changes = {}) {
  const raw = new Raw(t, app.port, request({ ...ZOCKET, ...changes }));
  const { status, headers } = await raw.answer();
  assert.equal(status, 101);
  assert.equal(headers["sec-websocket-protocol"], "zocket.1");
  const code = await raw.closeCode();
  const [message, ...others] = raw.messages();
  assert.deepEqual(others, []);
  assert.equal(message?.type, "$refused");
  raw.socket.end();
  await raw.ended;
  return { code, payload: message.payload };
}

const throwing = (error: unknown) => () => {
  throw error;
};

describe("a client that offers zocket.1", () => {
  test("is welcomed with its id and what it must keep to, before anything else", async (t) => {
    const app = serve(t, {
      onConnect: () => setImmediate(() => app.shout("hi")) && {},
      options: { maxPayload: 5_000, heartbeatInterval: 1_234 },
    });
    const raw = new Raw(t, app.port, request(ZOCKET), said("early"));
    await raw.answer();
    await until("three messages", () => raw.messages().length === 3);
    const [welcome, ...others] = raw.messages();
    const clientId = app.connects[0]?.clientId;
    const payload = { clientId, maxPayload: 5_000, heartbeatInterval: 1_234 };
    assert.deepEqual(welcome, { type: "$welcome", payload });
    assert.deepEqual(others.map(({ payload }) => payload).sort(), ["early", "hi"]);
  });

  test("hears a heartbeatInterval of 0 where it is off", async (t) => {
    const app = serve(t, { options: { heartbeatInterval: 0 } });
    const raw = await Raw.open(t, app.port, ZOCKET);
    await until("the welcome", () => raw.messages().length === 1);
    const welcome = JSON.stringify(raw.messages()[0]);
    assert.match(welcome, /"heartbeatInterval":0\}/);
  });

  test("gets the 101 and the welcome together, once the decision is known", async (t) => {
    const { promise, open } = latch<object>();
    const app = serve(t, { onConnect: () => promise });
    const raw = new Raw(t, app.port, request(ZOCKET));
    const chunks: Buffer[] = [];
    raw.socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    await until("onConnect", () => app.connects.length === 1);
    assert.equal(app.server.clientCount(), 0);
    assert.equal(raw.text, "");
    open({});
    await until("the welcome", () => raw.messages().length === 1);
    assert.equal(chunks.length, 1);
    assert.equal(app.server.clientCount(), 1);
  });

  test("costs no message that is counted", async (t) => {
    const app = serve(t);
    const raw = await Raw.open(t, app.port, ZOCKET);
    await until("the welcome", () => raw.messages().length === 1);
    raw.write(said(1));
    await until("the answer", () => raw.messages().length === 2);
    const { sent, written, queued, dropped, accepted, received } = app.server.metrics();
    assert.deepEqual(
      { sent, written, queued, dropped, accepted, received },
      { sent: 1, written: 1, queued: 0, dropped: 0, accepted: 1, received: 1 },
    );
  });

  test("that headers schema refuses gets the issues of the 400 and is closed with 4400", async (t) => {
    const headers = z.object({ token: z.string("no token"), "user-agent": z.literal("me") });
    const app = serve(t, { headers: headers as never });
    const changes = { "User-Agent": "geheim" };
    const { body } = await ask(t, app.port, request(changes));
    const { code, payload } = await refusal(t, app, changes);
    assert.equal(code, 4400);
    const { details } = JSON.parse(body) as { details: unknown };
    assert.deepEqual(payload, { status: 400, code: "HEADERS", issues: details });
    assert.doesNotMatch(JSON.stringify(payload), /geheim/);
    // Another site's page learns no more than from the 400.
    const elsewhere = { ...changes, Origin: "https://evil.example" };
    const other = await refusal(t, app, elsewhere);
    assert.deepEqual(other.payload, { status: 400, code: "HEADERS", issues: [] });
    assert.equal(app.connects.length, 0);
    const { refused, accepted, sent, written } = app.server.metrics();
    assert.deepEqual(
      { refused, accepted, sent, written },
      { refused: { HEADERS: 3 }, accepted: 0, sent: 0, written: 0 },
    );
    assert.equal(app.server.clientCount(), 0);
    assert.equal(app.disconnects.length, 0);
  });

  test("whose headers schema throws is closed with 4500", async (t) => {
    const schema: StandardSchemaV1 = {
      "~standard": { version: 1, vendor: "specs", validate: throwing(new Error("geheim")) },
    };
    const app = serve(t, { headers: schema as never });
    const { code, payload } = await refusal(t, app);
    assert.deepEqual([code, payload], [4500, { status: 500, code: "HEADERS" }]);
  });

  test("that onConnect refuses is closed with 4000 and the status", async (t) => {
    const cases: [thrown: unknown, code: number, payload: object][] = [
      [new Error("geheim"), 4403, { status: 403 }],
      [{ status: 401 }, 4401, { status: 401 }],
      [{ status: 599 }, 4599, { status: 599 }],
      [{ status: 200 }, 4403, { status: 403 }],
      [undefined, 4403, { status: 403 }],
      [{ status: 429, retryAfterMs: 1_500 }, 4429, { status: 429, retryAfterMs: 1_500 }],
      [{ status: 429, retryAfterMs: 0 }, 4429, { status: 429, retryAfterMs: 0 }],
      [{ status: 503, retryAfterMs: 0.5 }, 4503, { status: 503, retryAfterMs: 1 }],
      [{ retryAfterMs: 1e300 }, 4403, { status: 403, retryAfterMs: 2 ** 31 - 1 }],
      [{ retryAfterMs: -1 }, 4403, { status: 403 }],
      [{ retryAfterMs: NaN }, 4403, { status: 403 }],
      [{ retryAfterMs: "5" }, 4403, { status: 403 }],
    ];
    for (const [thrown, code, payload] of cases) {
      const app = serve(t, { onConnect: throwing(thrown) });
      const told = await refusal(t, app);
      assert.equal(told.code, code);
      assert.deepEqual(told.payload, { code: "CONNECT", ...payload });
      assert.equal(app.connects.length, 1);
      assert.equal(app.disconnects.length, 0);
      const { error, clientId } = app.errors[0] ?? {};
      assert.deepEqual([error, clientId], [thrown, app.connects[0]?.clientId]);
    }
  });

  test("is told what is wrong with a context that is none", async (t) => {
    const app = serve(t, { onConnect: () => 1 });
    const { code, payload } = await refusal(t, app);
    assert.deepEqual([code, payload], [4500, { status: 500, code: "CONNECT" }]);
  });

  test("for which onConnect is too slow is closed with 4503, and onDisconnect follows if it succeeds", async (t) => {
    const { promise, open } = latch<object>();
    const app = serve(t, { onConnect: () => promise, options: { handshakeTimeout: 1_000 } });
    const { code, payload } = await refusal(t, app);
    assert.deepEqual([code, payload], [4503, { status: 503, code: "TIMEOUT" }]);
    assert.deepEqual(app.server.metrics().refused, { TIMEOUT: 1 });
    open({});
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.equal(app.connects.length, 1);
    assert.equal(app.server.metrics().accepted, 0);
  });

  test("gets an HTTP status for everything that is not the application's decision", async (t) => {
    const status = async (given: Given, changes = {}, line?: string) => {
      const app = serve(t, given);
      const answer = await ask(t, app.port, request({ ...ZOCKET, ...changes }, line));
      assert.equal(answer.headers["sec-websocket-protocol"], undefined);
      assert.equal(app.connects.length, 0);
      return answer.status;
    };
    const elsewhere = { Origin: "https://evil.example" };
    assert.equal(await status({ options: { allowedOrigins: [] } }, elsewhere), 403);
    assert.equal(await status({ options: { allowedOrigins: () => false } }, elsewhere), 403);
    assert.equal(
      await status({ options: { allowedOrigins: throwing(new Error()) } }, elsewhere),
      403,
    );
    assert.equal(await status({ options: { path: "/ws" } }), 404);
    assert.equal(await status({}, { "Sec-WebSocket-Key": "no" }), 400);
    assert.equal(await status({}, { "Sec-WebSocket-Version": "8" }), 426);

    const app = serve(t, { options: { maxConnections: 1 } });
    await Raw.open(t, app.port);
    assert.equal((await ask(t, app.port, request(ZOCKET))).status, 503);
    const rated = serve(t, { options: { maxUpgradesPerSecondPerAddress: 0.001 } });
    await Raw.open(t, rated.port, ZOCKET);
    assert.equal((await ask(t, rated.port, request(ZOCKET))).status, 429);

    const { promise } = latch<object>();
    const stopping = serve(t, { onConnect: () => promise });
    const raw = new Raw(t, stopping.port, request(ZOCKET));
    await until("onConnect", () => stopping.connects.length === 1);
    void stopping.server.stop();
    assert.equal((await raw.answer()).status, 503);
  });

  test("that is refused is not read any more, and its messages reach nobody", async (t) => {
    const app = serve(t, { onConnect: throwing(new Error("no")) });
    const raw = new Raw(t, app.port, request(ZOCKET), said("early"));
    assert.equal(await raw.closeCode(), 4403);
    raw.write(said("late"), frame(Buffer.of(0x11, 0x33), 8));
    raw.socket.end();
    await raw.ended;
    assert.equal(app.messages.length, 0);
    assert.equal(app.server.metrics().received, 0);
    assert.equal(app.connects.length, 1);
  });
});

describe("a client that does not offer zocket.1", () => {
  test("gets no frame of the engine's own, and HTTP statuses as before", async (t) => {
    const app = serve(t, {
      onConnect: ({ refuse }) => {
        if (refuse) throw { status: 429, retryAfterMs: Number(refuse) };
        return {};
      },
    });
    const raw = await Raw.open(t, app.port);
    raw.write(said(1));
    await until("the echo", () => raw.messages().length === 1);
    assert.equal(raw.messages()[0]?.type, "said");
    for (const [ms, seconds] of [
      ["0", "0"],
      ["1", "1"],
      ["1000", "1"],
      ["1001", "2"],
    ]) {
      const { status, headers, body } = await ask(t, app.port, request({ Refuse: ms }));
      assert.equal(status, 429);
      assert.equal(headers["retry-after"], seconds);
      assert.match(body, /^The .*\n$/);
    }
    const { headers } = await ask(t, app.port, request({ Refuse: "x" }));
    assert.equal(headers["retry-after"], undefined);
  });
});
