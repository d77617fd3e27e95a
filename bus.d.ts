// The types of the bus.
export * from "./dist/bus/index.js";
