// Processes of their own for the server and for its clients, and what the system says about them.
import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** The longest anything may take, in ms: past it it is a hang, and no slow machine. */
const DEADLINE = 180_000;

const SCRIPT = fileURLToPath(new URL("actor.mjs", import.meta.url));
const linux = process.platform === "linux";
const actors = new Set();

/**
 * Waits for a promise, but not for ever. Counted in steps: time in which this process was kept from running does not
 * count, as the others were then most likely, too.
 */
export async function within(promise, what, ms = DEADLINE) {
  let timer;
  let passed = 0;
  const late = new Promise((_, reject) => {
    timer = setInterval(() => {
      passed += 500;
      if (passed >= ms) reject(new Error(`${what}: not within ${ms / 1000} s`));
    }, 500);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearInterval(timer);
  }
}

/** Asks again and again, until the answer is true; whether it ever was. */
export async function eventually(question, ms = 30_000) {
  for (let passed = 0; passed < ms; passed += 50) {
    if (await question()) return true;
    await sleep(50);
  }
  return false;
}

/** A module that runs in a process of its own. */
export class Actor {
  #calls = new Map();
  #nextId = 0;
  #heard = new Map();
  /** What it wrote to its standard error. */
  errors = "";
  /** Whether that is shown, too. */
  showsErrors = true;

  /** Starts one; `flags` are Node's. */
  static async start(module, ...flags) {
    const actor = new Actor(module, flags);
    await within(actor.#ready, `start of ${module}`);
    return actor;
  }

  #ready = new Promise((resolve) => this.on("ready", resolve));

  constructor(module, flags) {
    this.module = module;
    this.process = fork(SCRIPT, [module], {
      execArgv: flags,
      serialization: "advanced",
      stdio: ["ignore", "inherit", "pipe", "ipc"],
    });
    actors.add(this);
    this.process.stderr.setEncoding("utf8").on("data", (text) => {
      this.errors += text;
      if (this.showsErrors) process.stderr.write(text);
    });
    this.process.on("message", ({ id, event, result, error }) => {
      if (event !== undefined) {
        this.#heard.get(event)?.(result);
        return;
      }
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      if (error === undefined) call?.resolve(result);
      else call?.reject(new Error(error));
    });
    /** How it ended: `{ code, signal }`. */
    const ends = [once(this.process, "exit"), once(this.process.stderr, "end")];
    this.exited = Promise.all(ends).then(([[code, signal]]) => {
      actors.delete(this);
      for (const { reject } of this.#calls.values()) {
        reject(new Error(`the process of ${module} ended with ${signal ?? code}`));
      }
      return { code, signal };
    });
  }

  /** Calls an export of the module. */
  call(name, ...args) {
    return this.callFor(0, name, ...args);
  }

  /** The same for what takes so many ms more than anything may. */
  callFor(ms, name, ...args) {
    const id = this.#nextId++;
    const answer = new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
    this.process.send({ id, name, args }, (error) => {
      // `exited` rejects the call, and says more.
      if (error) this.process.kill("SIGKILL");
    });
    return within(answer, `${this.module}: ${name}`, DEADLINE + ms);
  }

  /** What to do when the module sends an event of its own. */
  on(event, listener) {
    this.#heard.set(event, listener);
  }

  /** Its open files; `undefined` where the system does not tell. */
  files() {
    return linux ? readdirSync(`/proc/${this.process.pid}/fd`).length : undefined;
  }

  /** Its threads; `undefined` where the system does not tell. */
  threads() {
    if (!linux) return undefined;
    return Number(/^Threads:\s+(\d+)/m.exec(readFileSync(`/proc/${this.process.pid}/status`))[1]);
  }

  /** Lets it end by itself: with nobody to listen to and nothing to do, it has to. How it did: `{ code, signal }`. */
  async leave() {
    this.process.send({ leave: true });
    return within(this.exited, `the end of ${this.module}`);
  }

  /** Ends it. */
  async end() {
    this.process.kill("SIGKILL");
    await this.exited;
  }
}

/** Ends what is still running. */
export async function endAll() {
  await Promise.all([...actors].map((actor) => actor.end()));
}

/** How many files a process of ours may open; `Infinity` where there is no such limit. Node raises the soft one itself. */
export function maxFiles() {
  if (process.platform === "win32") return Infinity;
  if (linux) {
    const [, limit] = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits"));
    return limit === "unlimited" ? Infinity : Number(limit);
  }
  const { soft } = process.report.getReport().userLimits.open_files;
  return soft === "unlimited" ? Infinity : Number(soft);
}
