// docs/errors.md: what a call rejects with, each row provoked for real.
import assert from "node:assert/strict";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { describe, test, type TestContext } from "node:test";

import {
  createServer,
  createZocketClient,
  zocket,
  ZocketError,
  type CallErrorCode,
  type ClientOptions,
  type MessageErrorCode,
  type ServerOptions,
} from "@zocket/core";
import { WebSocket } from "ws";
import { z } from "zod";

import { eachRow, valuesOf, type Case } from "./_errors-page.ts";
import { soon, until } from "./_wait.ts";

/** Every code of the client, as the types have it. */
const CALL_CODES: Record<Exclude<CallErrorCode, MessageErrorCode>, true> = {
  TIMEOUT: true,
  ABORTED: true,
  DISCONNECTED: true,
  CLOSED: true,
  QUEUE_FULL: true,
  TOO_LARGE: true,
  BAD_REPLY: true,
};

const zo = zocket.create({ headers: z.object({}) });
const routes = {
  never: zo.message.incoming({ payload: z.string(), reply: z.string() }),
  count: zo.message.incoming({ payload: z.string(), stream: z.number() }),
};

/** A client of a server whose handler never answers. */
function serve(t: TestContext, options: ServerOptions = {}) {
  let running = 0;
  const app = zo.router(routes, {
    never: () => {
      running += 1;
      return new Promise<string>(() => {});
    },
    count: function* () {
      for (let n = 0; ; n += 1) yield n;
    },
  });
  const server = createServer(app, zo, { port: 0, onError: () => {}, ...options });
  t.after(() => server.stop(true));
  return { server, ...connect(t, server.url), running: () => running };
}

function connect(t: TestContext, url: string, options: ClientOptions<typeof routes> = {}) {
  const client = createZocketClient<typeof routes>(url, { WebSocket, ...options });
  t.after(() => client.close());
  const told: unknown[] = [];
  client.onError((error) => told.push(error));
  return { client, told };
}

/** Asserts that a call rejects with the code of the row, and that nobody else hears of it. */
async function rejects(call: PromiseLike<unknown>, code: string | undefined, told: unknown[]) {
  const outcome = Promise.resolve(call).then(
    () => assert.fail("it has an answer"),
    (reason: unknown) => reason,
  );
  const error = await soon("the end of the call", outcome);
  assert.ok(error instanceof ZocketError, String(error));
  assert.equal(error.code, code);
  assert.ok(error.message);
  assert.deepEqual(told, []);
}

/** A server that is none of ours, and answers everything so. */
const answered = (answer: (id: number) => object): Case => {
  return async (t, { code }) => {
    const { url, told } = await plain(t, answer);
    const { client } = connect(t, url);
    await rejects(client.call.never("x"), code, told);
  };
};

async function plain(t: TestContext, answer: (id: number) => object) {
  const { WebSocketServer } = await import("ws");
  const server = new WebSocketServer({
    port: 0,
    handleProtocols: () => "zocket.1",
  });
  t.after(() => server.close());
  server.on("connection", (socket) => {
    socket.send(JSON.stringify({ type: "$welcome", payload: { clientId: "1" } }));
    socket.on("message", (data) => {
      const { id } = JSON.parse(String(data)) as { id?: number };
      if (id !== undefined) socket.send(JSON.stringify(answer(id)));
    });
  });
  await soon("the server", new Promise<void>((done) => server.once("listening", done)));
  const { port } = server.address() as AddressInfo;
  return { url: `ws://127.0.0.1:${port}`, told: [] as unknown[] };
}

eachRow("When a call fails", ["code", "At fault"], {
  "TIMEOUT, application": async (t, { code }) => {
    const { client, told } = serve(t);
    await rejects(client.call.never("x", { timeout: 20 }), code, told);
  },
  "ABORTED, application": async (t, { code }) => {
    const { client, told } = serve(t);
    const call = client.call.count("x");
    for await (const _ of call) break;
    await rejects(call, code, told);
    const result = await client.call.never("x", { signal: AbortSignal.abort() }).safe();
    assert.ok(!result.ok && result.error.code === code);
  },
  "DISCONNECTED, network": async (t, { code }) => {
    const { client, told, running } = serve(t);
    const call = client.call.never("x").catch((error: unknown) => Promise.reject(error));
    void call.catch(() => {});
    await until("the handler", () => running() === 1);
    client.reconnect();
    await rejects(call, code, told);
  },
  "CLOSED, application": async (t, { code }) => {
    const { client, told } = serve(t);
    client.close();
    await rejects(client.call.never("x"), code, told);
  },
  "QUEUE_FULL, network": async (t, { code }) => {
    // Takes connections and never answers.
    const mute = createTcpServer((socket) => socket.on("error", () => {}));
    t.after(() => mute.close());
    await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
    const { port } = mute.address() as AddressInfo;
    const { client, told } = connect(t, `ws://127.0.0.1:${port}`, { maxQueuedBytes: 100 });
    await rejects(client.call.never("x".repeat(100)), code, told);
  },
  "TOO_LARGE, client": async (t, { code }) => {
    const { client, told } = serve(t, { maxPayload: 1024 });
    await rejects(client.call.never("x".repeat(1024)), code, told);
  },
  "BAD_REPLY, application": answered((id) => ({ type: "$error", id, payload: "no" })),
});

describe("the codes of calls in docs/errors.md", () => {
  test("are those of the types", () => {
    assert.deepEqual(valuesOf("When a call fails", "code"), Object.keys(CALL_CODES).toSorted());
  });
});
