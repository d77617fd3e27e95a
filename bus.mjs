// The same names for ECMAScript modules.
import bus from "./bus.js";

export const { createPublisher, nats, redis } = bus;
