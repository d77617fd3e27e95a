// One measurement: starts a server, points the generator at it, stops it.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

import { root } from "./peers.mjs";

export const GENERATOR = path.join(root, "target", "release", "zocket-load");
const START_MS = 30_000;
const SETTLE_MS = 1_000;

/** What must not outlive this process. */
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

/** Throughput, latency and CPU of one case. */
export async function load(server, { args, dialect, seconds, warmUp, placement }) {
  return withServer(server, placement, async ({ port, pid }) => {
    if (server.admission && args[0] === "handshakes") await admits(port, args);
    const generator = start(placement.generator, [
      GENERATOR,
      ...args.map(String),
      ...["--port", port, "--server-pid", pid, "--dialect", dialect].map(String),
      ...["--seconds", seconds, "--warm-up", warmUp].map(String),
    ]);
    return JSON.parse(await lastLine(generator));
  });
}

/**
 * Resident bytes that one idle connection adds; what is kept when all have left; and what a third wave
 * of as many needs more than the second. The server is warmed up by a short echo over connections that
 * end before the first reading, so that code and pools do not count. An allocator keeps pages that were
 * used once, which the second wave may still add to, so that only the third tells a leak. V8's young
 * generation is kept small: it grows and shrinks by 16 MiB as it likes, and holds nothing that lasts.
 */
export async function memory(server, { args, dialect, placement }) {
  const environment = { ...server.environment, NODE_OPTIONS: "--max-semi-space-size=1" };
  return withServer({ ...server, environment }, placement, async ({ port, pid }) => {
    const at = args.indexOf("--tls");
    const tls = at < 0 ? [] : args.slice(at, at + 2);
    const to = ["--port", port, "--dialect", dialect].map(String);
    const brief = ["--connections", "256", "--in-flight", "16", "--seconds", "1"];
    await lastLine(start(placement.generator, [GENERATOR, "echo", ...brief, ...tls, ...to]));
    await sleep(SETTLE_MS);
    const before = look(pid);
    const waves = wavesOf(start(placement.generator, [GENERATOR, ...args.map(String), ...to]));
    const count = await waves.next();
    await sleep(SETTLE_MS);
    const open = [look(pid)];
    for (let wave = 2; wave <= 3; wave++) {
      await waves.next();
      await collect(server, pid);
      await waves.next();
      await collect(server, pid);
      open.push(look(pid));
    }
    await waves.next();
    await collect(server, pid);
    const after = look(pid);
    await waves.end();
    const [first, second, third] = open.map(({ bytes }) => bytes);
    const taken = first - before.bytes;
    return {
      memory: {
        bytes: taken / count,
        kept: (after.bytes - before.bytes) / count,
        grown: (third - second) / taken,
        files: after.files - before.files,
      },
    };
  });
}

/** Clients that come and leave in turns: `next` lets them, and says how many are open then. */
function wavesOf(generator) {
  const lines = createInterface({ input: generator.stdout })[Symbol.asyncIterator]();
  const early = exited(generator).then(() => {
    throw new Error(`the generator ended early${generator.complaint()}`);
  });
  early.catch(() => {});
  let turn = 0;
  return {
    async next() {
      // The first come by themselves.
      if (turn > 0) generator.stdin.write("\n");
      const { value, done } = await Promise.race([lines.next(), early]);
      if (done) return early;
      const { open } = JSON.parse(value);
      turn += 1;
      if (open > 0 !== (turn % 2 === 1)) throw new Error(`${open} clients are open`);
      return open;
    },
    async end() {
      generator.stdin.end();
      await exited(generator);
    },
  };
}

/** Has the server's garbage collected, and what follows from that done. */
async function collect({ native }, pid) {
  for (let time = 0; time < 2; time++) {
    await sleep(SETTLE_MS / 2);
    if (!native) process.kill(pid, "SIGUSR2");
  }
  await sleep(SETTLE_MS / 2);
}

