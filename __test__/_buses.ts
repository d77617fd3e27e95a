// What holds on each bus, whatever carries its messages.
import { describe, type TestContext } from "node:test";

import type { Bus } from "@zocket/core/bus";

import type { MoreOptions } from "./_bus.ts";
import { Nats, needsNats } from "./_nats.ts";
import { needsRedis, Redis } from "./_redis.ts";

/** A running bus of any kind. */
export interface AnyBus {
  /** The bus for a server of ours. */
  on(more?: MoreOptions): Bus;
  /** The same, as the text of a program that has imported `nats` and `redis`. */
  readonly code: string;
  /** Starts it again on its port, after {@link kill}. */
  again(): Promise<void>;
  /** Ends it as a crash does. */
  kill(): Promise<void>;
  /** It answers nothing until {@link resume}. */
  pause(): void;
  resume(): void;
  /** Publishes on a channel, named without the prefix. */
  say(channel: string, bytes: string | Uint8Array): Promise<void>;
}

/** What starts one. */
export interface AnyBusKind {
  start(t: TestContext): Promise<AnyBus>;
}

/** Describes what holds on each bus. */
export function onEachBus(what: string, tests: (Bus: AnyBusKind) => void): void {
  describe(`${what}, on Redis`, needsRedis, () => tests(Redis));
  describe(`${what}, on NATS`, needsNats, () => tests(Nats));
}
