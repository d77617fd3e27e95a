// Who is compared, and in what: the peers, how each is started, and the cases.
import { createRequire } from "node:module";
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const here = path.dirname(fileURLToPath(import.meta.url));
export const root = path.join(here, "..", "..");

const require = createRequire(import.meta.url);
const app = (name) => path.join(here, "apps", name);
/** What `--install` fills: peers the package itself does not need. */
export const optional = path.join(here, "optional");

/** The version of a package installed in this folder; `undefined` when it is not there. */
export function version(name, folder = optional) {
  const file = path.join(folder, "node_modules", name, "package.json");
  return existsSync(file) ? require(file).version : undefined;
}

/** The checkout of `--before`. */
const before = () => process.env["ZOCKET_BEFORE"];

const bun = () =>
  ["bun-linux-x64", "bun-linux-aarch64", "bun-darwin-aarch64", "bun-darwin-x64"]
    .map((name) => path.join(optional, "node_modules", "@oven", name, "bin", "bun"))
    .find(existsSync);

/**
 * `command(node)` starts the server, with `environment` added to its environment; `dialect` is what the
 * generator speaks to it; `without` are cases it cannot do, a `native` one has no garbage, and with `named` it takes part only in
 * cases that name it. `version()` is `undefined` when the peer is not installed, which `optional` ones
 * need not be.
 */
export const PEERS = {
  zocket: {
    what: "this package",
    version: () => require(path.join(root, "package.json")).version,
    command: (node) => [node, app("zocket.mjs")],
    admission: true,
  },
  before: {
    what: "this package as another checkout has it, built",
    optional: true,
    version: () => before() && require(path.join(before(), "package.json")).version,
    command: (node) => [node, app("zocket.mjs")],
    get environment() {
      return { ZOCKET: before() };
    },
    admission: true,
  },
  ws: {
    what: "ws",
    version: () => version("ws", root),
    command: (node) => [node, app("ws.mjs")],
  },
  floor: {
    what: "the system calls and hardly more: no server in one thread is faster",
    version: () => require(path.join(root, "package.json")).version,
    command: () => [path.join(root, "target", "release", "zocket-floor")],
    native: true,
    without: ["handshakes", "memory"],
  },
  engine: {
    what: "our engine without JavaScript, a raw echo",
    version: () => require(path.join(root, "package.json")).version,
    command: () => [path.join(root, "target", "release", "examples", "echo"), "0"],
    dialect: "raw",
    native: true,
    without: ["fan-out"],
  },
  uws: {
    what: "uWebSockets.js",
    optional: true,
    version: () => version("@trufflesuite/uws-js-unofficial"),
    command: (node) => [node, path.join(optional, "uws.mjs")],
  },
  bun: {
    what: "Bun's own server",
    optional: true,
    version: () => version("bun"),
    command: () => [bun(), path.join(optional, "bun.mjs")],
  },
  socketio: {
    what: "Socket.IO over WebSocket alone",
    optional: true,
    version: () => version("socket.io"),
    command: (node) => [node, path.join(optional, "socketio.mjs")],
    dialect: "socketio",
  },
  trpc: {
    what: "tRPC on ws",
    optional: true,
    version: () => version("@trpc/server"),
    command: (node) => [node, path.join(optional, "trpc.mjs")],
    dialect: "trpc",
    named: true,
  },
  orpc: {
    what: "oRPC on ws",
    optional: true,
    version: () => version("@orpc/server"),
    command: (node) => [node, path.join(optional, "orpc.mjs")],
    dialect: "orpc",
    named: true,
  },
  "zocket-send": {
    what: "this package with an echo by `send` instead of each call",
    version: () => require(path.join(root, "package.json")).version,
    command: (node) => [node, app("zocket.mjs")],
    dialect: "send",
    named: true,
  },
  "zocket-2": {
    what: "this package with two I/O threads",
    version: () => require(path.join(root, "package.json")).version,
    command: (node) => [node, app("zocket.mjs")],
    environment: { IO_THREADS: "2" },
    named: true,
  },
  "zocket-attached": {
    what: "this package attached to a server of Node, at /ws",
    version: () => require(path.join(root, "package.json")).version,
    command: (node) => [node, app("zocket.mjs")],
    environment: { ATTACHED: "1" },
    admission: true,
    named: true,
  },
};

const echo = (bytes, connections, inFlight) => {
  return ["echo", "--connections", connections, "--in-flight", inFlight, "--bytes", bytes];
};
const calls = (inFlight) => {
  return {
    args: ["call", "--connections", 64, "--in-flight", inFlight, "--bytes", 64],
    peers: ["ws", "socketio", "trpc", "orpc", "zocket-send", "zocket"],
  };
};
const fanOut = (members, inFlight, bytes = 64) => {
  return ["fan-out", "--connections", members, "--in-flight", inFlight, "--bytes", bytes];
};
const handshakes = ["handshakes", "--connections", 64];
/** Seconds for which servers get handshakes before they are measured: V8 compiles late what runs once for forty of them. */
const SLOW_TO_WARM = 5;
const deflate = ["--deflate", "yes"];

