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
function version(name, folder = optional) {
  const file = path.join(folder, "node_modules", name, "package.json");
  return existsSync(file) ? require(file).version : undefined;
}

const bun = () =>
  ["bun-linux-x64", "bun-linux-aarch64", "bun-darwin-aarch64", "bun-darwin-x64"]
    .map((name) => path.join(optional, "node_modules", "@oven", name, "bin", "bun"))
    .find(existsSync);

/**
 * `command(node)` starts the server; `dialect` is what the generator speaks to it; `without` are
 * cases it cannot do. `version()` is `undefined` when the peer is not installed, which `optional` ones
 * need not be.
 */
export const PEERS = {
  zocket: {
    what: "this package",
    version: () => require(path.join(root, "package.json")).version,
    command: (node) => [node, app("zocket.mjs")],
  },
  ws: {
    what: "ws",
    version: () => version("ws", root),
    command: (node) => [node, app("ws.mjs")],
  },
  engine: {
    what: "our engine without JavaScript, a raw echo: the floor",
    version: () => require(path.join(root, "package.json")).version,
    command: () => [path.join(root, "target", "release", "examples", "echo"), "0"],
    dialect: "raw",
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
};

/** `args` go to the generator; `quick` cases are part of `--quick`. */
export const CASES = {
  "echo/64B/64x1": {
    args: ["echo", "--connections", 64, "--in-flight", 1, "--bytes", 64],
    quick: true,
  },
  "echo/64B/64x16": {
    args: ["echo", "--connections", 64, "--in-flight", 16, "--bytes", 64],
    quick: true,
  },
  "echo/16KiB/64x1": {
    args: ["echo", "--connections", 64, "--in-flight", 1, "--bytes", 16384],
  },
  "echo/64B/20k-per-second": {
    args: ["echo", "--connections", 64, "--rate", 20000, "--bytes", 64],
  },
  "fan-out/64B/100x1": {
    args: ["fan-out", "--connections", 100, "--in-flight", 1, "--bytes", 64],
  },
  "fan-out/64B/1000x8": {
    args: ["fan-out", "--connections", 1000, "--in-flight", 8, "--bytes", 64],
    quick: true,
  },
  "handshakes/64": {
    args: ["handshakes", "--connections", 64],
  },
  "memory/idle": {
    args: ["idle", "--connections", 5000],
    memory: true,
  },
};
