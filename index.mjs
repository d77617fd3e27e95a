// The same names for ECMAScript modules, where the default export of a CommonJS module would be all of it.
import { load } from "./dist/entry.js";

const { createServer, createZocketClient, zocket } = load();

export { createServer, createZocketClient, zocket, zocket as default };
