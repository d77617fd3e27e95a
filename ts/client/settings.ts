// Checks what `createZocketClient` was given, and fills in the defaults.
import type { ClientOptions, WebSocketClass } from "../types.js";

/** The options that the connection goes by, complete. */
export interface Settings {
  readonly url: string;
  readonly WebSocket: WebSocketClass;
  readonly minDelay: number;
  readonly maxDelay: number;
  readonly growFactor: number;
  readonly maxRetries: number;
  readonly debug: boolean;
}

/** @throws `TypeError` naming the option that is wrong or missing. */
export function settings(url: string | URL, options: ClientOptions): Settings {
  return {
    url: address(url, options.headers ?? {}),
    WebSocket: webSocketClass(options.WebSocket),
    minDelay: number(options, "minReconnectionDelay", 0, 1_000),
    maxDelay: number(options, "maxReconnectionDelay", 0, 10_000),
    growFactor: number(options, "reconnectionDelayGrowFactor", 1, 1.3),
    maxRetries: number(options, "maxRetries", 0, Infinity),
    debug: options.debug ?? false,
  };
}

/** The URL with the headers as query parameters, behind those it has. */
function address(url: string | URL, headers: Readonly<Record<string, string | undefined>>): string {
  const page = (globalThis as { location?: { href?: string } }).location;
  const parsed = new URL(url, page?.href);
  // A path alone takes its scheme from the page.
  parsed.protocol = parsed.protocol.replace(/^http/, "ws");
  parsed.hash = "";
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) query.append(name, value);
  }
  // Appended as text: going through `searchParams` would write what is there anew.
  const added = query.toString();
  if (added !== "") parsed.search += `${parsed.search === "" ? "" : "&"}${added}`;
  return parsed.href;
}

function webSocketClass(given: WebSocketClass | undefined): WebSocketClass {
  const found = given ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
  if (typeof found === "function") return found;
  throw new TypeError(
    given === undefined
      ? 'createZocketClient: there is no global WebSocket here; pass a class as options.WebSocket, such as that of the package "ws"'
      : `createZocketClient: options.WebSocket: expected a class, got ${typeof given}`,
  );
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
  const value: unknown = options[name] ?? fallback;
  if (typeof value === "number" && value >= min) return value;
  throw new TypeError(
    `createZocketClient: options.${name}: expected a number from ${min}, got ${String(value)}`,
  );
}
