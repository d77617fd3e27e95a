// A `createServer` that throws leaves nothing behind: no thread, no descriptor, and no bell that rings afterwards.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { describe, test, type TestContext } from "node:test";
import { Worker } from "node:worker_threads";

import { Child, ROOT } from "./_child.ts";
import { serve } from "./_support.ts";
import { soon, until } from "./_wait.ts";

const onLinux = process.platform === "linux";

/** How many threads and descriptors this process has. */
const held = () => ["task", "fd"].map((what) => readdirSync(`/proc/self/${what}`).length);

/** Tries to start a server; prints what is left of it, and the code of what it threw. */
const TRY = `
  import { closeSync, openSync, readdirSync } from "node:fs";
  const held = () => ["task", "fd"].map((what) => readdirSync("/proc/self/" + what).length);
  const codes = [];
  const soon = () => new Promise((resolve) => setTimeout(resolve, 5));
  // The system ends threads a little later than the engine.
  const same = async (before, now) => {
    for (let turn = 0; turn < 2_000 && now() !== before; turn++) await soon();
    return now() === before ? "nothing" : before + " became " + now();
  };
  const attempt = async (options) => {
    try {
      await createServer(router, zo, { ...local, ...options }).stop();
      codes.push("none");
    } catch (error) {
      codes.push(error.code);
    }
  };`;

/** Four I/O threads, with so few descriptors left that each step of the start fails once. */
const WITHOUT_DESCRIPTORS = `${TRY}
  const taken = [];
  try { for (;;) taken.push(openSync(process.execPath)); } catch {}
  // Reading the folder needs one more.
  const counted = () => {
    closeSync(taken.pop());
    const now = held();
    taken.push(openSync(process.execPath));
    return String(now);
  };
  const before = counted();
  for (let free = 0; free < 24 && !codes.includes("none"); free++) {
    for (let left = 0; left < free; left++) closeSync(taken.pop());
    for (let round = 0; round < 10; round++) await attempt({ ioThreads: 4 });
    for (let left = 0; left < free;) {
      await soon();
      try { while (left < free) { taken.push(openSync(process.execPath)); left++; } } catch {}
    }
  }
  console.log("left " + (await same(before, counted)) + ";");
  console.log("codes " + [...new Set(codes)] + ";");
  for (const file of taken) closeSync(file);`;

/** As another user, who may have so many threads more. */
const withThreads = (more: number) => `${TRY}
  import { execFileSync } from "node:child_process";
  await new Promise((resolve) => setTimeout(resolve, 50));
  const limit = held()[0] + ${more};
  execFileSync("prlimit", ["--pid", String(process.pid), "--nproc=" + limit + ":" + limit]);
  process.setuid(54321);
  const before = String(held());
  for (let round = 0; round < 20; round++) await attempt({ ioThreads: 4 });
  console.log("left " + (await same(before, () => String(held()))) + ";");
  console.log("codes " + [...new Set(codes)] + ";");`;

/** Asserts what an attempt printed, and that its process ends by itself. */
async function leavesNothing(child: Child, codes: RegExp): Promise<void> {
  await child.endsWell();
  assert.match(child.out, /left nothing;/);
  assert.match(child.out, codes);
}

/** Whether the limit of threads can be set for a user without processes. */
function canLimitThreads(): boolean {
  try {
    execFileSync("prlimit", ["--version"]);
    return onLinux && process.getuid?.() === 0;
  } catch {
    return false;
  }
}

/** What a worker posts last, once it has exited. */
async function resultOf(t: TestContext, program: string): Promise<unknown> {
  const worker = new Worker(program, { eval: true });
  t.after(() => worker.terminate());
  let result: unknown;
  worker.on("message", (message) => (result = message));
  await soon("the worker's exit", new Promise((resolve) => worker.once("exit", resolve)));
  return result;
}

describe("createServer that throws", () => {
  test(
    "at any descriptor it lacks leaves nothing, and the process goes on",
    { skip: !onLinux },
    async (t) => {
      await leavesNothing(Child.limited(t, 64, WITHOUT_DESCRIPTORS), /codes ELISTEN,EAGAIN,none;/);
    },
  );

  for (const more of [0, 1, 3]) {
    const skip = canLimitThreads() ? false : "only root can limit the threads of another user";
    test(
      `at I/O thread ${more + 1} of 4 leaves nothing, and the process goes on`,
      { skip },
      async (t) => {
        await leavesNothing(Child.node(t, withThreads(more)), /codes EAGAIN;/);
      },
    );
  }

  test(
    "because of its port or its options, two hundred times, leaves nothing",
    { skip: !onLinux },
    async (t) => {
      const child = Child.node(
        t,
        `${TRY}
       const server = createServer(router, zo, local);
       const { port } = server;
       const before = String(held());
       for (let round = 0; round < 200; round++) {
         await attempt({ port });
         await attempt({ ioThreads: 0 });
         await attempt({ get ioThreads() { throw new Error("on purpose"); } });
       }
       console.log("left " + (await same(before, () => String(held()))) + ";");
       console.log("codes " + [...new Set(codes)] + ";");
       await server.stop();`,
      );
      await leavesNothing(child, /codes EADDRINUSE,;/);
    },
  );

  test(
    "in a worker leaves nothing there either, and the worker ends",
    { skip: !onLinux },
    async (t) => {
      const { port } = serve(t);
      const program = `
      const { parentPort } = require("node:worker_threads");
      const { createServer, zocket } = require(${JSON.stringify(ROOT)});
      const headers = { "~standard": { version: 1, vendor: "specs", validate: (value) => ({ value }) } };
      const zo = zocket.create({ headers });
      const codes = new Set();
      for (let round = 0; round < 50; round++) {
        try {
          createServer(zo.router({}, {}), zo, { port: ${port}, hostname: "127.0.0.1", ioThreads: 4 });
        } catch (error) {
          codes.add(error.code);
        }
      }
      parentPort.postMessage([...codes].join());`;
      assert.equal(await resultOf(t, program), "EADDRINUSE");
      const before = held();
      for (let round = 0; round < 5; round++) {
        assert.equal(await resultOf(t, program), "EADDRINUSE");
      }
      await until("no more than before", () =>
        held().every((count, at) => count <= (before[at] ?? 0)),
      );
    },
  );
});
