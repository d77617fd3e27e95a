// Threads that come and go leave nothing behind: no thread, no descriptor, no memory.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { describe, test, type TestContext } from "node:test";

import { Client, codeOf, name } from "./_share-clients.ts";
import { Sharing } from "./_share.ts";
import { until } from "./_wait.ts";

const onLinux = process.platform === "linux";
/** Rounds, and how many threads come at the same time in each. */
const ROUNDS = 10;
const AT_ONCE = 5;
/** What a heap may have grown by, in bytes. */
const GROWTH = 1024 * 1024;

const GARBAGE = `
  const { runInNewContext } = process.getBuiltinModule("node:vm");
  process.getBuiltinModule("node:v8").setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc");`;

const threads = () => readdirSync("/proc/self/task").length;
const descriptors = () => readdirSync("/proc/self/fd").length;

/** Ends a worker in one of three ways. */
async function end(worker: Sharing, how: number): Promise<void> {
  if (how % 3 === 0) await worker.ask("await server.stop()");
  if (how % 3 === 1) worker.tell("void server.stop()");
  await worker.worker.terminate();
}

/** A round: workers share a server, get a client each, and end. */
async function round(t: TestContext, share: string, at: number, url?: string): Promise<void> {
  const names = Array.from({ length: AT_ONCE }, (_, n) => `${at}.${n}`);
  const workers = await Promise.all(names.map((it) => Sharing.start(t, share, it)));
  for (const { started } of workers) assert.equal(started.message, undefined);
  assert.equal(new Set([...workers.map((it) => it.url), url ?? workers[0]?.url]).size, 1);
  const clients = [];
  for (const { url } of workers) {
    const client = await Client.open(t, url);
    await client.call("join", "lobby");
    clients.push(client);
  }
  await Promise.all(workers.map((worker, n) => end(worker, at + n)));
  // Some may belong to one that stays.
  clients.forEach((client) => client.close());
  await Promise.all(clients.map(codeOf));
}

describe("A server that threads share", { skip: onLinux ? false : "there is no /proc" }, () => {
  test("is the same after 50 threads have come and gone beside one that stays", async (t) => {
    const share = name();
    const stays = await Sharing.start(t, share, "stays");
    const heap = () =>
      stays.ask<number>(`${GARBAGE} gc(); gc(); return process.memoryUsage().heapUsed;`);
    const alone = async () => {
      await until("nobody", async () => (await stays.ask("return server.clientCount()")) === 0);
      const { length } = await stays.ask<unknown[]>("return server.metrics().workers");
      return length === 1;
    };
    await round(t, share, 0, stays.url);
    await until("it is alone", alone);
    const before = { threads: threads(), descriptors: descriptors(), heap: await heap() };
    for (let at = 1; at <= ROUNDS; at++) {
      await round(t, share, at, stays.url);
      await until("it is alone", alone);
    }
    await until("the end of the threads", () => threads() <= before.threads);
    await until("the end of the descriptors", () => descriptors() <= before.descriptors);
    const grown = (await heap()) - before.heap;
    t.diagnostic(`${threads()} threads, ${descriptors()} descriptors, ${grown} bytes of heap more`);
    assert.ok(grown < GROWTH, `the heap has grown by ${grown} bytes`);
    assert.equal((await (await Client.open(t, stays.url)).who()).worker, "stays");
  });

  test("leaves nothing after 50 threads that were its last ones", async (t) => {
    const share = name();
    await round(t, share, 0);
    const before = { threads: threads(), descriptors: descriptors() };
    for (let at = 1; at <= ROUNDS; at++) await round(t, share, at);
    await until("the end of the threads", () => threads() <= before.threads);
    await until("the end of the descriptors", () => descriptors() <= before.descriptors);
    t.diagnostic(`${threads()} threads, ${descriptors()} descriptors`);
  });
});
