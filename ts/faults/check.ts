// Checks arguments, and words the errors about them as the native side does. Browsers load it too.
import type { StandardSchemaV1 } from "@standard-schema/spec";

/** The name that errors use for a value that {@link isSchema} accepts. */
export const SCHEMA = 'a Standard Schema (an object with "~standard".validate)';

/** How many characters of a caller's text are repeated in an error. */
const MAX_QUOTED = 120;
/** How many of a list of texts are repeated. */
const MAX_LISTED = 10;

/** The `TypeError` for a value of the wrong kind. It names the place, the expected kind and the value. */
export function unexpected(place: string, expected: string, got: unknown): TypeError {
  return new TypeError(`${place}: expected ${expected}, got ${describe(got)}`);
}

/** Quotes a caller's text for an error, shortened and with control characters escaped. */
export function quote(text: string): string {
  return JSON.stringify(shorten(text));
}

/** Quotes the first of many texts, and counts the others. */
export function listed(texts: readonly string[]): string {
  const shown = texts.slice(0, MAX_LISTED).map(quote).join(", ");
  const more = texts.length - MAX_LISTED;
  return more > 0 ? `${shown} and ${more} more` : shown;
}

/** Cuts a text that is too long to be repeated in an error. */
export function shorten(text: string): string {
  return text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text;
}

/** Names a value in a few words without reading its properties. */
function describe(value: unknown): string {
  switch (typeof value) {
    case "string":
      return quote(value);
    case "symbol":
      return "a symbol";
    case "bigint":
      return "a bigint";
    case "function":
      return "a function";
    case "object":
      if (value === null) return "null";
      if (Array.isArray(value)) return "an array";
      if (value instanceof Promise) return "a promise";
      return isPlainObject(value) ? "an object" : "a class instance";
    default:
      return String(value);
  }
}

/** Whether the value is an object: no function, not `null`. */
export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/**
 * Whether the value can hold options. It may be an object of any class, but not a list or a `Map`, because nobody would read their
 * entries.
 */
export function isOptions(value: unknown): value is object {
  return isObject(value) && !(Symbol.iterator in value);
}

/** Whether the value is written as `{ … }`, in this realm or another one: no class instance. */
export function isPlainObject(value: unknown): value is object {
  if (!isObject(value) || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Whether `await` would wait for the value. Runs the caller's code if `then` is a getter. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (typeof value !== "object" && typeof value !== "function") return false;
  return value !== null && typeof (value as { then?: unknown }).then === "function";
}

/** Whether the value can be called. */
export function isFunction(value: unknown): value is (...args: never[]) => unknown {
  return typeof value === "function";
}

/** Whether the value has a `"~standard".validate` that can be called. Schemas may be functions themselves. */
export function isSchema(value: unknown): value is StandardSchemaV1 {
  if (!isObject(value) && !isFunction(value)) return false;
  const standard = (value as { readonly "~standard"?: unknown })["~standard"];
  if (!isObject(standard) && !isFunction(standard)) return false;
  return isFunction((standard as { readonly validate?: unknown }).validate);
}
