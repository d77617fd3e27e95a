// The server under test: the built package, in a process of its own, whose exports run.mjs's scenarios call.
import { existsSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

import { createServer, zocket } from "@zocket/core";
import { z } from "zod";

import { memory, resident, startThreads } from "./memory.mjs";

export { memory };

/** Clients whose `onConnect` succeeded and whose `onDisconnect` has not begun. */
const open = new Set();
const counts = {
  connected: 0,
  disconnected: 0,
  /** Clients that were told of twice, or not told of before. */
  unpaired: 0,
  /** Messages that did not come in the order they were sent in. */
  outOfOrder: 0,
  /** Handler calls that never end. */
  nevers: 0,
  /** Calls of `onDisconnect` that are not done. */
  leaving: 0,
  /** What `onError` was told, by code. */
  faults: {},
};
let server;
/** What `onDisconnect` does besides being counted: nothing, or what the scenario `handlers` wants. */
let onGone = () => {};

const zo = zocket.create({
  headers: z.object({ kind: z.string().optional() }),
  onConnect: ({ kind }, clientId) => {
    if (kind === "refused") throw new Error("refused on purpose");
    const connected = () => {
      counts.connected++;
      if (open.has(clientId)) counts.unpaired++;
      open.add(clientId);
      // An object of its own survives the copy of the context that each handler call gets.
      return { kind, progress: { next: 0 } };
    };
    return kind === "late" ? sleep(5).then(connected) : connected();
  },
  onDisconnect: (ctx, clientId) => {
    counts.disconnected++;
    if (!open.delete(clientId)) counts.unpaired++;
    const result = onGone(ctx);
    if (!(result instanceof Promise)) return undefined;
    counts.leaving++;
    return result.finally(() => counts.leaving--);
  },
});

const text = zo.message.incoming({ payload: z.object({ n: z.number(), text: z.string() }) });
const room = zo.message.incoming({ payload: z.object({ room: z.string() }) });
const numbered = zo.message.incoming({ payload: z.object({ n: z.number() }) });
const anything = zo.message.outgoing({ payload: z.any() });
const picky = zo.message.use(({ payload }) => {
  if (payload.n % 2 === 1) throw new Error("rejected on purpose");
});

const routes = {
  echo: text,
  join: room,
  leave: room,
  say: zo.message.incoming({ payload: z.object({ room: z.string(), n: z.number() }) }),
  shout: numbered,
  numbered: text,
  even: picky.incoming({ payload: z.object({ n: z.number() }) }),
  throws: numbered,
  rejects: numbered,
  late: numbered,
  never: numbered,
  read: numbered,
  onEcho: anything,
  onSaid: anything,
  onShout: anything,
  onTick: anything,
};

/** The latest number each reader of `ticks` says it has. */
const read = new Map();

const app = zo.router(routes, {
  echo: ({ payload, ctx }) => ctx.send.onEcho(payload).to(ctx.clientId),
  join: ({ payload, ctx }) => {
    ctx.rooms.join(payload.room);
    ctx.send.onEcho(payload).to(ctx.clientId);
  },
  leave: ({ payload, ctx }) => {
    ctx.rooms.leave(payload.room);
    ctx.send.onEcho(payload).to(ctx.clientId);
  },
  say: ({ payload, ctx }) => {
    ctx.send.onSaid({ from: ctx.clientId, ...payload }).toRoom(payload.room);
    ctx.send.onEcho(payload).to(ctx.clientId);
  },
  shout: ({ payload, ctx }) => {
    ctx.send.onShout({ from: ctx.clientId, ...payload }).broadcast();
    ctx.send.onEcho(payload).to(ctx.clientId);
  },
  numbered: ({ payload, ctx }) => {
    if (payload.n !== ctx.progress.next) counts.outOfOrder++;
    ctx.progress.next = payload.n + 1;
    ctx.send.onEcho({ n: payload.n }).to(ctx.clientId);
  },
  even: ({ payload, ctx }) => ctx.send.onEcho(payload).to(ctx.clientId),
  throws: () => {
    throw new Error("thrown on purpose");
  },
  rejects: async () => {
    await sleep(1);
    throw new Error("rejected on purpose");
  },
  late: async ({ payload, ctx }) => {
    await sleep(20);
    ctx.send.onEcho(payload).to(ctx.clientId);
  },
  never: () => {
    counts.nevers++;
    return new Promise(() => {});
  },
  read: ({ payload, ctx }) => void read.set(ctx.clientId, payload.n),
});

/** Starts the server; the port. */
export async function start(options = {}) {
  await startThreads();
  server = createServer(app, zo, {
    port: 0,
    hostname: "127.0.0.1",
    handshakeTimeout: 120_000,
    onError: (_error, { code }) => (counts.faults[code] = (counts.faults[code] ?? 0) + 1),
    ...options,
  });
  return server.port;
}

/** Stops it; resolves when `stop` does. */
export async function stop(how) {
  await server.stop(how);
  return state();
}

/** What was counted. */
export function state() {
  return { ...counts, open: open.size, clients: server.clientCount(), metrics: server.metrics() };
}

/** Holds the JavaScript thread for so many ms, and on until a file is there; says so just before. */
export async function block(ms, file) {
  await new Promise((resolve) => process.send({ event: "blocking" }, resolve));
  const start = performance.now();
  // From here on what grows is not V8's, which may have grown before for messages that it took. Nor does this loop make garbage
  // to speak of: a look each time it wakes.
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  const before = resident();
  let peak = before;
  while (performance.now() - start < ms || !existsSync(file)) {
    Atomics.wait(nothing, 0, 0, 20);
    peak = Math.max(peak, resident());
    // It never comes when the clients see no pong.
    if (performance.now() - start > ms + 60_000) break;
  }
  return { grown: peak - before, ms: performance.now() - start, freed: existsSync(file) };
}

/** Sends numbered messages to a room from a number on, each padded to so many bytes; what it looks like after it. */
export function tick(name, from, count, bytes) {
  const padding = "x".repeat(bytes);
  for (let n = from; n < from + count; n++) {
    server.publish(name, "onTick", { n, padding });
  }
  return { metrics: server.metrics(), rss: resident() };
}

/** The lowest number that all readers say they have; how many they are. */
export function readers() {
  return { count: read.size, lowest: Math.min(...read.values()) };
}

/** What the timer below waits each time, in ms; what is more is delay. */
const RESOLUTION = 10;
let delay;

/** Counters, memory after a collection, and the delay of the event loop in ms since this was asked last. */
export async function sample() {
  const ms = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - RESOLUTION);
  const figures = delay && {
    p50: ms(delay.percentile(50)),
    p99: ms(delay.percentile(99)),
    max: ms(delay.max),
  };
  // The collection is ours, and counts for nothing.
  delay ??= monitorEventLoopDelay({ resolution: RESOLUTION });
  delay.disable();
  const found = { ...state(), ...(await memory()), delay: figures };
  delay.reset();
  delay.enable();
  return found;
}

let feeding;

/** Sends so many bytes to a room every so many ms; 0 ends it. */
export function feed(name, ms, bytes) {
  clearInterval(feeding);
  const payload = { padding: "x".repeat(bytes) };
  if (ms > 0) feeding = setInterval(() => server.publish(name, "onTick", payload), ms);
}

let inside;

/** Resolves when a `stop()` within `onDisconnect` has. */
export function stoppedInside() {
  return inside;
}

/** What `onDisconnect` may do wrong. */
const FAULTS = [
  () => {},
  () => {
    throw new Error("thrown on purpose");
  },
  () => Promise.reject(new Error("rejected on purpose")),
  () => sleep(50),
];

/** Lets `onDisconnect` fail in each way by turns; for one client it stops the server, or never ends. */
export function setOnGone(kind) {
  let turn = 0;
  let tell;
  inside = new Promise((resolve) => (tell = resolve));
  onGone = ({ kind: who }) => {
    if (kind === "stop" && who === "stopper") return server.stop().then(tell);
    if (kind === "stuck" && who === "stopper") return new Promise(() => {});
    return FAULTS[turn++ % FAULTS.length]();
  };
}

/** Forgets calls of `onDisconnect` that never end. */
export function forget() {
  counts.leaving = 0;
}
