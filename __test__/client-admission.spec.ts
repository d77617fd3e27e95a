// The client and our server at the door: who gets in, who is told why not, and what a client does about it.
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { describe, test, type TestContext } from "node:test";

import {
  createZocketClient,
  type ClientCloseEvent,
  type ClientError,
  type ClientOptions,
} from "@zocket/core";
import { WebSocket as UndiciWebSocket } from "undici";
import { WebSocket } from "ws";

import { Child } from "./_child.ts";
import { deadUrl } from "./_client.ts";
import { serve } from "./_support.ts";
import { latch, until } from "./_wait.ts";

interface Spoken {
  send: { say(payload: unknown): void };
  on: { said(listener: (payload: unknown) => void): () => void };
}

const CLASSES = [
  ["ws", WebSocket],
  ["undici", UndiciWebSocket as unknown as typeof WebSocket],
] as const;

/** A client that loses no time, and what it is told. */
function connect(t: TestContext, url: string, options: ClientOptions = {}) {
  const ends: ClientCloseEvent[] = [];
  const errors: ClientError[] = [];
  const client = createZocketClient(url, {
    WebSocket,
    minReconnectionDelay: 1,
    maxReconnectionDelay: 5,
    onClose: (event) => ends.push(event),
    ...options,
  });
  client.onError((error) => errors.push(error));
  t.after(() => client.close());
  const heard: unknown[] = [];
  const { send, on } = client as unknown as Spoken;
  on.said((payload) => heard.push(payload));
  const is = (state: string) => until(state, () => client.state === state);
  return { client, ends, errors, heard, say: send.say, is };
}

const refuse = (more: object) => {
  throw Object.assign(new Error("secret"), more);
};

