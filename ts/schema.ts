// What a Standard Schema says of a value, told apart from what a hostile one might say; and its issues as JSON.
import { isObject } from "./check.js";

/**
 * The issues of a validation's result, `undefined` if there are none, so that `value` counts.
 *
 * @throws `TypeError` if the result is neither: then nothing may be taken as valid.
 */
export function issuesOf(result: unknown): readonly unknown[] | undefined {
  if (isObject(result)) {
    const { issues } = result as { readonly issues?: unknown };
    if (Array.isArray(issues)) {
      if (issues.length > 0) return issues;
    } else if (issues !== undefined && issues !== null) {
      throw new TypeError("a schema returned issues that are no array");
    }
    if ("value" in result) return undefined;
  }
  throw new TypeError("a schema returned neither a value nor issues");
}

/** Most characters of issues as the schema gave them; some repeat the whole input in each. */
const MAX_ISSUES_TEXT = 16_384;
/** Most issues and path segments, and most characters of a text in them, where they are cut. */
const MAX_ISSUES = 64;
const MAX_PATH = 64;
const MAX_TEXT = 512;
/** What anything but a text counts in the length of issues, in characters. */
const LEAST = 8;

/** Issues as JSON text: as they are if JSON can hold them and they are not too long, otherwise message and path alone. */
export function issuesText(issues: readonly unknown[]): string {
  try {
    return whole(issues);
  } catch {
    return JSON.stringify(first(issues, MAX_ISSUES, essence));
  }
}

/** @throws what the issues throw when they are looked at, or `RangeError` if they are too long. */
function whole(issues: readonly unknown[]): string {
  let budget = MAX_ISSUES_TEXT;
  const spend = (key: string, value: unknown): unknown => {
    budget -= key.length + (typeof value === "string" ? value.length : LEAST);
    if (budget < 0) throw new RangeError("the issues are too long");
    return value;
  };
  // There may be one for each item of a long payload: not even a list of them is made then.
  if (issues.length * LEAST > budget) throw new RangeError("there are too many issues");
  return JSON.stringify(Array.from(issues, readable), spend);
}

/** What becomes of the first items of a list that may throw at each look; it ends where `map` lets that out. */
function first<T>(
  list: readonly unknown[],
  most: number,
  map: (list: readonly unknown[], at: number) => T,
): T[] {
  const found: T[] = [];
  try {
    for (let at = 0; at < most && at < list.length; at += 1) found.push(map(list, at));
  } catch {
    // What there is must do.
  }
  return found;
}

/** An issue whose message survives `JSON.stringify`: that of an `Error` or of a class with getters would not. */
function readable(issue: unknown): unknown {
  if (!isObject(issue) || "toJSON" in issue) return issue;
  if (Object.prototype.propertyIsEnumerable.call(issue, "message")) return issue;
  const { message, path } = issue as { readonly message?: unknown; readonly path?: unknown };
  return { ...issue, message, path };
}

/** Message and path of an issue, whatever it and its list do when they are looked at. */
function essence(issues: readonly unknown[], at: number): object {
  try {
    const issue = issues[at] as { readonly message?: unknown; readonly path?: unknown };
    const { message, path } = issue;
    const cut = text(message);
    return Array.isArray(path)
      ? { message: cut, path: first(path, MAX_PATH, segment) }
      : { message: cut };
  } catch {
    return { message: "" };
  }
}

/** A step of a path: a key, or an object that has one. */
function segment(path: readonly unknown[], at: number): string | number | { key: string | number } {
  const step = path[at];
  if (isObject(step)) return { key: key((step as { readonly key?: unknown }).key) };
  return key(step);
}

function key(value: unknown): string | number {
  return typeof value === "number" ? value : text(value);
}

function text(value: unknown): string {
  return String(value).slice(0, MAX_TEXT);
}
