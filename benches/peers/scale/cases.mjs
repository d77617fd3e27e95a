// Who is measured with several processes or threads, and in what.
import { createRequire } from "node:module";
import path from "node:path";

import { PEERS as ALONE, here, optional, root, version } from "../peers.mjs";
import { BUSES } from "../../../scripts/buses.mjs";

const app = (name) => path.join(here, "apps", name);
const own = ALONE.zocket.version;
const hasNats = () => "nats" in createRequire(import.meta.url)(path.join(root, "bus.js"));

/** Servers of this package. A bus that is not installed, or that this checkout does not know, makes a peer absent. */
function zocket(what, { bus, environment, file = "zocket.mjs" } = {}) {
  const can = () => !bus || (BUSES[bus].installed() && (bus !== "nats" || hasNats()));
  const command = (node) => [node, app(file)];
  return { what, bus, environment, command, version: () => (can() ? own() : undefined) };
}

/** Socket.IO with an adapter, which is a package of its own. */
function socketio(adapter) {
  const name = `@socket.io/${adapter}`;
  return {
    what: `Socket.IO with ${name} on ioredis`,
    bus: "redis",
    optional: true,
    environment: { ADAPTER: adapter },
    dialect: "socketio",
    command: (node) => [node, path.join(optional, "socketio.mjs")],
    version: () => {
      const parts = ["socket.io", "ioredis", name].map((part) => version(part));
      return BUSES.redis.installed() && !parts.includes(undefined) ? parts.join(" / ") : undefined;
    },
  };
}

export const PEERS = {
  "socketio-redis": socketio("redis-adapter"),
  "socketio-streams": socketio("redis-streams-adapter"),
  "zocket-redis": zocket("this package over Redis", { bus: "redis" }),
  "zocket-nats": zocket("this package over NATS", { bus: "nats" }),
  zocket: zocket("this package without a bus"),
  "one-worker": zocket("this package with `share` and one worker", {
    file: "zocket-workers.mjs",
    environment: { WORKERS: "1" },
  }),
  "two-workers": zocket("this package with `share` and two workers", {
    file: "zocket-workers.mjs",
    environment: { WORKERS: "2" },
  }),
};

const ACROSS = ["socketio-redis", "socketio-streams", "zocket-redis", "zocket-nats"];
const OWN_BUSES = ["zocket-redis", "zocket-nats"];

const of = (mode, options) => [
  mode,
  ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]),
];

/** Two processes. */
const across = (mode, options, members) => {
  const args = of(mode, { ...options, bytes: 64 });
  return { args, servers: 2, members, peers: ACROSS, yardstick: "socketio-redis" };
};
/** One process, with a bus and without. */
const local = (mode, options, members) => {
  const args = of(mode, { ...options, bytes: 64 });
  const peers = ["zocket", ...OWN_BUSES];
  return { args, servers: 1, members, peers, yardstick: "zocket", farBus: true };
};
/** A room with one member in each of several processes. */
const spread = (servers) => {
  const args = of("fan-out", { connections: servers, "in-flight": 8, bytes: 64 });
  return { args, servers, members: servers, peers: OWN_BUSES, yardstick: "zocket-redis" };
};
/** One process with several workers, or one. */
const workers = (options) => {
  const args = of("echo", { connections: 64, ...options, bytes: 64 });
  const peers = ["one-worker", "two-workers"];
  return { args, servers: 1, peers, yardstick: "one-worker", pinned: false };
};

/**
 * `args` go to the generator; `servers` is the number of processes; `members` how many get one publication; `yardstick` the peer
 * that the others are compared with. With `work` an echo takes 100 µs. `pinned: false` leaves all threads to the scheduler. With `farBus`
 * the bus has the core of the generator, so that it takes nothing from the server. The `spread` cases tell how costs grow with the
 * number of processes that have a member of the room.
 */
