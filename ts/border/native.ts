// The types of the native addon. No other file imports the binding.
import type * as Binding from "../../binding.js";
import { missingAddon } from "../faults/missing-addon.js";
import { heap, memory } from "./memory.js";
import { atHome } from "./realm.js";

const binding = load();

/** Whether this file was loaded in another realm than the addon, whose objects and errors are of that realm. */
const isForeign = !(binding.zocket instanceof Object);

/** The numbers of the border, in groups. */
export const codes: Pick<
  typeof Binding,
  | "answer"
  | "bad"
  | "ended"
  | "event"
  | "head"
  | "kind"
  | "limit"
  | "members"
  | "message"
  | "opcode"
  | "order"
  | "piece"
  | "refusal"
  | "upgrade"
  | "word"
> = binding;

/** What the engine tells the sender of a message that is refused for this reason: one of `BAD` in codes.ts. */
export const badText: (code: number) => string = binding.badText;

/** Uses `require`, so that the loader's error can be replaced by a better one. */
function load(): typeof Binding {
  try {
    return require("../../binding.js") as typeof Binding;
  } catch (cause) {
    throw missingAddon(cause);
  }
}

/** The counters that the engine keeps: numbers by their names, some of them in groups. */
export type NativeMetrics = Readonly<Record<string, number | Readonly<Record<string, number>>>>;

/** Where a client of another server comes from, and what has been read from it. */
export interface Arrival {
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  /** Whether its connection is encrypted. */
  readonly secure?: boolean;
  /** The certificate that it has proved to own, as PEM. */
  readonly certificate?: string | undefined;
  readonly read: Uint8Array;
}

/** The other end of a socket that the engine serves. */
export interface Link {
  /** Whether the engine has closed its end. */
  readonly isOver: boolean;
  /** The descriptor of this end, which is the caller's to close from now on; -1 if there is none. */
  takeDescriptor(): number;
}

/** A port where the engine takes one connection of this process. */
export interface Door {
  readonly port: number;
  close(): void;
}

/** A listening engine. */
export interface Native {
  readonly port: number;
  readonly hostname: string;
  /** Whether it speaks TLS. */
  readonly secure: boolean;
  readonly shards: number;
  /** The time that a client has from its request to the 101, in ms. */
  readonly handshakeTimeout: number;
  /** How many handler calls of one client may be under way. */
  readonly maxHandlersInFlight: number;
  readonly maxPayload: number;
  readonly maxRoomsPerClient: number;
  readonly maxBackpressure: number;
  /**
   * Takes the events of a shard. Returns a JSON array with the value of each event, and fills `heads` as `HEAD` in codes.ts says.
   * Returns `null` if there are no events.
   */
  take(shard: number, heads: Buffer): string | null;
  /** Copies the payloads of those events that are bytes, as many as `HEAD.BESIDE` said. */
  takeBeside(into: Uint8Array): void;
  /** Gives new handshakes other certificates and keys. */
  setTls(material: unknown): void;
  /** Stops reading all clients, or reads them again. */
  hold(isHeld: boolean): void;
  /** From now on events have a weight. */
  weigh(): void;
  /** Copies the first `length` bytes of commands, and their payloads, the first `size` bytes of text; obeys them in order. */
  submit(commands: Uint8Array, length: number, text: Uint8Array, size: number): void;
  /** Has something done with clients of other threads and processes; the event ORDERED tells when it is done. */
  order(number: number, act: Binding.NativeAct, ids: string[]): void;
  /** Tells that the commands of an order that a shard has told are submitted: who was refused, and why. */
  ordered(shard: number, order: number, refused: string[], why?: string): void;
  /** How many 101s have been sent. */
  opened(): number;
  metrics(): NativeMetrics;
  /** The counters of the bus; `connected` is 1 or 0. `null` if there is none. */
  bus(): Readonly<Record<string, number>> | null;
  /** Why the bus was away last, as errors tell; `null` if it never was. */
  busTrouble(): string | null;
  /** Publishes what waits for the bus and lets go of it; the event BUS tells when that is done. */
  stopBus(): void;
  /** Whether other threads may share it. */
  readonly isShared: boolean;
  /** The threads that share it, oldest first. */
  workers(): readonly NativeWorker[];
  /** How many clients were closed because their thread was gone. */
  orphaned(): number;
  /** `force` cuts the connections off, also when they are closing already. Only those of this thread, unless it is `ofAll`. */
  stop(force: boolean, ofAll: boolean): void;
  /** Refuses upgrades, and closes the connections one after the other within this many ms. Then it continues as `stop`. */
  drain(milliseconds: number, ofAll: boolean): void;
  ref(): void;
  unref(): void;
  /** Gives the engine a duplicate of an open TCP descriptor, and what was read from it; false if the system has none left. */
  takeOver(descriptor: number, read: Uint8Array): boolean;
  /** Wakes the I/O threads for which sockets lie ready. */
  wake(): void;
  /** Gives the engine one end of a new pair; `null` if the system has no descriptors left. */
  pair(arrival: Arrival): Link | null;
  /** Gives the engine the connection that was made from a local port to a door; `null` if there is none. */
  enter(door: Door, port: number, arrival: Arrival): Link | null;
  /** Counts a refusal that JavaScript sends, and returns the whole answer. */
  refuse(status: 404 | 503): Uint8Array;
  /** Joins the threads, which must have stopped, and lets go of the bell. */
  dispose(): void;
}

/** A door for {@link Native.enter}; `undefined` if the system has no descriptors left. */
export function openDoor(): Door | undefined {
  try {
    return new binding.NativeDoor();
  } catch {
    return undefined;
  }
}

/** An incoming route as the engine knows it. */
export type NativeIncoming = Binding.NativeIncoming;

/** One of the threads that share an engine. */
export type NativeWorker = Readonly<Binding.NativeWorker>;

/** What is compared when threads share an engine. */
export type NativeGiven = Binding.NativeGiven;

/** Binds at once, or shares an engine that was given the same. `bell` is called when there is something to take, and must not throw. */
export type StartNative = (
  options: object,
  incoming: NativeIncoming[],
  outgoing: Binding.NativeRoute[],
  bell: () => void,
  given: NativeGiven[],
  bus?: Binding.NativeBus,
) => Native;

export const startNative: StartNative = (options, incoming, outgoing, bell, given, bus) => {
  const here = { memory: memory(), heap: heap(), given, ...(bus && { bus }) };
  const start = () => new binding.NativeServer(options, incoming, outgoing, bell, here);
  return isForeign ? atHome(start) : start();
};

/** Gives new handshakes of a server other certificates and keys. */
export const setTls = (native: Native, material: unknown): void => {
  const set = () => native.setTls(material);
  return isForeign ? atHome(set) : set();
};

/** Makes the result of `zocket.create` from the config, the message builder and the router. */
export const createZocket: typeof binding.zocket.create = (...given) => {
  const create = () => binding.zocket.create(...given);
  return isForeign ? { ...atHome(create) } : create();
};
