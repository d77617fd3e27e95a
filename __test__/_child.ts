// Programs in processes of their own.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import { PATIENCE, soon, until } from "./_wait.ts";

export const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Returns once no thread of a process runs. After a signal the system stops them one after the other. */
function standsStill(pid: number): void {
  if (process.platform !== "linux") return;
  const tasks = `/proc/${pid}/task`;
  const isStopped = (task: string) =>
    readFileSync(`${tasks}/${task}/stat`, "utf8").includes(") T ");
  const end = performance.now() + PATIENCE;
  while (!readdirSync(tasks).every(isStopped)) {
    assert.ok(performance.now() < end, "waited in vain for the threads to stop");
  }
}

/** A program that ends and starts again, and stands still, as a test wants. */
export class Fragile {
  protected child: Child | undefined;

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    this.child?.process.kill("SIGKILL");
    if (this.child) await soon("the end of the program", this.child.exit);
  }

  /** It answers nothing until {@link resume}. */
  pause(): void {
    this.child?.process.kill("SIGSTOP");
    if (this.child) standsStill(this.child.process.pid as number);
  }

  resume(): void {
    this.child?.process.kill("SIGCONT");
  }
}

/** Node, or another program, in a process of its own. */
export class Child {
  readonly process: ChildProcess;
  readonly exit: Promise<{ code: number | null; signal: string | null }>;
  out = "";
  err = "";

  constructor(t: TestContext, command: string, args: string[], env: NodeJS.ProcessEnv = {}) {
    this.process = spawn(command, args, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.process.stdout?.on("data", (text) => (this.out += String(text)));
    this.process.stderr?.on("data", (text) => (this.err += String(text)));
    this.exit = new Promise((resolve) => {
      this.process.on("close", (code, signal) => resolve({ code, signal }));
    });
    t.after(() => this.process.kill("SIGKILL"));
  }

  /** Runs a program with a small application around it: `zo`, `router`, and what the package exports. */
  static node(
    t: TestContext,
    program: string,
    flags: string[] = [],
    env: NodeJS.ProcessEnv = {},
  ): Child {
    const args = [...flags, "--input-type=module", "--eval", `${PRELUDE}\n${program}`];
    return new Child(t, process.execPath, args, env);
  }

  /** The same with so many descriptors at most, on systems that have such a limit. */
  static limited(t: TestContext, files: number, program: string): Child {
    const limit = `ulimit -n ${files} && exec "$0" "$@"`;
    const args = [process.execPath, "--input-type=module", "--eval", `${PRELUDE}\n${program}`];
    return new Child(t, "sh", ["-c", limit, ...args]);
  }

  /** What the first group of the pattern finds in the output, once it does. */
  async printed(pattern: RegExp): Promise<string> {
    let ended = false;
    void this.exit.then(() => (ended = true));
    await until(`${pattern} in the child's output`, () => pattern.test(this.out) || ended);
    const found = pattern.exec(this.out);
    assert.ok(found, `the child ended without ${pattern}:\n${this.out}${this.err}`);
    return found[1] ?? found[0];
  }

  tell(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }

  /** Asserts that it ends by itself with 0. */
  async endsWell(): Promise<void> {
    const end = await soon("the child's exit", this.exit);
    assert.deepEqual({ ...end, err: this.err }, { code: 0, signal: null, err: "" });
  }
}

const PRELUDE = `
import { createServer, zocket } from "@zocket/core";
const anything = { "~standard": { version: 1, vendor: "specs", validate: (value) => ({ value }) } };
const hooks = {};
const zo = zocket.create({
  headers: anything,
  onConnect: (...args) => hooks.connect?.(...args) ?? {},
  onDisconnect: (...args) => hooks.disconnect?.(...args),
});
const routes = {
  say: zo.message.incoming({ payload: anything }),
  said: zo.message.outgoing({ payload: anything }),
};
const router = zo.router(routes, {
  say: ({ payload, ctx }) => hooks.say ? hooks.say(payload, ctx) : ctx.send.said(payload).to(ctx.clientId),
});
const tell = (server) => console.log("port " + server.port + ";");
const local = { port: 0, hostname: "127.0.0.1" };
`;

/** The port the child told with `tell(server)`. */
export const portOf = async (child: Child) => Number(await child.printed(/port (\d+);/));
