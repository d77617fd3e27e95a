// Checks what `createZocketClient` was given, and fills in the defaults.
import { refuseUnknown } from "../unknown-options.js";
import { address } from "./address.js";
import { kindOf } from "./kind.js";
import type { ClientOptions, WebSocketClass } from "./types.js";

/** The options that the client goes by, complete. */
export interface Settings {
  readonly url: string;
  readonly WebSocket: WebSocketClass;
  readonly minDelay: number;
  readonly maxDelay: number;
  readonly growFactor: number;
  readonly maxRetries: number;
  readonly maxQueuedBytes: number;
  /** Whether `log` does anything. */
  readonly debug: boolean;
  /** Writes a line about what happens. Never the URL, as its query holds the headers, and no payload. */
  log(text: string): void;
}

const NAMES: Record<keyof ClientOptions, true> = {
  headers: true,
  minReconnectionDelay: true,
  maxReconnectionDelay: true,
  reconnectionDelayGrowFactor: true,
  maxRetries: true,
  maxQueuedBytes: true,
  debug: true,
  onOpen: true,
  onClose: true,
  WebSocket: true,
};

/** What the options are called elsewhere, in lower case. */
const ALIASES = {
  retry: "maxRetries",
  retries: "maxRetries",
  maxretry: "maxRetries",
  attempts: "maxRetries",
  maxattempts: "maxRetries",
  maxreconnectattempts: "maxRetries",
  reconnectionattempts: "maxRetries",
  delay: "minReconnectionDelay",
  reconnectiondelay: "minReconnectionDelay",
  reconnectiondelaymax: "maxReconnectionDelay",
  reconnectdelay: "minReconnectionDelay",
  reconnectinterval: "minReconnectionDelay",
  growfactor: "reconnectionDelayGrowFactor",
  maxenqueuedmessages: "maxQueuedBytes",
  auth: "headers",
  query: "headers",
  params: "headers",
  connectionparams: "headers",
  ws: "WebSocket",
  websocketimpl: "WebSocket",
  websocketclass: "WebSocket",
};

/** @throws `TypeError` naming the option that is wrong or missing. */
export function settings(url: string | URL, options: ClientOptions): Settings {
  if (typeof options !== "object" || options === null || Symbol.iterator in options) {
    throw wrong("", "an object", kindOf(options));
  }
  refuseUnknown("createZocketClient: options.", options, Object.keys(NAMES), ALIASES);
  const debug = boolean(options.debug);
  return {
    WebSocket: webSocketClass(options.WebSocket),
    url: address(url, headers(options.headers)),
    minDelay: number(options, "minReconnectionDelay", 0, 1_000),
    maxDelay: number(options, "maxReconnectionDelay", 0, 10_000),
    growFactor: number(options, "reconnectionDelayGrowFactor", 1, 1.3),
    maxRetries: number(options, "maxRetries", 0, Infinity),
    maxQueuedBytes: number(options, "maxQueuedBytes", 0, 1024 * 1024),
    debug,
    log: debug ? (text) => console.debug(`zocket: ${text}`) : () => {},
  };
}

/** Of a `Map`, `Headers`, a promise and the like nothing would be sent, and nobody would be told. */
function headers(given: unknown): Readonly<Record<string, string | undefined>> {
  if (given === undefined) return {};
  if (!isPlain(given)) throw wrong(".headers", "a plain object of strings", kindOf(given));
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || typeof value === "string") continue;
    throw wrong(`.headers[${JSON.stringify(name)}]`, "a string", kindOf(value));
  }
  return given as Readonly<Record<string, string | undefined>>;
}

function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  // The prototype may be the one of another realm.
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function webSocketClass(given: WebSocketClass | undefined): WebSocketClass {
  const found =
    given === undefined ? (globalThis as { WebSocket?: WebSocketClass }).WebSocket : given;
  if (typeof found === "function") return found;
  if (given !== undefined) throw wrong(".WebSocket", "a class", kindOf(given));
  throw new TypeError(
    'createZocketClient: this platform has no global WebSocket; pass a class as options.WebSocket, such as the one of the package "ws"',
  );
}

function boolean(given: boolean | undefined = false): boolean {
  if (typeof given === "boolean") return given;
  throw wrong(".debug", "true or false", kindOf(given));
}

type NumericOption = {
  [TName in keyof ClientOptions]-?: number extends ClientOptions[TName] ? TName : never;
}[keyof ClientOptions];

/** A NaN or a negative delay would connect again and again without a pause. */
function number(
  options: ClientOptions,
  name: NumericOption,
  min: number,
  fallback: number,
): number {
  const value: unknown = options[name];
  if (value === undefined) return fallback;
  if (typeof value === "number" && value >= min) return value;
  const isShort = typeof value === "number" || typeof value === "string";
  const got = isShort ? String(value).slice(0, 30) : kindOf(value);
  throw wrong(`.${name}`, `a number from ${min}`, got);
}

function wrong(option: string, expected: string, got: string): TypeError {
  return new TypeError(`createZocketClient: options${option}: expected ${expected}, got ${got}`);
}
