// The rows of the client. What it holds is its own application's doing, and bounded all the same.
import assert from "node:assert/strict";
import type { TestContext } from "node:test";

import { WebSocket } from "ws";

import type * as ReactRuns from "../dist/react/runs.js";

import { MIB, text, type Case } from "./_bounds.ts";
import { Child } from "./_child.ts";
import { open } from "./_client.ts";
import { startPlain } from "./_plain.ts";
import { soon, until } from "./_wait.ts";

/** Runs code with a client that never opens, before and after which the heap is measured; how much more it is, in bytes. */
async function grows(t: TestContext, code: string): Promise<number> {
  const program = `
    import { createZocketClient } from "@zocket/core/client";
    class Never { readyState = 0; addEventListener() {} send() {} close() {} }
    const client = createZocketClient("ws://localhost", { WebSocket: Never });
    const measure = async () => {
      for (let round = 0; round < 3; round++) { gc(); await new Promise((done) => setImmediate(done)); }
      return process.memoryUsage().heapUsed;
    };
    const before = await measure();
    ${code}
    console.log("grew " + ((await measure()) - before) + ";");
    client.close();
    process.exit();`;
  return Number(await Child.node(t, program, ["--expose-gc"]).printed(/grew (-?\d+);/));
}

/** A client, and what its `onError` was told. */
function listened(t: TestContext, url: string, options = {}) {
  const client = open(t, url, options);
  const codes: string[] = [];
  client.onError(({ code }) => codes.push(code));
  return { client, codes };
}

