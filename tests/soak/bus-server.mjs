// One of the servers of the scenario "bus", in a process of its own.
import { randomUUID } from "node:crypto";

import { createServer } from "@zocket/core";

import { ROOMS, Speaker, busAt, routerOf, zo } from "./bus-application.mjs";
import { memory, startThreads } from "./memory.mjs";

let server;
let speaker;
const faults = {};
/** What `onError` heard of the bus, which has to be by turns: `false` for its end, `true` for its return. */
let connected = true;
const problems = [];

export async function start(kind, bus, port) {
  await startThreads();
  const router = routerOf({
    join: async ({ payload, ctx }) => {
      ctx.rooms.join(payload.room);
      await reads();
      return { id: ctx.clientId, server: speaker.name };
    },
    leave: ({ payload, ctx }) => {
      ctx.rooms.leave(payload.room);
      return null;
    },
    poke: ({ payload }) => speaker.to(payload.ids),
  });
  server = createServer(router, zo, {
    port,
    hostname: "127.0.0.1",
    ioThreads: 2,
    bus: busAt(kind, bus),
    onError(error, info) {
      faults[info.code] = (faults[info.code] ?? 0) + 1;
      if (info.code !== "BUS") return problems.push(`onError: ${info.code}: ${error.message}`);
      if (info.connected === undefined) return undefined;
      if (info.connected === connected) problems.push(`told twice that connected is ${connected}`);
      return (connected = info.connected);
    },
  });
  speaker = new Speaker((payload) => server.send.said(payload), randomUUID());
  await server.ready();
  return { port: server.port, name: speaker.name };
}

/** Resolves once the bus has confirmed all rooms, however long it is away. */
async function reads() {
  for (;;) {
    try {
      return await server.synced();
    } catch (error) {
      if (error.code !== "BUS") throw error;
    }
  }
}

export const speak = (perSecond) => speaker.speak(perSecond);
export const burst = () => speaker.burst();
export const sayLast = (ids) => speaker.sayLast(ids);
export const synced = () => server.synced();
export const stop = () => server.stop();

/** How many clients all servers have, and how many are in each room; the code of the error if that cannot be told. */
export async function ask() {
  try {
    const [all, ...rooms] = await Promise.all([
      server.clientCount({ everywhere: true }),
      ...ROOMS.map((room) => server.roomSize(room)),
    ]);
    return { all, rooms };
  } catch (error) {
    return { code: error.code ?? String(error) };
  }
}

/** The counters; `at` is when none of them was read yet. */
export function sample() {
  const at = Date.now();
  return { at, metrics: server.metrics(), faults, problems: problems.splice(0) };
}

export { memory };
