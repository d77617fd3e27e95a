// The same types for ECMAScript modules: that of a server, and that of the client, which bundlers for browsers get.
export * from "./index.js";
export { zocket as default } from "./index.js";
