// `redis()`: a bus over Redis or Valkey.
import { refuseUnknown } from "../unknown-options.js";
import {
  COMMON_NAMES,
  commonOf,
  listOf,
  optionsOf,
  placeOf,
  tlsOf,
  wrong,
  type BusOptions,
} from "./options.js";
import { busOf, busPlaceOf, whoOf, type Bus, type BusSettings, type Who } from "./settings.js";

/** Options of {@link redis}: exactly one of `url`, `cluster`, and `sentinels` with `name`. */
export interface RedisOptions extends BusOptions {
  /**
   * A single server: `redis://user:password@host:6379`, or `rediss://` with TLS. `valkey://` and `valkeys://` mean the same.
   * Characters such as `@` in a password are written as `%40`. A database number has no effect: Pub/Sub knows no databases.
   */
  readonly url?: string;
  /**
   * Some nodes of a Redis Cluster, as URLs like those of `url`. They name the others. Needs Redis 7 or later, for its sharded
   * Pub/Sub. All nodes take the same user and password.
   */
  readonly cluster?: readonly string[];
  /**
   * The sentinels that know which server to use, as URLs such as `redis://host:26379`. A user and a password in such a URL are for
   * the sentinel; the options `username` and `password` are for the server. With `rediss://`, both speak TLS. Needs `name`.
   */
  readonly sentinels?: readonly string[];
  /** What the sentinels call the server. */
  readonly name?: string;
}

/** Where a Redis is. */
export type RedisPlace =
  | { readonly url: string }
  | { readonly cluster: readonly string[] }
  | { readonly sentinels: readonly string[]; readonly name: string };

const SCHEMES = { redis: "plain", rediss: "secure", valkey: "plain", valkeys: "secure" } as const;
const PORT = 6379;
const SENTINEL_PORT = 26_379;
const WAYS = ["url", "cluster", "sentinels"] as const;
const NAMES = [...WAYS, "name", ...COMMON_NAMES] as const;
const ALIASES = {
  host: "url",
  port: "url",
  uri: "url",
  connectionstring: "url",
  nodes: "cluster",
  rootnodes: "cluster",
  startupnodes: "cluster",
  clusternodes: "cluster",
  sentinelrootnodes: "sentinels",
  mastername: "name",
  keyprefix: "prefix",
  key: "prefix",
  channelprefix: "prefix",
  user: "username",
  pass: "password",
  auth: "password",
  maxpayload: "maxMessage",
};
const PLACE = "redis: options.";

/** Any options, not checked. */
type Given = { readonly [name in keyof RedisOptions]?: unknown };
type Where = Pick<BusSettings, "way" | "places" | "name" | "username" | "password">;
type Parsed = ReturnType<typeof placeOf>;

/**
 * A bus over Redis 6.2 or later, or Valkey: a single server, one that sentinels watch, or a cluster.
 *
 * @example
 * ```ts
 * createServer(app, zo, { bus: redis({ url: "redis://localhost:6379", prefix: "chat" }) });
 * ```
 * @throws `TypeError` for an option that is unknown or cannot be used. No error repeats a URL or a password.
 */
export function redis(options: RedisOptions & RedisPlace): Bus {
  const given: Given = optionsOf("redis", options);
  refuseUnknown(PLACE, given, NAMES, ALIASES);
  const { prefix, required, maxMessage, ...who } = commonOf(PLACE, given);
  const { secure, ...where } = whereIs(given, who);
  for (const { username, password } of [where, ...where.places]) {
    // Redis would take us for its default user, and nobody would be told.
    if (username !== undefined && password === undefined) {
      throw new TypeError(`${PLACE}username: needs a password`);
    }
  }
  const material = tlsOf(`${PLACE}tls`, given.tls, secure, "rediss://host:6380");
  const settings = { kind: "redis", prefix, maxMessage, ...where, ...material } as const;
  return busOf({ settings, required });
}

/** Which servers there are, and who we are there. */
function whereIs(given: Given, who: Who): Where & { secure: boolean } {
  const [way, second] = WAYS.filter((it) => given[it] !== undefined);
  if (way === undefined || second !== undefined) {
    const got = second === undefined ? "none of them" : `${way} and ${second}`;
    throw new TypeError(`redis: options: expected one of ${WAYS.join(", ")}, got ${got}`);
  }
  if (way !== "sentinels" && given.name !== undefined) {
    throw new TypeError(`${PLACE}name: belongs to sentinels`);
  }
  if (way === "url") {
    const at = parsed(`${PLACE}url`, given.url, PORT);
    return { way: "single", secure: at.secure, places: [busPlaceOf(at, who)] };
  }
  const port = way === "cluster" ? PORT : SENTINEL_PORT;
  const all = listOf(`${PLACE}${way}`, given[way], (place, url) => parsed(place, url, port));
  const secure = all[0]?.secure === true;
  if (way === "sentinels") {
    const { name } = given;
    if (typeof name !== "string" || !/^[\w.-]{1,255}$/.test(name)) {
      throw wrong(`${PLACE}name`, "what the sentinels call the server", name);
    }
    const places = all.map((at) => busPlaceOf(at, {}));
    return { way: "sentinel", secure, places, name, ...whoOf(who) };
  }
  const named = all.filter((at) => at.username !== undefined || at.password !== undefined);
  const [first] = named;
  if (named.some((at) => at.username !== first?.username || at.password !== first?.password)) {
    throw new TypeError(`${PLACE}cluster: expected the same user and password in all of them`);
  }
  const everywhere = whoOf(who, first);
  return { way: "cluster", secure, places: all.map((at) => busPlaceOf(at, everywhere)) };
}

function parsed(place: string, url: unknown, port: number): Parsed {
  const at = placeOf(place, url, SCHEMES, port);
  if (!/^\/?\d*$/.test(at.path)) {
    throw new TypeError(`${place}: expected nothing behind the port but a database number`);
  }
  return at;
}
