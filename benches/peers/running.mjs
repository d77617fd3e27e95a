// What all runs share: their options, where processes run, and what they say meanwhile.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { DISTURBED, short } from "./figures.mjs";
import { optional, root } from "./peers.mjs";

/** Options of every run. */
export const COMMON = {
  quick: { type: "boolean", default: false },
  only: { type: "string" },
  rounds: { type: "string" },
  seconds: { type: "string" },
  node: { type: "string", default: process.execPath },
  install: { type: "boolean", default: false },
  priority: { type: "boolean", default: false },
  record: { type: "string" },
  "no-record": { type: "boolean", default: false },
  help: { type: "boolean", default: false },
};

export const canPin = os.platform() === "linux" && os.availableParallelism() > 1;

/** Installs the peers that the package does not need. */
export function install() {
  run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", optional]);
}

/** The generator and, if asked for, the engine are built here; the addon is what `npm run build` left. */
export function build({ engine = false } = {}) {
  const cargo = ["build", "--release", "--quiet"];
  run("cargo", [...cargo, "--package", "zocket-load"]);
  if (engine) run("cargo", [...cargo, "--package", "zocket", "--example", "echo"]);
  if (!existsSync(path.join(root, "dist"))) fail("this package is not built: npm run build");
}

/** The servers get the first core and the generator the second, where that can be had. What is not pinned may run on both. */
export function place({ priority }, pinned = true) {
  const nice = priority ? ["nice", "-n", "-15"] : [];
  const on = (core) => ({
    pin: [...nice, ...(pinned && canPin ? ["taskset", "-c", core] : [])],
    priority,
  });
  return { server: on("0"), generator: on("1") };
}

export function progress({ round, name, peer, unit, figures }, rounds) {
  const cost = figures.cpu === undefined ? "" : `, ${short(figures.cpu)} µs of CPU each`;
  const disturbed =
    figures.elsewhere > DISTURBED ? `, ${figures.elsewhere} cores busy elsewhere` : "";
  const head = `${round}/${rounds}  ${name.padEnd(24)} ${peer.padEnd(9)}`;
  console.error(`${head} ${short(figures.main).padStart(7)} ${unit}${cost}${disturbed}`);
}

/** The names that `--only` means: these, or all that begin so. */
export function picked(only, all) {
  const wanted = only?.split(",").map((part) => part.trim()) ?? [];
  return wanted.flatMap((part) => {
    const found = all.includes(part) ? [part] : all.filter((name) => name.startsWith(part));
    if (found.length === 0) fail(`--only: no peer and no case named ${part}`);
    return found;
  });
}

export function rotate(list, by) {
  const at = by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}

export function positive(options, name, otherwise) {
  const value = options[name] === undefined ? otherwise : Number(options[name]);
  if (!(value > 0)) fail(`--${name} takes a number above 0`);
  return value;
}

/** The command line without paths of this machine. */
export function shownArguments() {
  return process.argv.slice(2).map((argument) => {
    const isPlace = argument.includes(path.sep) && existsSync(argument);
    return path.isAbsolute(argument) || isPlace ? path.basename(argument) : argument;
  });
}

/** Where a record goes. */
export const recordFolder = ({ record }) =>
  path.resolve(record ?? path.join(root, "benches", "record"));

function run(file, args) {
  execFileSync(file, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
}

export function fail(text) {
  console.error(`bench: ${text}`);
  process.exit(2);
}
