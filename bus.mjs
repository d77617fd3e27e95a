// The same names for ECMAScript modules.
import { loadBus } from "./dist/entry.js";

const { createPublisher, nats, redis } = loadBus();

export { createPublisher, nats, redis };
