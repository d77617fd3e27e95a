// What `@zocket/core/bus` exports.
export { nats, type NatsOptions } from "./nats.js";
export { redis, type RedisOptions, type RedisPlace } from "./redis.js";
export { createPublisher, type Publisher, type PublisherOptions } from "./publisher.js";
export type { BusMetrics } from "./metrics.js";
export type { BusOptions, BusTlsOptions } from "./options.js";
export type { Bus } from "./settings.js";