/**
 * Makes sure that the application has a schema for headers and an `onConnect`: the one refuses an
 * upgrade without `authorization`, the other one for nobody.
 */
async function admits(port, args) {
  const path = args.includes("--path") ? args[args.indexOf("--path") + 1] : "/";
  for (const [authorization, expected] of [
    [undefined, 400],
    ["nobody", 403],
  ]) {
    const headers = {
      connection: "upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      ...(authorization && { authorization }),
    };
    const request = get({ host: "127.0.0.1", port, path, headers, agent: false });
    const [status] = await Promise.race([
      once(request, "response").then(([response]) => [response.resume().statusCode]),
      once(request, "upgrade").then(([, socket]) => [socket.destroy() && 101]),
    ]);
    if (status !== expected) {
      throw new Error(`an upgrade for ${authorization} got ${status}, not ${expected}`);
    }
  }
}

/** Whether a server starts at all: an addon may be built for other versions of Node.js. */
export async function starts(server, placement) {
  try {
    await withServer(server, placement, async () => {});
    return true;
  } catch {
    return false;
  }
}

export async function withServer({ command, environment }, placement, use) {
  const server = start(placement.server, command, environment);
  try {
    const port = await listening(server);
    return await use({ port, pid: server.pid });
  } finally {
    server.kill("SIGKILL");
    await exited(server);
  }
}

/** As many open files as this user may have: 10,000 connections need more than is usual. */
const FILES = ["sh", "-c", 'ulimit -S -n "$(ulimit -H -n)" 2>/dev/null; exec "$@"', "sh"];

/** How many files a process may have open; `Infinity` where there is no limit. */
export function mostFiles() {
  const text = execFileSync("sh", ["-c", "ulimit -H -n"], { encoding: "utf8" }).trim();
  return text === "unlimited" ? Infinity : Number(text);
}

export function start({ pin, priority }, command, environment) {
  // `sh`, `taskset` and `nice` become the program they start: the process id is the server's.
  const [file, ...args] = [...FILES, ...pin, ...command];
  const stdio = ["pipe", "pipe", "pipe"];
  const env = { ...process.env, ...environment };
  const child = spawn(file, args, { stdio, detached: priority, env });
  if (priority) {
    // Linux shares the CPU between sessions first, and `nice` counts only within one.
    const group = `/proc/${child.pid}/autogroup`;
    if (existsSync(group)) writeFileSync(group, "-15");
  }
  running.add(child);
  let complaint = "";
  child.stderr.on("data", (data) => (complaint = (complaint + data).slice(-2000)));
  child.complaint = () => (complaint ? `: ${complaint.trim()}` : "");
  child.ended = once(child, "close").finally(() => running.delete(child));
  child.ended.catch(() => {});
  return child;
}

export const exited = (child) => child.ended;

async function listening(server) {
  const lines = createInterface({ input: server.stdout });
  const timer = AbortSignal.timeout(START_MS);
  const ended = exited(server).then(() => {
    throw new Error(`the server did not start${server.complaint()}`);
  });
  const said = (async () => {
    for await (const line of lines) {
      const port = /listening on .*:(\d+)$/.exec(line)?.[1];
      if (port) return Number(port);
    }
    return ended;
  })();
  const late = once(timer, "abort").then(() => {
    throw new Error(`the server did not listen in time${server.complaint()}`);
  });
  ended.catch(() => {});
  late.catch(() => {});
  return Promise.race([said, ended, late]);
}

export async function lastLine(child) {
  let text = "";
  child.stdout.on("data", (data) => (text += data));
  const [code] = await exited(child);
  if (code !== 0) throw new Error(`the generator failed${child.complaint()}`);
  return text.trim().split("\n").at(-1);
}

/** Resident bytes and open files of a process. */
function look(pid) {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) throw new Error("memory needs /proc");
  const bytes = Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(file, "utf8"))[1]) * 1024;
  return { bytes, files: readdirSync(`/proc/${pid}/fd`).length };
}
