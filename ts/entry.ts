// Loads the package when it is asked to, for index.mjs: on Node 20 a process ends when a module imports a CommonJS module that
// throws, and nobody could catch that the addon does not load.
import type * as Names from "./index.js";

/** The names of the package. */
export function load(): typeof Names {
  return require("./index.js") as typeof Names;
}
