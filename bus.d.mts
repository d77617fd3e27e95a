// The same types for ECMAScript modules.
export * from "./bus.js";
