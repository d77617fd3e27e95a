// `nats()`: a bus over NATS.
import { refuseUnknown } from "../unknown-options.js";
import { COMMON_NAMES, commonOf, listOf, optionsOf, placeOf, tlsOf } from "./options.js";
import type { BusOptions } from "./options.js";
import { busOf, busPlaceOf, type Bus } from "./settings.js";

/** Options of {@link nats}. */
export interface NatsOptions extends BusOptions {
  /**
   * Where it is: one URL for each server of the cluster, `nats://user:password@host:4222`, or `tls://` with TLS. A connection
   * goes to one of them, and to another one when that is away. Characters such as `@` in a password are written as `%40`.
   */
  readonly servers: readonly string[];
}

const SCHEMES = { nats: "plain", tls: "secure" } as const;
const PORT = 4222;
/** What a server of NATS takes unless it is told otherwise: its `max_payload`. */
const MOST_MAX_MESSAGE = 1024 * 1024;
const NAMES = ["servers", ...COMMON_NAMES] as const;
const ALIASES = {
  url: "servers",
  urls: "servers",
  server: "servers",
  host: "servers",
  port: "servers",
  cluster: "servers",
  user: "username",
  pass: "password",
  maxpayload: "maxMessage",
};

/**
 * A bus over NATS 2.9 or later, one server or a cluster. It needs core NATS alone.
 *
 * @example
 * ```ts
 * createServer(app, zo, { bus: nats({ servers: ["nats://localhost:4222"], prefix: "chat" }) });
 * ```
 * @throws `TypeError` for an option that is unknown or cannot be used. No error repeats a URL or a password.
 */
export function nats(options: NatsOptions): Bus {
  const given = optionsOf("nats", options);
  refuseUnknown("nats: options.", given, NAMES, ALIASES);
  const place = "nats: options.";
  const { prefix, required, maxMessage, ...who } = commonOf(place, given, MOST_MAX_MESSAGE);
  const { servers, tls } = given as { readonly [name in "servers" | "tls"]?: unknown };
  const places = listOf(`${place}servers`, servers, (name, url) => {
    const { path, ...at } = placeOf(name, url, SCHEMES, PORT);
    if (path !== "" && path !== "/") {
      throw new TypeError(`${name}: expected nothing behind the port`);
    }
    const where = busPlaceOf(at, who);
    if ((where.username === undefined) !== (where.password === undefined)) {
      throw new TypeError(`${name}: username and password belong together`);
    }
    return where;
  });
  const isSecure = places[0]?.secure === true;
  const material = tlsOf(`${place}tls`, tls, isSecure, "tls://host:4222");
  return busOf({ settings: { kind: "nats", prefix, maxMessage, places, ...material }, required });
}
