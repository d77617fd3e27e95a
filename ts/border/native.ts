// The native addon as the rest sees it, and the border's numbers. The only file that imports the binding.
import type * as Binding from "../../binding.js";
import { missingAddon } from "../faults/missing-addon.js";
import { heap, memory } from "./memory.js";
import { atHome, zocketAtHome, type NativeZocket } from "./realm.js";

const binding = load();

/** Whether this file was loaded in another realm than the addon, whose objects and errors are of that realm. */
const isForeign = !(binding.zocket instanceof Object);

/** Required, not imported, so that what the loader throws can be told in our words. */
function load(): typeof Binding {
  try {
    return require("../../binding.js") as typeof Binding;
  } catch (cause) {
    throw missingAddon(cause);
  }
}

/** The counters that the engine keeps. */
export interface NativeMetrics {
  readonly accepted: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly received: number;
  readonly bad: Readonly<Record<string, number>>;
  readonly sent: number;
  readonly written: number;
  readonly queued: number;
  readonly dropped: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly rooms: number;
  readonly buffered: number;
}

/** A listening engine. */
export interface Native {
  readonly port: number;
  readonly hostname: string;
  readonly shards: number;
  /** How many handler calls of one client may be under way. */
  readonly maxHandlersInFlight: number;
  readonly maxPayload: number;
  readonly maxRoomsPerClient: number;
  /**
   * What happened on a shard: JSON text of one array with the value of each event, and in `heads` what {@link HEAD} says; `null`
   * when nothing happened.
   */
  take(shard: number, heads: Buffer): string | null;
  /** Stops reading all clients, or reads them again. */
  hold(isHeld: boolean): void;
  /** From now on events have a weight. */
  weigh(): void;
  /** Copies the first `length` bytes of commands, and their payloads, the first `size` bytes of text; obeys them in order. */
  submit(commands: Uint8Array, length: number, text: Uint8Array, size: number): void;
  /** How many 101s have been sent. */
  opened(): number;
  metrics(): NativeMetrics;
  /** `true` cuts the connections off, also when they are closing already. */
  stop(force: boolean): void;
  /** Refuses upgrades, and closes the connections one after the other within so many ms; then as `stop(false)`. */
  drain(milliseconds: number): void;
  ref(): void;
  unref(): void;
  /** Joins the threads, which must have stopped, and lets go of the bell. */
  dispose(): void;
}

/** Binds at once. `bell` is called when there is something to take, and must not throw. */
export type StartNative = (
  options: object,
  incoming: string[],
  outgoing: Binding.NativeRoute[],
  bell: () => void,
) => Native;

export const startNative: StartNative = (options, incoming, outgoing, bell) => {
  const start = () => new binding.NativeServer(options, incoming, outgoing, bell, memory(), heap());
  return isForeign ? atHome(start) : start();
};

/** `zocket.create` and what it leads to. */
export const zocket: { create(config: unknown): object } = isForeign
  ? zocketAtHome(binding.zocket as NativeZocket)
  : binding.zocket;

/** How many events are taken at once, at most. */
export const MAX_EVENTS = 1_000;

/**
 * Words beside the events that were taken: whether there are more to take, for which the bell does not ring, and then for each
 * event handle, code, the bytes of its value, and its weight: how much memory the value may take, once that was asked for.
 */
export const HEAD = { MORE: 0, FIRST: 1, WORDS: 4 } as const;

/** Codes of events; a code from 0 up is a message for incoming route `code >> 1`, without a payload if it is odd. */
export const EVENT = {
  UPGRADE: -1,
  CLOSED: -2,
  BAD: -3,
  FAULT: -4,
  STOPPED: -5,
  DIED: -6,
} as const;

/** Why JavaScript refuses an upgrade: numbers of the engine's reasons. */
export const REFUSAL = { HEADERS: 0, CONNECT: 1, ORIGIN: 2 } as const;

/** The route number of `$error`. */
export const ERROR_ROUTE = 0xffff_ffff;

/** Longest room name in bytes of UTF-8. */
export const MAX_ROOM_NAME = 4_096;

/** Longest payload in bytes: the engine counts frame lengths in 31 bits. */
export const MAX_PAYLOAD = 2 ** 30;
