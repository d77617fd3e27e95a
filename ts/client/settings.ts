// Checks what `createZocketClient` was given, and fills in the defaults.
import { isTransformer } from "../contract/transform.js";
import type { Transformer } from "../types/transformer.js";
import { refuseUnknown } from "../unknown-options.js";
import { address } from "./address.js";
import { checkedHeaders, type Headers } from "./headers.js";
import { kindOf } from "./kind.js";
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

const NAMES: Record<keyof ClientOptions, true> = {
  headers: true,
  headersIn: true,
  minReconnectionDelay: true,
  maxReconnectionDelay: true,
  reconnectionDelayGrowFactor: true,
  maxRetries: true,
  maxQueuedBytes: true,
  callTimeout: true,
  transformer: true,
  routes: true,
  validateIncoming: true,
  heartbeatInterval: true,
  autoConnect: true,
  shouldReconnect: true,
  debug: true,
  onOpen: true,
  onClose: true,
  WebSocket: true,
};

const PLACE = "createZocketClient: options";

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
  acktimeout: "callTimeout",
  requesttimeout: "callTimeout",
  timeout: "callTimeout",
  router: "routes",
  approuter: "routes",
  contract: "routes",
  schemas: "routes",
  validate: "validateIncoming",
  auth: "headers",
  query: "headers",
  params: "headers",
  connectionparams: "headers",
  extraheaders: "headers",
  onerror: "client.onError(listener)",
  heartbeat: "heartbeatInterval",
  keepalive: "heartbeatInterval",
  lazy: "autoConnect",
  retryif: "shouldReconnect",
  shouldretry: "shouldReconnect",
  ws: "WebSocket",
  websocketimpl: "WebSocket",
  websocketclass: "WebSocket",
};

/** @throws `TypeError` naming the option that is wrong or missing. */
export function settings(url: string | URL, options: ClientOptions): Settings {
  if (typeof options !== "object" || options === null || Symbol.iterator in options) {
    throw wrong("", "an object", kindOf(options));
  }
  refuseUnknown(`${PLACE}.`, options, Object.keys(NAMES), ALIASES);
  const debug = boolean(options, "debug", false);
  const autoConnect = boolean(options, "autoConnect", true);
  const webSocket = webSocketClass(options.WebSocket);
  // Where there is none, as on Node 20, nothing else would say so before the first attempt.
  if (autoConnect) webSocket();
  return {
    webSocket,
    autoConnect,
    url: address(url),
    headers: headers(options.headers),
    isOurs: headersIn(options.headersIn) === "protocol",
    minDelay: number(options, "minReconnectionDelay", 0, 1_000),
    maxDelay: number(options, "maxReconnectionDelay", 0, 10_000),
    growFactor: number(options, "reconnectionDelayGrowFactor", 1, 1.3),
    maxRetries: number(options, "maxRetries", 0, Infinity),
    maxQueuedBytes: number(options, "maxQueuedBytes", 0, 1024 * 1024),
    callTimeout: number(options, "callTimeout", 0, 30_000),
    validateIncoming: validateIncoming(options),
    heartbeatInterval: number(options, "heartbeatInterval", 0, 25_000),
    shouldReconnect: optionalFunction(options.shouldReconnect),
    transformer: transformer(options.transformer),
    debug,
    log: debug ? (text) => console.debug(`zocket: ${text}`) : () => {},
  };
}

function headers(given: unknown = {}): Settings["headers"] {
  if (typeof given === "function") return given as () => unknown;
  return checkedHeaders(given, `${PLACE}.headers`);
}

function headersIn(given: unknown = "protocol"): "protocol" | "query" {
  if (given === "protocol" || given === "query") return given;
  throw wrong(".headersIn", '"protocol" or "query"', shown(given));
}

function optionalFunction(given: Settings["shouldReconnect"]): Settings["shouldReconnect"] {
  if (given === undefined || typeof given === "function") return given;
  throw wrong(".shouldReconnect", "a function", kindOf(given));
}

function transformer(given: unknown): Transformer | undefined {
  if (given === undefined || isTransformer(given)) return given;
  throw wrong(".transformer", "an object with serialize() and deserialize()", kindOf(given));
}

function validateIncoming(options: ClientOptions): boolean {
  const given = boolean(options, "validateIncoming", false);
  if (given && options.routes === undefined) throw wrong(".routes", "the routes", "undefined");
  return given;
}

/** The global one may be missing until it is needed. */
function webSocketClass(given: WebSocketClass | undefined): () => WebSocketClass {
  if (given !== undefined && typeof given !== "function") {
    throw wrong(".WebSocket", "a class", kindOf(given));
  }
  let found = given;
  return () => {
    found ??= (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
    if (typeof found === "function") return found;
    throw new TypeError(
      'createZocketClient: this platform has no global WebSocket; pass a class as options.WebSocket, such as the one of the package "ws"',
    );
  };
}

function boolean(
  options: ClientOptions,
  name: "debug" | "autoConnect" | "validateIncoming",
  fallback: boolean,
) {
  const given: unknown = options[name];
  if (given === undefined) return fallback;
  if (typeof given === "boolean") return given;
  throw wrong(`.${name}`, "true or false", kindOf(given));
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
  throw wrong(`.${name}`, `a number from ${min}`, shown(value));
}

/** Of an option that is no secret. */
function shown(value: unknown): string {
  const isShort = typeof value === "number" || typeof value === "string";
  return isShort ? String(value).slice(0, 30) : kindOf(value);
}

function wrong(option: string, expected: string, got: string): TypeError {
  return new TypeError(`${PLACE}${option}: expected ${expected}, got ${got}`);
}