/** The same upgrade on all servers, also on those that take any path. */
const attached = (args, ...peers) => {
  return { args: [...args, "--path", "/ws"], peers: ["zocket", "zocket-attached", ...peers] };
};

/** Those that speak TLS here. */
const SECURE = ["zocket", "ws", "bun"];

/**
 * `args` go to the generator; `tls` cases speak TLS; `quick` cases are part of `--quick`; `peers` are those that take part
 * when not all do; `pinned: false` leaves the threads to the scheduler; `warmUp` is how many seconds come before the measurement,
 * where that is not one.
 */
export const CASES = {
  "echo/64B/64x1": { args: echo(64, 64, 1), quick: true },
  "echo/64B/64x16": { args: echo(64, 64, 16), quick: true },
  "echo/1KiB/64x1": { args: echo(1024, 64, 1) },
  "echo/16KiB/64x1": { args: echo(16384, 64, 1) },
  "echo/64B/20k-per-second": { args: [...echo(64, 64, 1), "--rate", 20000] },
  "bytes/1MiB/8x1": {
    args: ["bytes", "--connections", 8, "--in-flight", 1, "--bytes", 2 ** 20],
    peers: ["ws", "zocket"],
  },
  "call/64B/64x1": calls(1),
  "call/64B/64x16": calls(16),
  "stream/64B/64": {
    args: ["stream", "--connections", 64, "--bytes", 64],
    peers: ["trpc", "orpc", "zocket"],
  },
  "fan-out/64B/100x1": { args: fanOut(100, 1) },
  "fan-out/64B/1000x1": { args: fanOut(1000, 1) },
  "fan-out/64B/100x8": { args: fanOut(100, 8) },
  "fan-out/64B/1000x8": { args: fanOut(1000, 8), quick: true },
  // Without compression the servers would answer the same, so only those that have it take part.
  "echo/deflate/1KiB/64x1": { args: [...echo(1024, 64, 1), ...deflate], peers: ["ws", "zocket"] },
  "fan-out/deflate/1KiB/1000x8": {
    args: [...fanOut(1000, 8, 1024), ...deflate],
    peers: ["ws", "zocket"],
  },
  "fan-out/deflate/1KiB/1000x1": {
    args: [...fanOut(1000, 1, 1024), ...deflate],
    peers: ["ws", "zocket"],
  },
  "handshakes/64": { args: handshakes, warmUp: SLOW_TO_WARM },
  "memory/10000": { args: ["idle", "--connections", 10000], memory: true },
  "tls/echo/64B/64x1": { args: echo(64, 64, 1), peers: SECURE, tls: true },
  "tls/echo/64B/64x16": { args: echo(64, 64, 16), peers: SECURE, tls: true },
  "tls/echo/16KiB/64x1": { args: echo(16384, 64, 1), peers: SECURE, tls: true },
  "tls/fan-out/64B/1000x8": { args: fanOut(1000, 8), peers: SECURE, tls: true },
  "tls/memory/10000": {
    args: ["idle", "--connections", 10000],
    peers: SECURE,
    memory: true,
    tls: true,
  },
  ...growth("connections", [10, 100, 1000, 10000], (count) => [
    ...echo(64, count, 4),
    "--active",
    10,
  ]),
  ...growth("rooms", [1, 100, 10000], (count) => [
    "rooms",
    "--connections",
    100,
    "--members",
    10,
    "--rooms",
    count,
  ]),
  "unpinned/echo/64B/64x16": {
    args: echo(64, 64, 16),
    peers: ["ws", "zocket", "zocket-2"],
    pinned: false,
  },
  "unpinned/fan-out/64B/1000x8": {
    args: fanOut(1000, 8),
    peers: ["ws", "zocket", "zocket-2"],
    pinned: false,
  },
  "attached/echo/64B/64x1": attached(echo(64, 64, 1)),
  "attached/echo/64B/64x16": attached(echo(64, 64, 16)),
  "attached/handshakes/64": { ...attached(handshakes, "ws"), warmUp: SLOW_TO_WARM },
};

/** The same load on a server that holds more and more. */
function growth(what, counts, args) {
  const one = (count) => [`${what}/${count}`, { args: args(count), peers: ["ws", "zocket"] }];
  return Object.fromEntries(counts.map(one));
}

/** Open files that the server and the generator each need for a case. */
export function files({ args }) {
  return args[args.indexOf("--connections") + 1] + 200;
}
