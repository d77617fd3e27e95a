// What a thread gives to the server that it shares, so that it can be compared with what other threads gave.
import { createHash } from "node:crypto";

import { knownBus } from "../bus/settings.js";
import type { NativeGiven } from "../border/native.js";
import { isBytes } from "../contract/bytes.js";
import { shorten } from "../faults/check.js";
import type { IncomingRoute, OutgoingRoute, RouteTable } from "../types/routes.js";

/** Each thread has its own, or they name the server itself. */
const OWN = new Set(["onError", "server", "share", "validateOutgoing"]);
/** May hold secrets, and is not shown in errors. */
const SECRET = new Set(["bus", "tls"]);

/** The options and routes as they are compared. Functions are each thread's own. */
export function givenOf(options: object, { incoming, outgoing }: RouteTable): NativeGiven[] {
  const given: NativeGiven[] = [];
  for (const name of namesOf(options)) {
    const value = (options as Readonly<Record<string, unknown>>)[name];
    if (OWN.has(name) || value === undefined || typeof value === "function") continue;
    // The settings of a bus are out of sight, and hold secrets.
    const text = name === "bus" ? hashOf(textOf(knownBus("bus", value))) : textOf(value);
    const shown = SECRET.has(name) ? undefined : shorten(text);
    given.push({ name: `options.${name}`, value: text, ...(shown !== undefined && { shown }) });
  }
  const routes = { incoming: incoming.map(textOfIncoming), outgoing: outgoing.map(textOfOutgoing) };
  for (const [direction, texts] of Object.entries(routes)) {
    // In their order, as the engine calls them by their numbers.
    const value = JSON.stringify(texts);
    given.push({ name: `the ${direction} routes`, value, shown: shorten(value) });
  }
  return given;
}

/** A route with what the engine knows of it, which is the same for all threads. */
function textOfIncoming({ name, schema, reply, stream, errors }: IncomingRoute): string {
  const codes = Object.keys(errors ?? {});
  return textWith(name, {
    bytes: isBytes(schema),
    reply: reply !== undefined,
    stream: stream !== undefined,
    [`errors ${codes.join(" ")}`]: codes.length > 0,
  });
}

function textOfOutgoing({ name, bytes, slowClient, compress }: OutgoingRoute): string {
  return textWith(name, {
    bytes: bytes === true,
    [`slowClient ${slowClient}`]: slowClient !== undefined,
    "compress false": compress === false,
  });
}

function textWith(name: string, marks: Readonly<Record<string, boolean>>): string {
  const those = Object.keys(marks).filter((mark) => marks[mark] === true);
  return those.length === 0 ? name : `${name} (${those.join(", ")})`;
}

/** The names of the options. A class may have getters for them. */
function namesOf(options: object): Set<string> {
  const names = new Set<string>();
  for (let level: object | null = options; level !== null;) {
    const next: object | null = Object.getPrototypeOf(level) as object | null;
    // `Object.prototype` has none.
    if (next === null && level !== options) break;
    for (const name of Object.getOwnPropertyNames(level)) names.add(name);
    level = next;
  }
  return names;
}

function hashOf(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** A value as text that is the same for equal values. */
function textOf(value: unknown): string {
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) {
    return typeof value === "string" ? JSON.stringify(value) : String(value);
  }
  if (value instanceof RegExp) return String(value);
  if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return `bytes ${hashOf(bytes)}`;
  }
  if (Array.isArray(value)) return `[${value.map(textOf).join()}]`;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${textOf(field)}`).join()}}`;
}
