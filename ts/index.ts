// The names that the package has at run time; index.js hands them on, index.d.ts has their types.
export { createZocketClient } from "./client/index.js";
export { createServer } from "./server/index.js";
export { zocket } from "./zocket.js";
export { ZocketError } from "./zocket-error.js";
