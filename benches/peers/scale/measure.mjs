// One measurement: starts the bus and the servers, points the generator at them, and stops all.
import { createInterface } from "node:readline";

import { GENERATOR, exited, lastLine, start, withServer } from "../measure.mjs";
import { BUSES, freePort } from "../../../scripts/buses.mjs";

const START_MS = 30_000;
/** What the generator calls what it has to know of the servers. */
const NAMES = { port: "--port", pid: "--server-pid" };

/** Throughput, latency and costs of one case. */
export async function load(peer, one, { command, seconds, warmUp, placement, work }) {
  const { args, servers: count, farBus } = one;
  return withBus(peer.bus, farBus ? placement.generator : placement.server, async (bus) => {
    const environment = {
      ...peer.environment,
      ...(bus && { BUS: bus.url }),
      ...(one.work && { WORK: String(work) }),
    };
    return withServers(count, { command, environment }, placement, async (servers) => {
      const how = [
        GENERATOR,
        ...args,
        ...["port", "pid"].flatMap((key) => [NAMES[key], servers.map((it) => it[key]).join(",")]),
        ...(bus ? ["--bus-pid", bus.pid] : []),
        "--dialect",
        peer.dialect ?? "json",
        "--seconds",
        seconds,
        "--warm-up",
        warmUp,
      ];
      const generator = start(placement.generator, how.map(String));
      const result = JSON.parse(await lastLine(generator));
      // The members have just left. Servers read their rooms a few seconds longer.
      const subscriptions = bus && (await bus.subscriptions()) / count;
      return { ...result, subscriptions };
    });
  });
}

async function withServers(count, server, placement, use, started = []) {
  if (started.length === count) return use(started);
  return withServer(server, placement, (one) => {
    return withServers(count, server, placement, use, [...started, one]);
  });
}

/** Runs `use` with a bus of a kind, or without one. */
export async function withBus(kind, placement, use) {
  if (kind === undefined) return use(undefined);
  const { command, ready, url, subscriptions } = BUSES[kind];
  const at = { port: await freePort(), second: await freePort() };
  const bus = start(placement, command(at));
  try {
    await says(bus, ready);
    // NATS has some of its own.
    const before = await subscriptions(at);
    return await use({
      pid: bus.pid,
      url: url(at),
      subscriptions: async () => (await subscriptions(at)) - before,
    });
  } finally {
    bus.kill("SIGKILL");
    await exited(bus);
  }
}

async function says(child, pattern) {
  const found = Promise.race([child.stdout, child.stderr].map((input) => finds(input, pattern)));
  const ended = exited(child).then(() => {
    throw new Error(`the bus did not start${child.complaint()}`);
  });
  ended.catch(() => {});
  let timer;
  const late = new Promise((_, reject) => {
    const fail = () => reject(new Error(`the bus is not ready in time${child.complaint()}`));
    timer = setTimeout(fail, START_MS);
  });
  await Promise.race([found, ended, late]).finally(() => clearTimeout(timer));
}

function finds(input, pattern) {
  return new Promise((resolve) => {
    createInterface({ input }).on("line", (line) => pattern.test(line) && resolve());
  });
}
