// What the specs of a Redis Cluster share: two servers on it, rooms on each of its nodes, and a stream of numbers that has to add up.
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { channelOf, counters, heard, join, saidTo as allSaidTo } from "./_bus.ts";
import { Cluster } from "./_redis-fleet.ts";
import { Client, type App } from "./_support.ts";
import { until } from "./_wait.ts";

/** A cluster with two servers on it, and a client of the second. */
export interface Pair {
  readonly cluster: Cluster;
  readonly one: App;
  readonly two: App;
  readonly there: Client;
}

export async function startPair(
  t: TestContext,
  given: Parameters<typeof Cluster.start>[1] = {},
): Promise<Pair> {
  const cluster = await Cluster.start(t, given);
  const [one, two] = [await join(t, cluster), await join(t, cluster)];
  return { cluster, one, two, there: await Client.open(t, two.url) };
}

/** The payloads of `said` that a client got, without what tells of joins. */
export const saidTo = (client: Client): unknown[] =>
  allSaidTo(client).filter((payload) => !String(payload).startsWith("in "));

/** One room on each of the three nodes. */
export async function rooms(cluster: Cluster): Promise<[string, string, string]> {
  const found: string[] = [];
  for (let number = 0; found.filter(Boolean).length < 3; number += 1) {
    const room = `room ${number}`;
    found[cluster.startOf(await cluster.slotOf(channelOf(room)))] ??= room;
  }
  return found as [string, string, string];
}

/** Publishes numbers to a room until it is told to stop, and returns how many. */
export function stream(app: App, room: string): () => Promise<number> {
  let count = 0;
  let isOver = false;
  const all = (async () => {
    while (!isOver) {
      app.server.send.said(count).toRoom(room);
      count += 1;
      counters(app);
      await sleep(2);
    }
  })();
  return async () => {
    isOver = true;
    await all;
    return count;
  };
}

/** What the client got of the numbers is in order and has no number twice; with what was missed it is all. */
export async function addsUp(
  { one, two, there }: Pair,
  room: string,
  total: number,
): Promise<void> {
  await until("all answers", () => counters(one).queued === 0);
  // The next message shows the last hole.
  one.server.send.said("last").toRoom(room);
  await until("the last one", () => heard(there, "last") === 1);
  const numbers = saidTo(there).filter((it) => typeof it === "number");
  assert.deepEqual(
    numbers,
    [...new Set(numbers)].toSorted((a, b) => a - b),
  );
  assert.equal(numbers.length + counters(two).missed, total);
}
