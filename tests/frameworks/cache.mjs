// The frameworks: npm installs them once into a folder that is kept between runs.
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

import { npm } from "../../scripts/steps.mjs";

const here = import.meta.dirname;
const FILES = ["package.json", "package-lock.json"];
const A_DAY = 86_400_000;
const QUIET = ["--no-fund", "--no-audit", "--loglevel=error"];

/** The folder: what `ZOCKET_FRAMEWORKS_CACHE` says, or one where this platform keeps such things. */
export const CACHE =
  process.env.ZOCKET_FRAMEWORKS_CACHE ?? path.join(cacheRoot(), "zocket-frameworks");

function cacheRoot() {
  if (process.platform === "darwin") return path.join(homedir(), "Library", "Caches");
  if (process.platform === "win32")
    return process.env.LOCALAPPDATA ?? path.join(homedir(), "AppData", "Local");
  return process.env.XDG_CACHE_HOME ?? path.join(homedir(), ".cache");
}

/** The folder of this lock file's frameworks. Checkouts with another lock file have another folder. */
function folderOf() {
  const hash = createHash("sha256");
  for (const name of FILES) hash.update(readFileSync(path.join(here, name)));
  return path.join(CACHE, hash.digest("hex").slice(0, 12));
}

// npm writes this file when it is done.
const isInstalled = (folder) => existsSync(path.join(folder, "node_modules", ".package-lock.json"));

/** Removes what interrupted runs have left in the folder. */
function removeOld(folder) {
  for (const name of readdirSync(folder).filter((it) => /^(?:run|tarballs)-/.test(it))) {
    const left = path.join(folder, name);
    if (Date.now() - statSync(left).mtimeMs > A_DAY) rmSync(left, { recursive: true, force: true });
  }
}

/**
 * Installs the frameworks if they are not there yet. Resolves to their folder, or to `undefined` if they are not there and the
 * registry cannot be reached.
 */
export async function installFrameworks() {
  const folder = folderOf();
  if (isInstalled(folder)) {
    removeOld(folder);
    return folder;
  }
  if (!(await reachesRegistry())) return undefined;
  mkdirSync(CACHE, { recursive: true });
  // Two runs may install at once, and npm may be interrupted.
  const fresh = mkdtempSync(path.join(CACHE, "install-"));
  try {
    for (const name of FILES) cpSync(path.join(here, name), path.join(fresh, name));
    await npm("ci", "--prefix", fresh, ...QUIET);
    if (!isInstalled(folder)) renameSync(fresh, folder);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return folder;
}

/** Whether npm gets an answer about one of the packages. */
async function reachesRegistry() {
  const impatient = ["--fetch-retries=1", "--fetch-timeout=20000", "--prefer-online"];
  try {
    await npm("view", "--silent", ...impatient, "koa", "version");
    return true;
  } catch {
    return false;
  }
}

/** The version of an installed package. */
export function versionOf(folder, name) {
  const manifest = path.join(folder, "node_modules", name, "package.json");
  return JSON.parse(readFileSync(manifest, "utf8")).version;
}
