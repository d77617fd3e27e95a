// Checks the options that all buses have. Secrets may stand in any of them, so no error repeats a value.
import { createSecureContext } from "node:tls";

import { isFunction, isPlainObject } from "../faults/check.js";
import { refuseUnknown } from "../unknown-options.js";

/** TLS to a bus. Names and meanings are those of Node's `tls`. */
export interface BusTlsOptions {
  /**
   * Certificates of the authorities that sign the bus's certificate, as PEM.
   * @default those of the system
   */
  readonly ca?: string | Uint8Array | undefined;
  /**
   * A certificate of your own, as PEM, for a bus that asks for one. Needs `key`.
   * @default none
   */
  readonly cert?: string | Uint8Array | undefined;
  /**
   * The private key of `cert`, as PEM.
   * @default none
   */
  readonly key?: string | Uint8Array | undefined;
}

/** Options that all buses have. */
export interface BusOptions {
  /**
   * What the names of all channels begin with, 1 to 64 letters, digits, `_` and `-`. Servers with the same prefix reach each
   * other's clients. Two applications on one bus need two prefixes.
   */
  readonly prefix: string;
  /**
   * The user's name.
   * @default that of the URL, or none
   */
  readonly username?: string | undefined;
  /**
   * The password.
   * @default that of the URL, or none
   */
  readonly password?: string | undefined;
  /**
   * Whether `server.ready()` waits until the bus is connected.
   * @default false
   */
  readonly required?: boolean | undefined;
  /**
   * The longest publication in bytes, 1,024 to 2,097,152; with NATS, at most 1,048,576. A longer one reaches the clients of its
   * own process alone.
   * @default 524_288
   */
  readonly maxMessage?: number | undefined;
  /**
   * Certificates and keys, for a URL with TLS.
   * @default none
   */
  readonly tls?: BusTlsOptions | undefined;
}

/** Their names. */
export const COMMON_NAMES = [
  "prefix",
  "username",
  "password",
  "required",
  "maxMessage",
  "tls",
] as const satisfies readonly (keyof BusOptions)[];

/** Any options, not checked. */
export type Unchecked = { readonly [name in keyof BusOptions]?: unknown } & object;

const DEFAULT_MAX_MESSAGE = 512 * 1024;
const LEAST_MAX_MESSAGE = 1024;
const MOST_MAX_MESSAGE = 2 * 1024 * 1024;
const MAX_PORT = 65_535;
/** How many URLs a list may have. */
const MOST_URLS = 100;

/** The `TypeError` for a wrong option. It tells the kind of value alone. */
export function wrong(place: string, expected: string, got: unknown): TypeError {
  const kind = got === null ? "null" : Array.isArray(got) ? "an array" : typeof got;
  const what = kind === "string" ? "another string" : kind;
  return new TypeError(`${place}: expected ${expected}, got ${what}`);
}

/** The common options, checked. */
export function commonOf(place: string, options: Unchecked, mostMaxMessage = MOST_MAX_MESSAGE) {
  const { prefix, required = false, maxMessage = DEFAULT_MAX_MESSAGE } = options;
  if (typeof prefix !== "string" || !/^[\w-]{1,64}$/.test(prefix)) {
    throw wrong(`${place}prefix`, "1 to 64 letters, digits, _ or -", prefix);
  }
  if (typeof required !== "boolean") throw wrong(`${place}required`, "true or false", required);
  const isSize = typeof maxMessage === "number" && Number.isInteger(maxMessage);
  if (!isSize || maxMessage < LEAST_MAX_MESSAGE || maxMessage > mostMaxMessage) {
    const expected = `a whole number of bytes from ${LEAST_MAX_MESSAGE} to ${mostMaxMessage}`;
    throw wrong(`${place}maxMessage`, expected, maxMessage);
  }
  const [username, password] = (["username", "password"] as const).map((name) => {
    const { [name]: value } = options;
    if (value === undefined || (typeof value === "string" && value !== "")) return value;
    throw wrong(`${place}${name}`, "a string that is not empty", value);
  });
  return { prefix, required, maxMessage, username, password };
}