export const CLIENT: Record<string, Case> = {
  "what a client sends while it is not open": async (t) => {
    const { url, visits, state } = await startPlain(t);
    state.accepts = false;
    const { client, codes } = listened(t, url, { maxQueuedBytes: 10_500 });
    for (let at = 0; at < 100; at++) client.send.say(text(1_000));
    await until("the rest to be refused", () => codes.length === 90);
    assert.deepEqual([...new Set(codes)], ["QUEUE_FULL"]);
    state.accepts = true;
    const visit = await visits.next();
    await visit.messages.take(10);
    // There is room again.
    visit.socket.terminate();
    state.accepts = false;
    await until("the end", () => client.readyState !== 1);
    for (let at = 0; at < 10; at++) client.send.say(text(1_000));
    state.accepts = true;
    await (await visits.next()).messages.take(10);
    assert.equal(codes.length, 90);
  },

  "items of a stream that a component of React shows": async () => {
    // It needs no React, but has no entry of its own.
    const module = "../dist/react/runs.js";
    const { Runs } = (await import(module)) as typeof ReactRuns;
    let items = 0;
    const stream = {
      async *[Symbol.asyncIterator]() {
        for (; items < 10_000; items += 1) yield text(100);
      },
      safe: async () => ({ ok: true, data: "the end" }),
      abort() {},
    };
    const runs = new Runs(() => stream as never);
    runs.maxItems = 10;
    let most = 0;
    runs.subscribe(() => (most = Math.max(most, runs.outcome().items.length)));
    runs.run();
    await until("the end", () => !runs.outcome().pending);
    assert.deepEqual([items, most, runs.outcome().items.length], [10_000, 10, 10]);
    runs.run();
    assert.deepEqual(runs.outcome().items, []);
  },

  "what a client sends while the server does not read": async (t) => {
    const { url, visits } = await startPlain(t);
    let most = 0;
    class Watched extends WebSocket {
      override send(data: string): void {
        super.send(data);
        most = Math.max(most, this.bufferedAmount);
      }
    }
    const { client, codes } = listened(t, url, { WebSocket: Watched });
    const visit = await visits.next();
    await soon("the open connection", new Promise<void>((done) => client.onOpen(done)));
    visit.socket.pause();
    const long = text(MIB);
    for (let at = 0; at < 40; at++) client.send.say(long);
    await until("the rest to be refused", () => codes.length > 0);
    assert.deepEqual([...new Set(codes)], ["QUEUE_FULL"]);
    assert.ok(most > 15 * MIB && most < 18 * MIB, `${(most / MIB).toFixed(1)} MiB`);
    visit.socket.resume();
    const refused = codes.length;
    await visit.messages.take(40 - refused);
    client.send.say("again");
    assert.equal((await visit.messages.next()).payload, "again");
    assert.equal(codes.length, refused);
  },

  "messages that wait for the schema of a client's route": async (t) => {
    const left = await grows(
      t,
      `const { message } = await import("@zocket/core/contract");
       const answers = [];
       const validate = () => new Promise((done) => answers.push(() => done({ value: 1 })));
       const slow = { "~standard": { version: 1, vendor: "spec", validate } };
       const own = { slow: message.incoming({ payload: slow }) };
       const checked = createZocketClient("ws://localhost", { WebSocket: Never, routes: own, maxQueuedBytes: 1_000_000 });
       let full = 0;
       checked.onError(({ code }) => { if (code === "QUEUE_FULL") full += 1; });
       for (let at = 0; at < 5_000; at++) checked.send.slow("x".repeat(1_000));
       await undefined;
       if (full < 4_000 || full > 4_100) throw new Error(String(full));
       for (const answer of answers.splice(0)) answer();
       await measure();
       checked.close();`,
    );
    // The queue has them now: 1 MB, and some bookkeeping.
    assert.ok(left < 2 * MIB, `${(left / MIB).toFixed(1)} MiB`);
  },

  "which messages are still in a client's socket": async (t) => {
    const left = await grows(
      t,
      `let socket;
       class Stuck {
         readyState = 1;
         bufferedAmount = 0;
         constructor() { socket = this; }
         addEventListener(type, tell) { if (type === "open") setImmediate(tell); }
         send(text) { this.bufferedAmount += text.length; }
         close() {}
       }
       const stuck = createZocketClient("ws://localhost", { WebSocket: Stuck, headersIn: "query" });
       await new Promise((done) => stuck.onOpen(done));
       for (let at = 0; at < 200_000; at++) stuck.send.say("x");
       socket.bufferedAmount = 0;
       stuck.send.say("x");`,
    );
    assert.ok(left < MIB, `${(left / MIB).toFixed(1)} MiB`);
  },

  "what a client is about to tell its listeners": async (t) => {
    const left = await grows(
      t,
      `let told = 0;
       client.onError(() => { told += 1; });
       const long = "x".repeat(1_000);
       for (let at = 0; at < 20_000; at++) client.send.say(long);
       await undefined;
       if (told < 18_000) throw new Error(String(told));`,
    );
    // What it keeps is 1 MiB, and 70 bytes of bookkeeping for each message.
    assert.ok(left < 3 * MIB, `${(left / MIB).toFixed(1)} MiB`);
  },

  "`onClose` listeners of a client that are at work": async (t) => {
    const left = await grows(
      t,
      `const gates = [];
       client.onClose(() => new Promise((go) => gates.push(go)));
       for (let at = 0; at < 10_000; at++) {
         client.reconnect();
         await new Promise((done) => setImmediate(done));
       }
       for (const go of gates.splice(0)) go();`,
    );
    assert.ok(left < MIB, `${(left / MIB).toFixed(1)} MiB`);
  },

  "listeners of a client": async (t) => {
    const left = await grows(
      t,
      `for (let at = 0; at < 50_000; at++) client.on["room" + at](() => {})();`,
    );
    assert.ok(left < MIB, `${(left / MIB).toFixed(1)} MiB`);
  },

  "messages that wait for a loop of a client": async (t) => {
    const left = await grows(
      t,
      `let hear;
       class Told {
         readyState = 1;
         protocol = "zocket.1";
         addEventListener(type, listener) { if (type === "message") hear = listener; }
         send() {}
         close() {}
       }
       const told = createZocketClient("ws://localhost", { WebSocket: Told });
       hear({ data: '{"type":"$welcome"}' });
       const messages = told.on.said[Symbol.asyncIterator]();
       for (let at = 0; at < 20_000; at++) {
         hear({ data: JSON.stringify({ type: "said", payload: at + "x".repeat(1_000) }) });
       }
       if (messages.dropped !== 20_000 - 1_024) throw new Error(String(messages.dropped));
       console.log("full " + ((await measure()) - before) + ";");
       messages.return();`,
    );
    assert.ok(left < MIB / 2, `${(left / MIB).toFixed(1)} MiB`);
  },

  "calls of a client that are under way": async (t) => {
    const left = await grows(
      t,
      `const controller = new AbortController();
       let aborted = 0;
       for (let at = 0; at < 5_000; at++) {
         const { signal } = controller;
         client.call.chat.join("x".repeat(100), { signal }).safe().then(() => { aborted += 1; });
       }
       controller.abort();
       await new Promise((done) => setImmediate(done));
       if (aborted !== 5_000) throw new Error(String(aborted));`,
    );
    assert.ok(left < MIB, `${(left / MIB).toFixed(1)} MiB`);
  },

  "names that were read of `client.send` and `client.on`": async (t) => {
    const left = await grows(
      t,
      `for (let at = 0; at < 50_000; at++) { client.send["room" + at]; client.on.room["of" + at]; }
       if (client.send.chat.say !== client.send.chat.say) throw new Error("not the same");`,
    );
    // 2,048 of them have a function, and a map for the names behind them.
    assert.ok(left < 3 * MIB, `${(left / MIB).toFixed(1)} MiB`);
  },
};
