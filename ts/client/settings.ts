// Checks what `createZocketClient` was given, and fills in the defaults.
import { isTransformer } from "../contract/transform.js";
import { isFunction, isOptions } from "../faults/check.js";
import type { Transformer } from "../types/transformer.js";
import { refuseUnknown } from "../unknown-options.js";
import { address } from "./address.js";
import { checkedHeaders, type Headers } from "./headers.js";
import { kindOf, wrongKind } from "./kind.js";
import type { ClientCloseEvent, ClientOptions, WebSocketClass } from "./types.js";

/** The options that the client goes by, complete. */
export interface Settings {
  readonly url: string;
  readonly headers: Headers | (() => unknown);
  /** Whether client and server speak `zocket.1`; otherwise the headers go into the URL. */
  readonly isOurs: boolean;
  readonly autoConnect: boolean;
  /** 0 is none. */
  readonly heartbeatInterval: number;
  readonly shouldReconnect: ((event: ClientCloseEvent) => unknown) | undefined;
  /** The class to connect with. Throws a `TypeError` if there is none. */
  readonly webSocket: () => WebSocketClass;
  readonly minDelay: number;
  readonly maxDelay: number;
  readonly growFactor: number;
  readonly maxRetries: number;
  readonly maxQueuedBytes: number;
  readonly callTimeout: number;
  readonly transformer: Transformer | undefined;
  /** Whether what the server sends is checked too. */
  readonly validateIncoming: boolean;
  /** Whether `log` does anything. */
  readonly debug: boolean;
  /** Writes a line about what happens. Never the URL, as its query holds the headers, and no payload. */
  log(text: string): void;
}

/** The options, each with what it is called elsewhere: in lower case, with a space between two names. */
const NAMES: Record<keyof ClientOptions, string> = {
  headers: "auth query params connectionparams extraheaders",
  headersIn: "",
  minReconnectionDelay: "delay reconnectiondelay reconnectdelay reconnectinterval",
  maxReconnectionDelay: "reconnectiondelaymax",
  reconnectionDelayGrowFactor: "growfactor",
  maxRetries:
    "retry retries maxretry attempts maxattempts maxreconnectattempts reconnectionattempts",
  maxQueuedBytes: "maxenqueuedmessages",
  callTimeout: "acktimeout requesttimeout timeout",
  transformer: "",
  routes: "router approuter contract schemas",
  validateIncoming: "validate",
  heartbeatInterval: "heartbeat keepalive",
  autoConnect: "lazy",
  shouldReconnect: "retryif shouldretry",
  debug: "",
  onOpen: "",
  onClose: "",
  WebSocket: "ws websocketimpl websocketclass",
};

const PLACE = "createZocketClient: options";
const TRANSFORMER = "an object with serialize() and deserialize()";

/** @throws `TypeError` naming the option that is wrong or missing. */
export function settings(url: string | URL, options: ClientOptions): Settings {
  if (!isOptions(options)) throw wrongKind(PLACE, "an object", options);
  refuseUnknown(`${PLACE}.`, options, Object.keys(NAMES), aliases());
  const boolean = (name: keyof ClientOptions, fallback: boolean) =>
    option(options, name, fallback, (given) => typeof given === "boolean", "true or false");
  // A NaN or a negative delay would connect again and again without a pause.
  const number = (name: keyof ClientOptions, min: number, fallback: number) => {
    const fits = (given: unknown) => typeof given === "number" && given >= min;
    return option(options, name, fallback, fits, `a number from ${min}`, shown);
  };
  const debug = boolean("debug", false);
  const autoConnect = boolean("autoConnect", true);
  const webSocket = webSocketClass(options);
  // Where there is none, as on Node 20, nothing else would say so before the first attempt.
  if (autoConnect) webSocket();
  return {
    webSocket,
    autoConnect,
    url: address(url),
    headers: headers(options.headers),
    isOurs: headersIn(options) === "protocol",
    minDelay: number("minReconnectionDelay", 0, 1_000),
    maxDelay: number("maxReconnectionDelay", 0, 10_000),
    growFactor: number("reconnectionDelayGrowFactor", 1, 1.3),
    maxRetries: number("maxRetries", 0, Infinity),
    maxQueuedBytes: number("maxQueuedBytes", 0, 1024 * 1024),
    callTimeout: number("callTimeout", 0, 30_000),
    validateIncoming: validateIncoming(options, boolean("validateIncoming", false)),
    heartbeatInterval: number("heartbeatInterval", 0, 25_000),
    shouldReconnect: option(options, "shouldReconnect", undefined, isFunction, "a function"),
    transformer: option(options, "transformer", undefined, isTransformer, TRANSFORMER),
    debug,
    log: debug ? (text) => console.debug(`zocket: ${text}`) : () => {},
  };
}

/** What else the options are called, each with our name. */
function aliases(): Record<string, string> {
  const pairs = Object.entries(NAMES).flatMap(([name, others]) =>
    (others.match(/\w+/g) ?? []).map((other) => [other, name] as const),
  );
  return { ...Object.fromEntries(pairs), onerror: "client.onError(listener)" };
}

function headers(given: unknown = {}): Settings["headers"] {
  if (typeof given === "function") return given as () => unknown;
  return checkedHeaders(given, `${PLACE}.headers`);
}

function headersIn(options: ClientOptions): unknown {
  const [protocol, query] = ["protocol", "query"];
  const fits = (given: unknown) => given === protocol || given === query;
  return option(options, "headersIn", protocol, fits, '"protocol" or "query"', shown);
}

function validateIncoming(options: ClientOptions, isWanted: boolean): boolean {
  if (isWanted && options.routes === undefined)
    throw wrongKind(`${PLACE}.routes`, "the routes", undefined);
  return isWanted;
}

/** The global one may be missing until it is needed. */
function webSocketClass(options: ClientOptions): () => WebSocketClass {
  let found = option<WebSocketClass | undefined>(
    options,
    "WebSocket",
    undefined,
    isFunction,
    "a class",
  );
  return () => {
    found ??= (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
    if (typeof found === "function") return found;
    throw new TypeError(
      'createZocketClient: this platform has no global WebSocket; pass a class as options.WebSocket, such as the one of the package "ws"',
    );
  };
}

/** An option, or its default if it is left out. `show` says in an error what was given. */
function option<TValue>(
  options: ClientOptions,
  name: keyof ClientOptions,
  fallback: TValue,
  fits: (given: unknown) => boolean,
  expected: string,
  show?: (given: unknown) => string,
): TValue {
  const given: unknown = options[name];
  if (given === undefined) return fallback;
  if (fits(given)) return given as TValue;
  throw wrongKind(`${PLACE}.${name}`, expected, given, show);
}

/** Of an option that is no secret. */
function shown(value: unknown): string {
  const isShort = typeof value === "number" || typeof value === "string";
  return isShort ? String(value).slice(0, 30) : kindOf(value);
}