for (const [name, Class] of CLASSES) {
  describe(`with ${name}`, () => {
    const start = (t: TestContext, url: string, options: ClientOptions = {}) =>
      connect(t, url, { WebSocket: Class, ...options });

    test("a client is open when it is admitted, under the id that the server knows, and its headers are in no URL", async (t) => {
      const admission = latch<object>();
      const app = serve(t, { onConnect: () => admission.promise });
      const { client, heard, say, is } = start(t, app.url, {
        headers: { authorization: "secret", "x-ü": "漢 😀" },
      });
      say("waits");
      await until("onConnect", () => app.connects.length === 1);
      assert.deepEqual([client.state, client.readyState, client.id], ["connecting", 0, undefined]);
      admission.open({});
      await is("open");
      const [{ headers, clientId } = { headers: {}, clientId: "" }] = app.connects;
      assert.equal(client.id, clientId);
      assert.equal((headers as Record<string, string>)["authorization"], "secret");
      assert.equal((headers as Record<string, string>)["x-ü"], "漢 😀");
      await until("the echo", () => heard.length === 1);
    });

    test("an expired token is refused with 401, and a fresh one gets in, while a third would not", async (t) => {
      const app = serve(t, {
        onConnect: ({ authorization }) => {
          if (authorization !== "2") refuse({ status: 401 });
        },
      });
      let issued = 0;
      const { client, ends, is } = start(t, app.url, {
        headers: async () => ({ authorization: `${(issued += 1)}` }),
      });
      await is("open");
      assert.deepEqual(
        ends.map(({ code, wasClean, refused }) => ({ code, wasClean, refused })),
        [{ code: 4401, wasClean: true, refused: { status: 401, code: "CONNECT" } }],
      );
      client.reconnect();
      await is("closed");
      assert.deepEqual([issued, ends.slice(1).map(({ code }) => code)], [4, [1000, 4401, 4401]]);
      assert.doesNotMatch(JSON.stringify(ends), /secret/);
    });

    test("a fixed token that is refused is not tried again, nor are headers that the schema refuses", async (t) => {
      const refusing = {
        "~standard": {
          version: 1 as const,
          vendor: "specs",
          validate: () => ({ issues: [{ message: "wrong", path: ["nobody"] }] }),
        },
      };
      const app = serve(t, { onConnect: () => refuse({ status: 401 }) });
      const first = start(t, app.url, { headers: { authorization: "1" } });
      await first.is("closed");
      assert.deepEqual([first.ends.length, app.connects.length], [1, 1]);
      const second = start(t, serve(t, { headers: refusing as never }).url);
      await second.is("closed");
      const [{ code, refused } = { code: 0, refused: undefined }] = second.ends;
      assert.deepEqual([code, refused?.status, refused?.code], [4400, 400, "HEADERS"]);
      assert.equal(refused?.issues?.length, 1);
    });

    test("a server that is down is told from one that refuses, and from one that is full", async (t) => {
      const down = start(t, await deadUrl());
      await until("some attempts", () => down.ends.length >= 3);
      assert.deepEqual([...new Set(down.ends.map(({ code }) => code))], [1006]);
      assert.notEqual(down.client.state, "closed");
      const refusing = start(t, serve(t, { onConnect: () => refuse({}) }).url);
      await refusing.is("closed");
      assert.equal(refusing.ends[0]?.refused?.status, 403);
      const full = start(t, serve(t, { options: { maxUpgradesPerSecond: 0.001 } }).url);
      await full.is("open");
      full.client.reconnect();
      await until("some attempts", () => full.ends.length >= 4);
      assert.deepEqual(full.ends.map(({ code }) => code).slice(0, 3), [1000, 1006, 1006]);
      assert.equal(full.ends[1]?.refused, undefined);
    });

    test("a server that fails is tried again, and one that says when is not tried before", async (t) => {
      let isBroken = true;
      const app = serve(t, { onConnect: () => (isBroken ? refuse({ status: 503 }) : {}) });
      const { ends, is } = start(t, app.url);
      await until("three refusals", () => ends.length >= 3);
      isBroken = false;
      await is("open");
      const busy = serve(t, { onConnect: () => refuse({ status: 429, retryAfterMs: 3_600_000 }) });
      const before = Date.now();
      const later = start(t, busy.url);
      await later.is("waiting");
      assert.ok((later.client.retryAt ?? 0) >= before + 3_600_000);
      assert.equal(later.ends[0]?.refused?.retryAfterMs, 3_600_000);
    });

    test("a message that is too large is told, and the connection lives on", async (t) => {
      const app = serve(t, { options: { maxPayload: 1_000 } });
      const { ends, errors, heard, say, is } = start(t, app.url);
      say("x".repeat(1_000));
      say("before");
      await is("open");
      say("漢".repeat(330));
      say("漢".repeat(320));
      await until("the echoes", () => heard.length === 2);
      assert.deepEqual(
        errors.map(({ code, route }) => [code, route]),
        [
          ["TOO_LARGE", "say"],
          ["TOO_LARGE", "say"],
        ],
      );
      assert.deepEqual([ends, app.errors], [[], []]);
    });

    test("a living line is asked and answered, and JavaScript hears nothing of it", async (t) => {
      const app = serve(t);
      const asked: string[] = [];
      class Watched extends Class {
        override send(text: string): void {
          super.send(text);
          asked.push(text);
        }
      }
      const { client, ends, is } = start(t, app.url, { WebSocket: Watched, heartbeatInterval: 20 });
      await is("open");
      await until("ten pings", () => asked.length >= 10);
      assert.deepEqual([...new Set(asked)], ['{"type":"$ping"}']);
      assert.deepEqual([client.state, ends], ["open", []]);
      const { received, bad } = app.server.metrics();
      assert.deepEqual([received, bad, app.messages], [0, {}, []]);
    });

    test('headersIn: "query" gets HTTP statuses, as ever, and talks as ever', async (t) => {
      const app = serve(t, { options: { maxPayload: 1_000 } });
      const { client, ends, heard, say, is } = start(t, app.url, {
        headersIn: "query",
        headers: { authorization: "1" },
      });
      say("hello");
      await until("the echo", () => heard.length === 1);
      assert.deepEqual([client.state, client.id, ends], ["open", undefined, []]);
      assert.equal(app.connects[0]?.headers["authorization"], "1");
      say("x".repeat(1_000));
      await until("the end", () => ends.length === 1);
      assert.equal(ends[0]?.code, 1009);
      await is("open");
      const closed = start(t, serve(t, { onConnect: () => refuse({}) }).url, {
        headersIn: "query",
        maxRetries: 1,
      });
      await closed.is("closed");
      assert.deepEqual(
        closed.ends.map(({ code, refused }) => [code, refused]),
        [
          [1006, undefined],
          [1006, undefined],
        ],
      );
    });
  });
}

/** The Nodes that `npm run test:install` keeps. */
const NODES = path.join(homedir(), ".cache", "zocket-install", "nodes", "node_modules");
const names = existsSync(NODES)
  ? readdirSync(NODES).filter((name) => name.startsWith("node-"))
  : [];

test("every Node that we support has the same client, with its own WebSocket or that of ws", async (t) => {
  if (names.length === 0) return t.skip("`npm run test:install` has put no Node there");
  const app = serve(t, {
    options: { maxPayload: 1_000 },
    onConnect: ({ authorization }) => {
      if (authorization !== "fresh 漢 😀") refuse({ status: 401 });
    },
  });
  for (const name of names) {
    const program = `
      import { createZocketClient } from "@zocket/core/client";
      import { WebSocket } from "ws";
      const tokens = ["expired", "fresh 漢 😀"];
      const codes = [];
      const client = createZocketClient("${app.url}", {
        WebSocket: globalThis.WebSocket ?? WebSocket,
        minReconnectionDelay: 1,
        headers: async () => ({ authorization: tokens.shift() }),
        onClose: ({ code }) => codes.push(code),
      });
      client.onError(({ code }) => codes.push(code));
      client.on.said((payload) => {
        console.log("got " + [payload, ...codes, typeof client.id].join() + ";");
        client.close();
      });
      client.send.say("x".repeat(1_000));
      client.send.say("hello");`;
    const node = path.join(NODES, name, "bin", "node");
    const child = new Child(t, node, ["--input-type=module", "--eval", program], {});
    assert.equal(await child.printed(/got (.*);/), "hello,4401,TOO_LARGE,string", name);
    await child.endsWell();
  }
});
