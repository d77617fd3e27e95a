// Loads the package for index.mjs, when index.mjs asks for it. On Node 20, a process ends when a module imports a CommonJS module
// that throws. So nobody could catch the error of an addon that does not load.
import type * as Names from "./index.js";

/** The names of the package. */
export function load(): typeof Names {
  return require("./index.js") as typeof Names;
}
