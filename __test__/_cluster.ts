// What the specs of a Redis Cluster share: servers on it, rooms on each of its nodes, and a stream of numbers that has to add up.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { redis, type Bus, type RedisOptions } from "@zocket/core/bus";

import type { Cluster } from "./_redis-fleet.ts";
import { serve, type App, type Client } from "./_support.ts";

export const PREFIX = "spec";

export const onCluster = ({ urls }: Cluster, more: Partial<RedisOptions> = {}): Bus =>
  redis({ cluster: urls, prefix: PREFIX, required: true, ...more });

export async function join(t: TestContext, bus: Bus): Promise<App> {
  const app = serve(t, { options: { bus } });
  await app.server.ready();
  return app;
}

/** The payloads of `said` that a client got, without what tells of joins. */
export const saidTo = (client: Client): unknown[] =>
  client.received
    .filter(({ type, payload }) => type === "said" && !String(payload).startsWith("in "))
    .map(({ payload }) => payload);

export const heard = (client: Client, payload: unknown) =>
  saidTo(client).filter((it) => it === payload).length;

export function counters({ server }: App) {
  const { bus } = server.metrics();
  assert.ok(bus);
  assert.equal(bus.published, bus.confirmed + bus.unconfirmed + bus.dropped + bus.queued);
  return bus;
}

export const told = (app: App) =>
  app.errors.filter(({ code }) => code === "BUS").map(({ error }) => String(error));

export const channelOf = (room: string) =>
  `${PREFIX}:r:${createHash("sha256").update(room).digest("hex").slice(0, 32)}`;

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

/** What a client got is in order and has no number twice; with what was missed it is all. */
export function addsUp(client: Client, total: number, missed: number): void {
  const numbers = saidTo(client).filter((it) => typeof it === "number");
  assert.deepEqual(
    numbers,
    [...new Set(numbers)].toSorted((a, b) => a - b),
  );
  assert.equal(numbers.length + missed, total);
}
