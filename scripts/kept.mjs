// Packages that a test needs and the repository does not: npm installs them once, from a lock file, into a folder that is kept
// between runs.
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

import { npm } from "./steps.mjs";

const FILES = ["package.json", "package-lock.json"];
const A_DAY = 86_400_000;
const QUIET = ["--no-fund", "--no-audit", "--loglevel=error"];

/** The folder of all that is kept under a name: what the variable says, or one where this platform keeps such things. */
export const keptAt = (name, variable) => process.env[variable] ?? path.join(cacheRoot(), name);

function cacheRoot() {
  if (process.platform === "darwin") return path.join(homedir(), "Library", "Caches");
  if (process.platform === "win32")
    return process.env.LOCALAPPDATA ?? path.join(homedir(), "AppData", "Local");
  return process.env.XDG_CACHE_HOME ?? path.join(homedir(), ".cache");
}

/** The folder of one lock file's packages. Checkouts with another lock file have another folder. */
function folderOf(cache, from) {
  const hash = createHash("sha256");
  for (const name of FILES) hash.update(readFileSync(path.join(from, name)));
  return path.join(cache, hash.digest("hex").slice(0, 12));
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
 * Installs the packages that the lock file in the folder `from` names, if they are not there yet. Resolves to their folder, or
 * to `undefined` if they are not there and the registry does not answer for the package `known`.
 */
export async function installKept(cache, from, known) {
  const folder = folderOf(cache, from);
  if (isInstalled(folder)) {
    removeOld(folder);
    return folder;
  }
  if (!(await reachesRegistry(known))) return undefined;
  mkdirSync(cache, { recursive: true });
  // Two runs may install at once, and npm may be interrupted.
  const fresh = mkdtempSync(path.join(cache, "install-"));
  try {
    for (const name of FILES) cpSync(path.join(from, name), path.join(fresh, name));
    await npm("ci", "--prefix", fresh, ...QUIET);
    if (!isInstalled(folder)) renameSync(fresh, folder);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return folder;
}

/** Whether npm gets an answer about a package. */
async function reachesRegistry(known) {
  const impatient = ["--fetch-retries=1", "--fetch-timeout=20000", "--prefer-online"];
  try {
    await npm("view", "--silent", ...impatient, known, "version");
    return true;
  } catch {
    return false;
  }
}
