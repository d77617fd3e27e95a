// `redis()`: a bus over Redis or Valkey.
import { refuseUnknown } from "../unknown-options.js";
import { commonOf, optionsOf, placeOf, tlsOf, type BusOptions } from "./options.js";
import { busOf, type Bus, type BusPlace } from "./settings.js";

/** Options of {@link redis}. */
export interface RedisOptions extends BusOptions {
  /**
   * Where it is: `redis://user:password@host:6379`, or `rediss://` with TLS. `valkey://` and `valkeys://` mean the same.
   * Characters such as `@` in a password are written as `%40`. A database number has no effect: Pub/Sub knows no databases.
   */
  readonly url: string;
}

const SCHEMES = { redis: "plain", rediss: "secure", valkey: "plain", valkeys: "secure" } as const;
const PORT = 6379;
const NAMES = ["url", "prefix", "username", "password", "required", "maxMessage", "tls"] as const;
const ALIASES = {
  host: "url",
  port: "url",
  uri: "url",
  connectionstring: "url",
  keyprefix: "prefix",
  key: "prefix",
  channelprefix: "prefix",
  user: "username",
  pass: "password",
  auth: "password",
  maxpayload: "maxMessage",
};

/**
 * A bus over Redis 6.2 or later, or Valkey.
 *
 * @example
 * ```ts
 * createServer(app, zo, { bus: redis({ url: "redis://localhost:6379", prefix: "chat" }) });
 * ```
 * @throws `TypeError` for an option that is unknown or cannot be used. No error repeats a URL or a password.
 */
export function redis(options: RedisOptions): Bus {
  const given = optionsOf("redis", options);
  refuseUnknown("redis: options.", given, NAMES, ALIASES);
  const place = "redis: options.";
  const { prefix, required, maxMessage, ...who } = commonOf(place, given);
  const { url, tls } = given as { readonly [name in "url" | "tls"]?: unknown };
  const { path, ...at } = placeOf(`${place}url`, url, SCHEMES, PORT);
  if (!/^\/?\d*$/.test(path)) {
    throw new TypeError(`${place}url: expected nothing behind the port but a database number`);
  }
  const username = who.username ?? at.username;
  const password = who.password ?? at.password;
  const where: BusPlace = {
    host: at.host,
    port: at.port,
    secure: at.secure,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
  const material = tlsOf(`${place}tls`, tls, at.secure);
  const settings = { prefix, maxMessage, places: [where], ...material };
  return busOf("redis", { settings, required });
}
