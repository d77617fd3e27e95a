// Loads the package for index.mjs and bus.mjs, when they ask for it. On Node 20, a process ends when a module imports a CommonJS module
// that throws. So nobody could catch the error of an addon that does not load.
import type * as Bus from "./bus/index.js";
import type * as Names from "./index.js";

/** The names of the package. */
export function load(): typeof Names {
  return require("./index.js") as typeof Names;
}

/** The names of `@zocket/core/bus`. */
export function loadBus(): typeof Bus {
  return require("./bus/index.js") as typeof Bus;
}