export const CASES = {
  "across/64B/2x500x8": across("fan-out", { connections: 1000, "in-flight": 8 }, 1000),
  "across/64B/2x500x1": across("fan-out", { connections: 1000, "in-flight": 1 }, 1000),
  "local/fan-out/500/200-per-second": local("fan-out", { connections: 500, rate: 200 }, 500),
  "local/fan-out/10/2k-per-second": local("fan-out", { connections: 10, rate: 2000 }, 10),
  "local/echo/20k-per-second": local("echo", { connections: 64, rate: 20000 }),
  "rooms/10000x2": across(
    "rooms",
    { connections: 100, rooms: 10000, members: 2, "in-flight": 8 },
    2,
  ),
  "spread/1": spread(1),
  "spread/2": spread(2),
  "spread/4": spread(4),
  "spread/8": spread(8),
  "workers/100us/64x4": { ...workers({ "in-flight": 4 }), work: true },
  "workers/empty/64x16": workers({ "in-flight": 16 }),
  "workers/empty/20k-per-second": workers({ rate: 20000 }),
};

/** Those of `--quick`. */
export const QUICK = [
  "across/64B/2x500x8",
  "across/64B/2x500x1",
  "local/fan-out/500/200-per-second",
  "workers/100us/64x4",
  "workers/empty/64x16",
];

/** Whom this package is compared with, as people call them. */
const OTHERS = {
  "socketio-redis": "Socket.IO, redis-adapter",
  "socketio-streams": "Socket.IO, redis-streams-adapter",
};

/** What is to be reached; see `../goals.mjs` for the fields. */
export const GOALS = [
  ...remote("8 in flight", "across/64B/2x500x8", 6),
  ...remote("1 in flight", "across/64B/2x500x1", 1.8),
  ...OWN_BUSES.map((peer) => ({
    work: `a room of 500 in one process, 200 publications/s, ${peer}: CPU per delivery`,
    case: "local/fan-out/500/200-per-second",
    figure: "cpu",
    peer,
    to: ["zocket"],
    called: "without a bus",
    atMost: 1.05,
  })),
  ...OWN_BUSES.map((peer) => ({
    work: `10,000 rooms with 2 members in 2 processes, ${peer}: subscriptions of a process, of which 2 or 3 are its own`,
    case: "rooms/10000x2",
    figure: "subscriptions",
    peer,
    atMost: 10_003,
  })),
  {
    work: "two workers, a handler of 100 µs: messages/s",
    case: "workers/100us/64x4",
    figure: "main",
    peer: "two-workers",
    to: ["one-worker"],
    called: "one worker",
    atLeast: 1.6,
  },
  ...["64x16", "20k-per-second"].map((load) => ({
    work: `two workers, an empty handler, ${load}: CPU per message`,
    case: `workers/empty/${load}`,
    figure: "cpu",
    peer: "two-workers",
    to: ["one-worker"],
    called: "one worker",
    atMost: 1.15,
  })),
];

function remote(load, name, atLeast) {
  const rows = OWN_BUSES.flatMap((peer) =>
    Object.entries(OTHERS).flatMap(([to, called]) => [
      { work: `deliveries/s, ${peer}`, figure: "main", peer, to: [to], called, atLeast },
      {
        work: `p99 of remote delivery, ${peer}`,
        figure: "remoteP99",
        peer,
        to: [to],
        called,
        below: 1,
      },
    ]),
  );
  return rows.map((row) => ({ ...row, case: name, work: `2 × 500 members, ${load}: ${row.work}` }));
}

/** Columns of the tables, as in `../report.mjs`. */
export const COLUMNS = [
  ["CPU µs each", "cpu"],
  ["on the main threads", "mainThread"],
  ["CPU µs of the bus each", "bus"],
  ["p50 µs", "p50"],
  ["p99 µs", "p99"],
  ["remote p50 µs", "remoteP50"],
  ["remote p99 µs", "remoteP99"],
  ["bytes into the bus, per publication", "busIn"],
  ["bytes out of it", "busOut"],
  ["subscriptions of a process", "subscriptions"],
  ["generator busy", "busy"],
  ["elsewhere", "elsewhere"],
];
