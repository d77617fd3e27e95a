// The frameworks: npm installs them once into a folder that is kept between runs.
import { readFileSync } from "node:fs";
import path from "node:path";

import { installKept, keptAt } from "../../scripts/kept.mjs";

/** The folder: what `ZOCKET_FRAMEWORKS_CACHE` says, or one where this platform keeps such things. */
export const CACHE = keptAt("zocket-frameworks", "ZOCKET_FRAMEWORKS_CACHE");

/**
 * Installs the frameworks if they are not there yet. Resolves to their folder, or to `undefined` if they are not there and the
 * registry cannot be reached.
 */
export const installFrameworks = () => installKept(CACHE, import.meta.dirname, "koa");

/** The version of an installed package. */
export function versionOf(folder, name) {
  const manifest = path.join(folder, "node_modules", name, "package.json");
  return JSON.parse(readFileSync(manifest, "utf8")).version;
}
