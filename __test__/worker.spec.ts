// A server in a worker thread that is terminated in mid-traffic: its threads and sockets end with it, the process lives on.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { describe, test, type TestContext } from "node:test";
import { Worker } from "node:worker_threads";

import { Child } from "./_child.ts";
import { Raw, request } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { soon, until } from "./_wait.ts";

/** Serves, echoes to all, and talks by itself; what a worker runs. */
const SERVING = `
  const { parentPort } = require("node:worker_threads");
  const { createServer, zocket } = require("@zocket/core");
  const anything = { "~standard": { version: 1, vendor: "specs", validate: (value) => ({ value }) } };
  const zo = zocket.create({ headers: anything, onConnect: async () => ({}), onDisconnect: async () => {} });
  const routes = {
    say: zo.message.incoming({ payload: anything }),
    said: zo.message.outgoing({ payload: anything }),
  };
  const router = zo.router(routes, {
    say: ({ payload, ctx }) => {
      if (payload === "hang") for (;;);
      if (payload === "exit") process.exit(3);
      if (payload === "throw") return void setImmediate(() => { throw new Error("on purpose"); });
      if (payload === "stop") { clearInterval(talking); return server.stop(); }
      if (payload === "unref") { clearInterval(talking); return server.unref(); }
      ctx.send.said(payload).broadcast();
    },
  });
  const server = createServer(router, zo, { port: 0, hostname: "127.0.0.1", ioThreads: 2 });
  const talking = setInterval(() => server.send.said("tick").broadcast(), 1);
  parentPort.postMessage(server.port);
`;

async function startWorker(t: TestContext): Promise<{ worker: Worker; port: number }> {
  const worker = new Worker(SERVING, { eval: true });
  t.after(() => worker.terminate());
  const port = await soon(
    "the worker's port",
    new Promise<number>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    }),
  );
  return { worker, port };
}

/** The threads of this process; elsewhere than on Linux they cannot be counted. */
const threads = () =>
  process.platform === "linux" ? readdirSync("/proc/self/task").length : undefined;

describe("a worker thread that serves", () => {
  test("can be terminated in mid-traffic, ten times: threads and sockets are gone, the process lives", async (t) => {
    // The first one starts what Node itself keeps.
    await (await startWorker(t)).worker.terminate();
    const before = threads();
    for (let round = 0; round < 10; round++) {
      const { worker, port } = await startWorker(t);
      const url = `ws://127.0.0.1:${port}`;
      const clients = await Promise.all(Array.from({ length: 8 }, () => Client.open(t, url)));
      const talking = clients.map(async (client) => {
        while (client.socket.readyState === client.socket.OPEN) {
          for (let burst = 0; burst < 20; burst++) client.say("x".repeat(burst * round));
          await new Promise(setImmediate);
        }
      });
      await until("traffic", () => clients.every(({ received }) => received.length > 100));
      await soon("the worker's end", worker.terminate());
      await soon("the clients' ends", Promise.all(clients.map(({ closed }) => closed)));
      await Promise.all(talking);
      const raw = new Raw(t, port, request());
      await raw.ended;
      assert.equal(raw.text, "", "nobody listens any more");
    }
    await until("the threads' ends", () => (threads() ?? 0) <= (before ?? 0));
  });

  for (const [what, code] of Object.entries({ exit: 3, throw: 1, stop: 0, unref: 0 })) {
    test(`ends with ${code} when a handler in mid-traffic says "${what}", and the process lives`, async (t) => {
      const app = serve(t);
      for (let round = 0; round < 3; round++) {
        const { worker, port } = await startWorker(t);
        const errors: unknown[] = [];
        worker.on("error", (error) => errors.push(error));
        const exit = new Promise<number>((resolve) => worker.once("exit", resolve));
        const url = `ws://127.0.0.1:${port}`;
        const clients = await Promise.all(Array.from({ length: 8 }, () => Client.open(t, url)));
        for (let burst = 0; burst < 50; burst++) for (const client of clients) client.say(burst);
        clients[0]?.say(what);
        for (let burst = 0; burst < 50; burst++) for (const client of clients) client.say(burst);
        assert.equal(await soon("the worker's exit", exit), code);
        assert.deepEqual(errors.map(String), what === "throw" ? ["Error: on purpose"] : []);
        await soon("the clients' ends", Promise.all(clients.map(({ closed }) => closed)));
      }
      await (await Client.open(t, app.url)).roundTrip();
    });
  }

  test("can be terminated with others beside it, which go on", async (t) => {
    const workers = await Promise.all([0, 1, 2, 3].map(() => startWorker(t)));
    const open = ({ port }: { port: number }) => Client.open(t, `ws://127.0.0.1:${port}`);
    const clients = await Promise.all(workers.map(open));
    const [first, second, ...rest] = workers;
    await soon("two ends", Promise.all([first, second].map((it) => it?.worker.terminate())));
    await soon("two clients' ends", Promise.all([clients[0]?.closed, clients[1]?.closed]));
    for (const client of clients.slice(2)) await client.roundTrip();
    await Promise.all(rest.map(open));
  });

  test("can be terminated while upgrades are pending", async (t) => {
    const { worker, port } = await startWorker(t);
    const raws = Array.from({ length: 20 }, (_, index) => {
      const whole = request();
      return new Raw(t, port, index % 2 === 0 ? whole : whole.slice(0, 30));
    });
    await soon("the worker's end", worker.terminate());
    await soon("the clients' ends", Promise.all(raws.map(({ ended }) => ended)));
  });

  test("can be terminated while a handler never returns and more messages come", async (t) => {
    const { worker, port } = await startWorker(t);
    const client = await Client.open(t, `ws://127.0.0.1:${port}`);
    await until("traffic", () => client.received.length > 0);
    client.say("hang");
    for (let count = 0; count < 1000; count++) client.say("x".repeat(1000));
    await soon("the worker's end", worker.terminate());
    await soon("the client's end", client.closed);
  });

  test("leaves a process that exits by itself", async (t) => {
    const program = `
      const { Worker } = require("node:worker_threads");
      const worker = new Worker(${JSON.stringify(SERVING)}, { eval: true });
      worker.once("message", async (port) => {
        const { WebSocket } = require("ws");
        const socket = new WebSocket("ws://127.0.0.1:" + port);
        socket.once("message", async () => {
          await worker.terminate();
          console.log("terminated");
        });
      });`;
    const child = new Child(t, process.execPath, ["--eval", program]);
    await child.endsWell();
    assert.match(child.out, /terminated/);
  });

  test("may end the whole process", async (t) => {
    const program = `
      const { Worker } = require("node:worker_threads");
      const worker = new Worker(${JSON.stringify(SERVING)}, { eval: true });
      worker.once("message", (port) => {
        const { WebSocket } = require("ws");
        const socket = new WebSocket("ws://127.0.0.1:" + port);
        socket.once("message", () => process.exit(7));
      });`;
    const child = new Child(t, process.execPath, ["--eval", program]);
    assert.deepEqual(await soon("the exit", child.exit), { code: 7, signal: null });
    assert.equal(child.err, "");
  });

  test("leaves the main thread's server alone", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    const { worker, port } = await startWorker(t);
    await Client.open(t, `ws://127.0.0.1:${port}`);
    await worker.terminate();
    await client.roundTrip();
    await (await Client.open(t, app.url)).roundTrip();
  });
});
