// One measurement: starts a server, points the generator at it, stops it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

import { root } from "./peers.mjs";

const GENERATOR = path.join(root, "target", "release", "zocket-load");
const START_MS = 10_000;
const SETTLE_MS = 1_000;

/** What must not outlive this process. */
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

/** Throughput, latency and CPU of one case. */
export async function load(command, { args, dialect, seconds, warmUp, placement }) {
  return withServer(command, placement, async ({ port, pid }) => {
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
 * Resident bytes that one idle connection adds. The server is warmed up by a short echo over
 * connections that end before the first reading, so that code and pools do not count.
 */
export async function memory(command, { args, dialect, placement }) {
  return withServer(command, placement, async ({ port, pid }) => {
    const to = ["--port", port, "--dialect", dialect].map(String);
    const brief = ["--connections", "256", "--seconds", "0.5", "--warm-up", "0.5"];
    await lastLine(start(placement.generator, [GENERATOR, "echo", ...brief, ...to]));
    await sleep(SETTLE_MS);
    const before = residentBytes(pid);
    const generator = start(placement.generator, [GENERATOR, ...args.map(String), ...to]);
    const lines = createInterface({ input: generator.stdout });
    const failed = exited(generator);
    const [line] = await Promise.race([once(lines, "line"), failed.then(() => ["{}"])]);
    const { open } = JSON.parse(line);
    if (!open) throw new Error(`the generator ended early${generator.complaint()}`);
    await sleep(SETTLE_MS);
    const after = residentBytes(pid);
    generator.stdin.end();
    await failed;
    return { bytes: (after - before) / open };
  });
}

async function withServer(command, placement, use) {
  const server = start(placement.server, command);
  try {
    const port = await listening(server);
    return await use({ port, pid: server.pid });
  } finally {
    server.kill("SIGKILL");
    await exited(server);
  }
}

function start({ pin, priority }, command) {
  // `taskset` and `nice` become the program they start: the process id is the server's.
  const [file, ...args] = [...pin, ...command];
  const stdio = ["pipe", "pipe", "pipe"];
  const child = spawn(file, args, { stdio, detached: priority });
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

const exited = (child) => child.ended;

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

async function lastLine(child) {
  let text = "";
  child.stdout.on("data", (data) => (text += data));
  const [code] = await exited(child);
  if (code !== 0) throw new Error(`the generator failed${child.complaint()}`);
  return text.trim().split("\n").at(-1);
}

function residentBytes(pid) {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) throw new Error("memory needs /proc");
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(file, "utf8"))[1]) * 1024;
}
