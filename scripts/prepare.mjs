// Installs and builds what is missing or older than its sources, and nothing else. Needs Node alone.
import { existsSync, readFileSync, readdirSync, statSync, utimesSync } from "node:fs";
import path from "node:path";

import { StepError, npm, output, root, step } from "./steps.mjs";

const at = (...parts) => path.join(root, ...parts);
const read = (file) => readFileSync(file, "utf8");

const NATIVE_SOURCES = ["src", "napi", "Cargo.toml", "Cargo.lock"].map((name) => at(name));
const TYPESCRIPT_SOURCES = ["ts", "binding.d.ts", "package.json"].map((name) => at(name));

/** When the newest file under these paths was written; 0 when there is none. */
function newest(paths) {
  const times = paths.filter(existsSync).map((file) => {
    const stat = statSync(file);
    if (!stat.isDirectory()) return stat.mtimeMs;
    return newest(readdirSync(file).map((name) => path.join(file, name)));
  });
  return Math.max(0, ...times);
}

/** When the oldest of these files was written; 0 when one is missing, or there is none. */
function oldest(files) {
  if (files.length === 0) return 0;
  return Math.min(...files.map((file) => (existsSync(file) ? statSync(file).mtimeMs : 0)));
}

/** Whether `node_modules` holds what the lock file names; what npm leaves out on some platforms is optional. */
function isInstalled() {
  const record = at("node_modules", ".package-lock.json");
  if (!existsSync(record)) return false;
  const wanted = JSON.parse(read(at("package-lock.json"))).packages;
  const found = JSON.parse(read(record)).packages;
  return Object.entries(wanted).every(
    ([name, { optional, version }]) => name === "" || optional || found[name]?.version === version,
  );
}

/** The built addon of this platform: one file, whatever C library its name tells. */
function addons() {
  const start = `zocket.${process.platform}-${process.arch}`;
  const ours = (name) => name.startsWith(start) && name.endsWith(".node");
  return readdirSync(root)
    .filter(ours)
    .map((name) => at(name));
}

/** The files in `dist` that the `exports` of the manifest name. */
function entryPoints(node = JSON.parse(read(at("package.json"))).exports ?? {}) {
  if (typeof node === "string") return node.startsWith("./dist/") ? [at(node)] : [];
  return Object.values(node).flatMap((inner) => entryPoints(inner));
}

/** Rust is the one thing npm cannot install, so its absence gets more than "command not found". */
function checkRust() {
  const hint = "Install it with rustup (https://rustup.rs), open a new terminal and try again.";
  const version = output("cargo", ["--version"])?.match(/\d+\.\d+/)?.[0];
  if (!version)
    throw new StepError(`Rust is needed to build the addon, and cargo was not found.\n${hint}`);
  const wanted = read(at("Cargo.toml")).match(/^rust-version = "(\d+\.\d+)/m)[1];
  if (Number(version.split(".")[1]) < Number(wanted.split(".")[1])) {
    throw new StepError(
      `Rust ${wanted} or later is needed; this is ${version}. Try "rustup update stable".`,
    );
  }
}

/** Brings packages, addon and TypeScript up to date, a step for each that was not. */
export async function prepare() {
  // Asked before anything long is done: nobody should wait for npm to learn that Rust is missing.
  const native = oldest(addons()) < newest(NATIVE_SOURCES);
  if (native) checkRust();

  if (!isInstalled()) {
    await step("Install the npm packages", () =>
      npm("ci", "--no-fund", "--no-audit", "--loglevel=error"),
    );
  }
  if (native) {
    await step("Build the native addon (a minute or two, the first time)", async () => {
      await npm("run", "--silent", "build:native");
      // An unchanged addon may keep its old date, and would be built again at each start.
      for (const file of addons()) utimesSync(file, new Date(), new Date());
    });
  }
  if (oldest(entryPoints()) < newest(TYPESCRIPT_SOURCES)) {
    await step("Build the TypeScript", async () => {
      await npm("run", "--silent", "build:ts");
      await npm("run", "--silent", "build:client");
    });
  }
}
