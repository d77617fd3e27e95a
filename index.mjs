// The same names for ECMAScript modules, where the default export of a CommonJS module would be all of it.
import { load } from "./dist/entry.js";

const { ZocketError, createServer, createZocketClient, zocket } = load();

export { ZocketError, createServer, createZocketClient, zocket, zocket as default };
