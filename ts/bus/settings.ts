// What `redis()` and `nats()` return: the settings of a bus, checked, and out of sight because they hold secrets.
import { isObject, unexpected } from "../faults/check.js";

/** A server of a bus, and who we are there. */
export interface BusPlace {
  readonly host: string;
  readonly port: number;
  /** Whether it speaks TLS. */
  readonly secure: boolean;
  readonly username?: string;
  readonly password?: string;
}

/** The settings of a bus, as the engine takes them. */
export interface BusSettings {
  readonly kind: Bus["kind"];
  /** How a Redis is run. */
  readonly way?: "single" | "sentinel" | "cluster";
  readonly prefix: string;
  readonly maxMessage: number;
  readonly places: readonly BusPlace[];
  /** What sentinels call the server, and who we are there. */
  readonly name?: string;
  readonly username?: string;
  readonly password?: string;
  /** PEM. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** What a server needs of a bus. */
export interface KnownBus {
  readonly settings: BusSettings;
  /** Whether `server.ready()` waits for it. */
  readonly required: boolean;
}

/** Kept apart from the objects, so that no log and no `JSON.stringify` of one shows a secret. */
const known = new WeakMap<object, KnownBus>();

/** What joins servers of several processes. `redis` and `nats` make one, for the option `bus` of `createServer`. */
export interface Bus {
  /** What carries the messages. */
  readonly kind: "redis" | "nats";
}

/** Who we are. */
export interface Who {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** Who the first one is, or else the second one. */
export const whoOf = (first: Who, second: Who = {}): Pick<BusPlace, keyof Who> => {
  const username = first.username ?? second.username;
  const password = first.password ?? second.password;
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
};

/** A place with the credentials of its URL, unless the options have others. */
export function busPlaceOf(at: Omit<BusPlace, keyof Who> & Who, who: Who): BusPlace {
  const { host, port, secure } = at;
  return { host, port, secure, ...whoOf(who, at) };
}

/** Makes a bus of settings that were checked. */
export function busOf(bus: KnownBus): Bus {
  const it = Object.freeze({ kind: bus.settings.kind });
  known.set(it, bus);
  return it;
}

/** Whether {@link busOf} has made the value. */
export const isBus = (value: unknown): boolean => isObject(value) && known.has(value);

/**
 * The settings of a bus.
 *
 * @throws `TypeError` for anything that {@link busOf} has not made. `place` names it there.
 */
export function knownBus(place: string, bus: unknown): KnownBus {
  const found = isObject(bus) ? known.get(bus) : undefined;
  if (found) return found;
  const expected = "what redis(…) or nats(…) of @zocket/core/bus returned";
  // A URL is given by mistake at times, and may have a password.
  if (typeof bus === "string") throw new TypeError(`${place}: expected ${expected}, got a string`);
  throw unexpected(place, expected, bus);
}

/** The settings of a bus as the engine takes them. */
export function nativeBusOf(bus: KnownBus | undefined, isPublisher = false) {
  return bus && { ...bus.settings, isPublisher, places: [...bus.settings.places] };
}
