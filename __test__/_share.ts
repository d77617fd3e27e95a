// A worker thread that shares a server with others, and does what a spec asks.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";
import { Worker } from "node:worker_threads";

import type { RedisOptions } from "@zocket/core/bus";

import { soon } from "./_wait.ts";

/**
 * Runs in the worker. `text` is the body of an async function of `server`, `seen` and `app`. `ends` is global: how each client went.
 */
export const PROGRAM = `
const { parentPort, workerData } = require("node:worker_threads");
const { createServer, zocket } = require("@zocket/core");
const { redis } = require("@zocket/core/bus");
const anything = { "~standard": { version: 1, vendor: "specs", validate: (value) => ({ value }) } };
const seen = [];
const ends = (globalThis.ends = []);
const zo = zocket.create({
  headers: anything,
  onConnect: (headers, id) => (seen.push("connect " + id), { worker: workerData.name }),
  onDisconnect: (ctx, id, info) => {
    seen.push("disconnect " + id);
    ends.push({ id, ...info, rooms: [...ctx.rooms] });
  },
});
const routes = {
  who: zo.message.incoming({ payload: anything, reply: anything }),
  join: zo.message.incoming({ payload: anything, reply: anything }),
  rooms: zo.message.incoming({ payload: anything, reply: anything }),
  say: zo.message.incoming({ payload: anything }),
  said: zo.message.outgoing({ payload: anything }),
  ...(workerData.more ? { more: zo.message.outgoing({ payload: anything }) } : {}),
};
const app = zo.router(routes, {
  who: ({ ctx }) => ({ worker: ctx.worker, id: ctx.clientId }),
  join: ({ ctx, payload }) => { ctx.rooms.join(payload); return null; },
  rooms: ({ ctx }) => [...ctx.rooms.current],
  say: ({ ctx, payload }) => { ctx.send.said(payload).toRoom("lobby"); },
});
const onError = (error, info) => void seen.push("error " + info.code);
let server;
try {
  const bus = workerData.bus && redis(workerData.bus);
  server = createServer(app, zo, { hostname: "127.0.0.1", port: 0, ioThreads: 2, share: workerData.share, onError, bus, ...workerData.options });
  parentPort.postMessage({ url: server.url });
} catch (error) {
  parentPort.postMessage({ code: error.code, message: error.message });
}
parentPort.on("message", async ({ number, text }) => {
  const work = new Function("server", "seen", "app", "return (async () => {" + text + "})()");
  const message = await work(server, seen, app).then((value) => ({ value }), (error) => ({ error: String(error) }));
  parentPort.postMessage({ number, ...message });
  if (text.includes("exit")) parentPort.close();
});
`;

/** What blocks a worker for as long as a test wants, and a minute at most. */
export function blockUntilTold() {
  const file = path.join(tmpdir(), `zocket-block-${randomUUID()}`);
  const program = `
    const { existsSync, rmSync } = process.getBuiltinModule("node:fs");
    const [file, end] = [${JSON.stringify(file)}, Date.now() + 60_000];
    while (!existsSync(file) && Date.now() < end);
    rmSync(file, { force: true });`;
  return { program, end: () => writeFileSync(file, "") };
}

export interface Started {
  readonly url?: string;
  readonly code?: string;
  readonly message?: string;
}

export class Sharing {
  readonly worker: Worker;
  started: Started = {};
  #number = 0;

  private constructor(worker: Worker) {
    this.worker = worker;
  }

  /** Starts a worker; `started` says what became of its `createServer`. */
  static async start(
    t: TestContext,
    share: string,
    name: string,
    options: object = {},
    {
      more = false,
      bus,
      megabytes,
    }: { more?: boolean; bus?: RedisOptions; megabytes?: number } = {},
  ): Promise<Sharing> {
    const workerData = { share, name, options, more, bus };
    const limits = megabytes === undefined ? {} : { maxOldGenerationSizeMb: megabytes };
    const worker = new Worker(PROGRAM, { eval: true, workerData, resourceLimits: limits });
    t.after(() => worker.terminate());
    const sharing = new Sharing(worker);
    const [started] = (await soon("the start of a worker", once(worker, "message"))) as [Started];
    sharing.started = started;
    return sharing;
  }

  get url(): string {
    return this.started.url ?? "";
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** Has the worker run an async function's body, and does not wait for it. */
  tell(text: string): void {
    this.worker.postMessage({ number: 0, text });
  }

  /** Runs an async function's body in the worker. */
  async ask<T>(text: string): Promise<T> {
    const number = ++this.#number;
    const answer = new Promise<{ value?: T; error?: string }>((resolve) => {
      const look = (message: { number?: number; value?: T; error?: string }) => {
        if (message.number !== number) return;
        this.worker.off("message", look);
        resolve(message);
      };
      this.worker.on("message", look);
    });
    this.worker.postMessage({ number, text });
    const { value, error } = await soon(text, answer);
    if (error !== undefined) throw new Error(error);
    return value as T;
  }
}
