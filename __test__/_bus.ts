// What the specs of the bus share: servers on it, what their clients have heard, and messages as the bus carries them.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import type { TestContext } from "node:test";

import {
  redis,
  type Bus,
  type BusMetrics,
  type NatsOptions,
  type RedisOptions,
} from "@zocket/core/bus";

import { Client, serve, type App, type Given } from "./_support.ts";
import { until } from "./_wait.ts";

export const PREFIX = "spec";

/** Options of any bus. */
export type MoreOptions = Partial<RedisOptions & NatsOptions>;

/** A running bus: a Redis by its URL, or something that knows how it is reached. */
export type Running = { readonly url: string } | { on(more: MoreOptions): Bus };

/** A server on the bus, which may not be connected yet. */
export function begin(
  t: TestContext,
  bus: string | Running,
  { options, ...given }: Given = {},
  more: MoreOptions = {},
): App {
  const all = { prefix: PREFIX, required: true, ...more };
  const at: Running = typeof bus === "string" ? { url: bus } : bus;
  const on = "on" in at ? at.on(all) : redis({ url: at.url, ...all });
  return serve(t, { ...given, options: { ...options, bus: on } });
}

/** A server on the bus, connected. */
export async function join(
  t: TestContext,
  bus: Running,
  given: Given = {},
  more: MoreOptions = {},
): Promise<App> {
  const app = begin(t, bus, given, more);
  await app.server.ready();
  return app;
}

/** The payloads of `said` that a client got so far. */
export const saidTo = (client: Client): unknown[] =>
  client.received.filter(({ type }) => type === "said").map(({ payload }) => payload);

export const heard = (client: Client, payload: unknown) =>
  saidTo(client).filter((it) => it === payload).length;

export function counters({ server }: App): BusMetrics {
  const { bus } = server.metrics();
  assert.ok(bus);
  assert.equal(bus.published, bus.confirmed + bus.unconfirmed + bus.dropped + bus.queued);
  return bus;
}

/** What `onError` heard of the bus: whether it is there, and why not. */
export const toldOf = (app: App) =>
  app.errors
    .filter(({ code }) => code === "BUS")
    .map((it) => ({
      connected: (it as { connected?: boolean }).connected,
      text: (it.error as Error).message,
    }));

/** How many seconds have begun since then: so many reports there may be of what is told once a second. */
export const secondsSince = (since: number): number =>
  Math.ceil((performance.now() - since) / 1_000);

/** The texts of it. */
export const textsOf = (app: App): string[] => toldOf(app).map(({ text }) => text);

/** A server with a client in the room "a". Each of 20 `turns` of it leaves and joins that room a hundred times. */
export async function restless(t: TestContext, bus: Running) {
  const app = await join(t, bus, {
    say: (_, ctx) => {
      for (let turn = 0; turn < 100; turn += 1) {
        ctx.rooms.join("a");
        ctx.rooms.leave("a");
      }
      ctx.send.said("done").to(ctx.clientId);
    },
  });
  const client = await Client.open(t, app.url);
  await client.join("a");
  await app.server.synced();
  const turns = async () => {
    for (let turn = 0; turn < 20; turn += 1) client.say(turn);
    await until("all turns", () => heard(client, "done") === 20);
  };
  return { app, turns };
}

/** Looks at the counters all the time until the test ends: they add up, and none goes back. */
export function watch(t: TestContext, ...apps: readonly App[]): void {
  const last = new Map(apps.map((app) => [app, counters(app)]));
  let broken: unknown;
  const look = () => {
    try {
      for (const [app, before] of last) {
        const now = counters(app);
        for (const name of ["published", "confirmed", "unconfirmed", "dropped"] as const) {
          assert.ok(now[name] >= before[name], `${name} went back`);
        }
        for (const name of ["received", "missed", "malformed", "reconnects"] as const) {
          assert.ok(now[name] >= before[name], `${name} went back`);
        }
        last.set(app, now);
      }
    } catch (error) {
      broken ??= error;
    }
  };
  const timer = setInterval(look, 20);
  t.after(() => {
    clearInterval(timer);
    look();
    if (broken !== undefined) throw broken as Error;
  });
}

/** Waits until nothing is on its way from one server, and the server of this client has found all holes. */
export async function settle(from: App, client: Client): Promise<void> {
  await until("the last confirmation", () => counters(from).queued === 0);
  const mark = randomBytes(8).toString("hex");
  from.shout(mark);
  await until("the mark", () => heard(client, mark) === 1);
  await until("its confirmation", () => counters(from).queued === 0);
}

/** A field of a message on the bus. */
export function field(tag: number, value: Uint8Array | string): Buffer {
  const bytes = Buffer.from(value as string);
  const head = Buffer.alloc(5);
  head[0] = tag;
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

const long = (value: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};

/** A publication of `said` as another program writes it. */
export function publication({
  head = [0x7a, 1, 1],
  id = randomBytes(16),
  process,
  epoch = 1n,
  number,
  route = "said",
  rooms,
  payload = '"hi"',
  more = [],
}: {
  head?: number[];
  id?: Buffer;
  process?: Buffer;
  epoch?: bigint;
  number?: bigint;
  route?: string;
  rooms?: string[];
  payload?: string;
  more?: Buffer[];
} = {}): Buffer {
  return Buffer.concat([
    Buffer.from(head),
    field(1, id),
    ...(process ? [field(2, process)] : []),
    ...(number === undefined ? [] : [field(3, long(epoch)), field(4, long(number))]),
    field(5, route),
    ...(rooms?.map((room) => field(7, room)) ?? [field(6, "")]),
    field(10, payload),
    ...more,
  ]);
}

/** The name of the channel for everybody, and of that of a room. */
export const EVERYBODY = `${PREFIX}:all`;
export const channelOf = (room: string) =>
  `${PREFIX}:r:${createHash("sha256").update(room).digest("hex").slice(0, 32)}`;
