// Turns a schema's issues into JSON for the client. It leaves out what the client may not see, and keeps to a bound in bytes. A
// hostile schema may make issues that throw when they are read.
import { isObject } from "./check.js";

/** Most issues and path segments, and most characters of a text in them, where they are cut. */
const MAX_ISSUES = 64;
const MAX_PATH = 64;
const MAX_TEXT = 512;
/** How many characters a value that is not text counts for, in the length of issues. */
const LEAST = 8;
/** This many first characters show that a message repeats a header's value. */
const MIN_RECOGNISED = 8;
const MAX_RECOGNISED = 16;
const NOT_ACCEPTED = "not accepted";

/** A message and where it belongs, as they are told. */
interface Essence {
  readonly message: string;
  readonly path?: readonly Segment[];
}

type Segment = string | number | { readonly key: string | number };

/** The parts of a request that its issues may not reveal. */
export interface Confidential {
  /** The names of the real header fields, in lower case. */
  readonly fields: readonly string[];
  /** The headers by name. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * The issues of a payload, as JSON text of at most this many bytes. If JSON cannot hold them as they are, or they are too long, only
 * message and path are left.
 */
export function payloadIssues(issues: readonly unknown[], maxBytes: number): string {
  try {
    const text = whole(issues, maxBytes);
    if (Buffer.byteLength(text) <= maxBytes) return text;
  } catch {
    // JSON cannot hold them as they are.
  }
  return fitting(first(issues, MAX_ISSUES, essence), maxBytes);
}

/**
 * The issues of a request's headers, as JSON text of at most this many bytes: only message and path. A message about a real header is
 * left out, because schemas put the value into it, and a proxy may have set that header.
 */
export function headersIssues(
  issues: readonly unknown[],
  { fields, headers }: Confidential,
  maxBytes: number,
): string {
  const real = new Set(fields.map(text));
  const values = fields
    .map((name) => text(headers[name]).slice(0, MAX_RECOGNISED))
    .filter((value) => value.length >= MIN_RECOGNISED);
  const told = (issue: Essence): Essence => {
    const field = issue.path?.[0];
    if (field === undefined) return { message: NOT_ACCEPTED };
    const name = String(isObject(field) ? field.key : field);
    // The deeper parts of a path may repeat the header's value.
    if (real.has(name.toLowerCase())) return { message: NOT_ACCEPTED, path: [field] };
    // A schema that renames fields may complain about one under another name.
    const repeats = values.some((value) => issue.message.includes(value));
    return repeats ? { ...issue, message: NOT_ACCEPTED } : issue;
  };
  return fitting(first(issues, MAX_ISSUES, essence).map(told), maxBytes);
}

/** @throws what the issues throw when they are looked at, or `RangeError` if they are too long. */
function whole(issues: readonly unknown[], maxLength: number): string {
  let budget = maxLength;
  const spend = (key: string, value: unknown): unknown => {
    budget -= key.length + (typeof value === "string" ? value.length : LEAST);
    if (budget < 0) throw new RangeError("the issues are too long");
    return value;
  };
  // There may be one for each item of a long payload: not even a list of them is made then.
  if (issues.length * LEAST > budget) throw new RangeError("there are too many issues");
  return JSON.stringify(Array.from(issues, readable), spend);
}

/** As many issues as fit, as a JSON array; of the first one at least the message. */
function fitting(issues: readonly Essence[], maxBytes: number): string {
  let list = "";
  let room = maxBytes - "[]".length;
  for (const issue of issues) {
    let json = JSON.stringify(issue);
    if (Buffer.byteLength(json) > room && list === "")
      json = JSON.stringify({ message: issue.message });
    room -= Buffer.byteLength(json) + ",".length;
    if (room < -1) break;
    list += list === "" ? json : `,${json}`;
  }
  return `[${list}]`;
}

/** Maps the first items of a list that may throw when it is read. The result ends where `map` throws. */
function first<T>(
  list: readonly unknown[],
  most: number,
  map: (list: readonly unknown[], at: number) => T,
): T[] {
  const found: T[] = [];
  try {
    for (let at = 0; at < most && at < list.length; at += 1) found.push(map(list, at));
  } catch {
    // The items so far have to do.
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
function essence(issues: readonly unknown[], at: number): Essence {
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
function segment(path: readonly unknown[], at: number): Segment {
  const step = path[at];
  if (isObject(step)) return { key: key((step as { readonly key?: unknown }).key) };
  return key(step);
}

function key(value: unknown): string | number {
  return typeof value === "number" ? value : text(value);
}

/** The start of a text, without half a character at its end. */
function text(value: unknown): string {
  const whole = String(value);
  if (whole.length <= MAX_TEXT) return whole;
  const isHalf = (whole.codePointAt(MAX_TEXT - 1) ?? 0) > 0xffff;
  return whole.slice(0, isHalf ? MAX_TEXT - 1 : MAX_TEXT);
}
