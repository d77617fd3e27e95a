// The server of the scenario "hostile": stock limits, the default log, and routes of the kinds that attacks aim at.
import { createHistogram } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

import { createServer, zocket } from "@zocket/core";
import { z } from "zod";

import { memory } from "./memory.mjs";

/** In ms: what a timer of the application asks for. */
const TIMER = 10;
/** In ms: longer than attackers wait who then leave. */
const SLOW = 1_000;

/** Clients whose `onConnect` succeeded and whose `onDisconnect` has not begun. */
const open = new Set();
const counts = { connected: 0, disconnected: 0, unpaired: 0 };
let server;

const zo = zocket.create({
  headers: z.object({ kind: z.string().optional() }),
  onConnect: ({ kind }, clientId) => {
    if (kind === "refused") throw new Error("refused on purpose");
    counts.connected++;
    if (open.has(clientId)) counts.unpaired++;
    open.add(clientId);
  },
  onDisconnect: (_ctx, clientId) => {
    counts.disconnected++;
    if (!open.delete(clientId)) counts.unpaired++;
  },
});

const anything = z.any();
const slow = zo.message.use(() => sleep(SLOW));

const routes = {
  echo: zo.message.incoming({ payload: z.object({ n: z.number(), text: z.string() }) }),
  nothing: zo.message.incoming({ payload: anything }),
  mirror: zo.message.incoming({ payload: z.record(z.string(), z.number()) }),
  behindSlow: slow.incoming({ payload: anything }),
  never: zo.message.incoming({ payload: anything }),
  join: zo.message.incoming({ payload: z.array(z.string()) }),
  numbers: zo.message.incoming({ payload: z.array(z.number()) }),
  strict: zo.message.incoming({ payload: z.strictObject({}) }),
  onEcho: zo.message.outgoing({ payload: anything }),
  onMirror: zo.message.outgoing({ payload: anything }),
  onNews: zo.message.outgoing({ payload: anything }),
};

const app = zo.router(routes, {
  echo: ({ payload, ctx }) => ctx.send.onEcho(payload).to(ctx.clientId),
  nothing: () => {},
  mirror: ({ payload, ctx }) => ctx.send.onMirror(payload).to(ctx.clientId),
  behindSlow: () => {},
  never: ({ payload }) => new Promise(() => payload),
  join: ({ payload, ctx }) => {
    for (const name of payload) ctx.rooms.join(name);
  },
  numbers: () => {},
  strict: () => {},
});

/** Starts the server; the port. */
export function start(options) {
  server = createServer(app, zo, { port: 0, hostname: "127.0.0.1", ...options });
  return server.port;
}

/** Stops it; resolves when `stop` does. */
export async function stop() {
  clearInterval(timer);
  await server.stop();
  return state();
}

/** What was counted. */
export function state() {
  return { ...counts, open: open.size, clients: server.clientCount(), metrics: server.metrics() };
}

let news;

/** Sends so many bytes to all, every so many ms; 0 ends it. */
export function tell(ms, bytes) {
  clearInterval(news);
  const payload = { padding: "x".repeat(bytes) };
  if (ms > 0) news = setInterval(() => server.publish("news", "onNews", payload), ms);
}

/** In µs: from one call of a timer to the next. */
const gaps = createHistogram();
let timer;

/** Starts to watch a timer, anew. */
export function watch() {
  gaps.reset();
  let last = performance.now();
  timer = setInterval(() => {
    const now = performance.now();
    gaps.record(Math.max(1, Math.round((now - last) * 1_000)));
    last = now;
  }, TIMER);
}

/** Counters, memory after a collection, which the timer does not see, and how long the timer was silent since this was asked last, in ms. */
export async function sample() {
  const silence = { p50: gaps.percentile(50) / 1_000, p99: gaps.percentile(99) / 1_000 };
  silence.max = gaps.max / 1_000;
  clearInterval(timer);
  const found = { ...state(), ...(await memory()), silence };
  watch();
  return found;
}