/** The parts of a URL of a server. */
export function placeOf(
  place: string,
  url: unknown,
  schemes: Readonly<Record<string, "plain" | "secure">>,
  defaultPort: number,
) {
  const expected = `a URL such as ${Object.keys(schemes)[0] as string}://host:${defaultPort}`;
  const parsed = typeof url === "string" && URL.canParse(url) ? new URL(url) : undefined;
  const scheme = parsed && schemes[parsed.protocol.slice(0, -1)];
  if (!parsed || !scheme || parsed.hostname === "" || parsed.search !== "" || parsed.hash !== "") {
    throw wrong(place, expected, url);
  }
  const port = parsed.port === "" ? defaultPort : Number(parsed.port);
  if (port < 1 || port > MAX_PORT) throw wrong(place, expected, url);
  const decode = (text: string) => {
    try {
      return text === "" ? undefined : decodeURIComponent(text);
    } catch {
      throw wrong(place, `${expected}, with % written as %25 in names and passwords`, url);
    }
  };
  return {
    host: decode(parsed.hostname.replace(/^\[(.*)\]$/, "$1")) as string,
    port,
    secure: scheme === "secure",
    path: parsed.pathname,
    username: decode(parsed.username),
    password: decode(parsed.password),
  };
}

/** The servers of a list of URLs, each parsed. All speak TLS, or none does. */
export function listOf<TServer extends { readonly secure: boolean }>(
  place: string,
  urls: unknown,
  parse: (place: string, url: unknown) => TServer,
): TServer[] {
  if (!Array.isArray(urls) || urls.length === 0 || urls.length > MOST_URLS) {
    throw wrong(place, `an array of 1 to ${MOST_URLS} URLs`, urls);
  }
  const all = Array.from(urls, (url: unknown, index) => parse(`${place}[${index}]`, url));
  if (all.some(({ secure }) => secure !== all[0]?.secure)) {
    throw new TypeError(`${place}: expected all of them with TLS, or none`);
  }
  return all;
}

/** The option `tls`, checked: PEM texts. `url` is an example of a URL with TLS. */
export function tlsOf(place: string, tls: unknown, isSecure: boolean, url: string) {
  if (tls === undefined) return {};
  if (!isPlainObject(tls)) throw wrong(place, "an object { ca?, cert?, key? }", tls);
  if (!isSecure) throw new TypeError(`${place}: needs a URL with TLS, such as ${url}`);
  refuseUnknown(`${place}.`, tls, ["ca", "cert", "key"]);
  const texts: { ca?: string; cert?: string; key?: string } = {};
  for (const name of ["ca", "cert", "key"] as const) {
    const value: unknown = (tls as BusTlsOptions)[name];
    if (value === undefined) continue;
    const isText = typeof value === "string" || value instanceof Uint8Array;
    if (!isText) throw wrong(`${place}.${name}`, "PEM as a string or a Buffer", value);
    texts[name] = typeof value === "string" ? value : Buffer.from(value).toString("utf8");
  }
  if ((texts.cert === undefined) !== (texts.key === undefined)) {
    throw new TypeError(`${place}: cert and key belong together`);
  }
  for (const name of ["ca", "cert"] as const) {
    if (texts[name]?.includes("-----BEGIN CERTIFICATE-----") === false) {
      throw wrong(`${place}.${name}`, "a certificate as PEM", texts[name]);
    }
  }
  try {
    createSecureContext(texts);
  } catch {
    throw new TypeError(`${place}: the certificates or the key cannot be used`);
  }
  return texts;
}

/** Whether the value is an object of options. */
export function optionsOf(place: string, options: unknown): Unchecked {
  if (isPlainObject(options) && !isFunction(options)) return options;
  throw wrong(place, "an object of options", options);
}
