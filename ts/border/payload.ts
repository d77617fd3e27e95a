// Makes the JSON of an outgoing payload, once, when it is sent. It leaves text as it is, and the engine escapes it. V8 needs 1 to
// 3 ns a byte for that, and the engine 0.2 ns. V8 would also have to flatten the joined text first. The engine formats numbers too.
// V8 would cache every number that it turns into text, and each garbage collection copies that cache.
import { PIECE } from "./codes.js";

/** The engine escapes at most this much text of one payload, because escaping may need six times the room. */
export const MOST_TEXT = 4 * 1024 * 1024;
/** In objects that are not flat, only text from this length on, in characters, is left to the engine. */
const LONG = 1_024;
/** `JSON.stringify` serialises objects with more properties than this. */
const MOST_PROPERTIES = 64;

/** How many keys are remembered in their JSON form, and how long they are at most, in characters: about 2 MiB in all. */
const MOST_KEYS = 4_096;
const LONGEST_KEY = 64;

const { TEXT, INTEGER, DOUBLE } = PIECE;

/** JSON with text and numbers in it that are not JSON yet. */
export class Pieces {
  constructor(
    /** How long the texts are together, in characters. */
    readonly length: number,
    /** JSON and the texts in it, one after the other; long texts are not joined with the rest, which would copy them. */
    readonly texts: readonly string[],
    /** Where which begins, and the numbers: as the engine has it in `src/border/payloads.rs`. */
    readonly words: readonly number[],
    /** How many words are in use. The words behind them mean nothing. */
    readonly count: number,
  ) {}
}

/** JSON of a payload, or bytes that nobody changes; `undefined` for none. */
export type Payload = string | Pieces | Uint8Array | undefined;

/** The payload as it is now: exactly what `JSON.stringify` makes of it, and throws what that throws. May read a getter more often. */
export function serialise(payload: unknown): Payload {
  if (typeof payload === "string") {
    return isText(payload, MOST_TEXT)
      ? new Pieces(payload.length + 2, ['"', payload, '"'], [1, TEXT | payload.length, 1], 3)
      : JSON.stringify(payload);
  }
  if (!isPlain(payload)) return JSON.stringify(payload);
  return flat(payload) ?? (hasLong(payload) ? inPieces(payload) : JSON.stringify(payload));
}

const keys = new Map<string, string>();
/** The keys of the last object, which are mostly those of the next one, and what stands before a value and before a text of theirs. */
const lastKeys: string[] = [];
const beforeValue: string[] = [];
const beforeText: string[] = [];

/** Remembers a key as the `at`th of its object; `false` if it is too long for that. */
function remember(key: string, at: number): boolean {
  // Clients may choose the keys, and this cache lives longer than they do.
  if (key.length > LONGEST_KEY) return false;
  let json = keys.get(key);
  if (json === undefined) {
    json = `${JSON.stringify(key)}:`;
    // Messages with a shape have few keys. Keys that are data never end: they must not keep the others out for ever.
    if (keys.size === MOST_KEYS) keys.clear();
    keys.set(key, json);
  }
  json = (at === 0 ? "{" : ",") + json;
  lastKeys[at] = key;
  beforeValue[at] = json;
  beforeText[at] = `${json}"`;
  return true;
}

/** Most payloads have no more words than this. To make room for all of them at once costs a fifth of growing a list. */
const FEW_WORDS = 16;
const double = new Float64Array(1);
const halves = new Int32Array(double.buffer);

/** An object of nothing but texts, numbers, booleans and `null` under short keys; for another one, `undefined`. */
function flat(object: Record<string, unknown>): Payload {
  // oxlint-disable-next-line unicorn/no-new-array -- `Array.from` fills it, which costs as much as growing.
  const words = new Array<number>(FEW_WORDS);
  let texts: string[] | undefined;
  let joined = "";
  /** Where the piece begins that is being written, and what ends the text before it. */
  let start = 0;
  let quote = "";
  let left = MOST_TEXT;
  let length = 0;
  let at = 0;
  let count = 0;
  // V8 reads the values of a loop like this without looking for the keys; `Object.keys` makes it look.
  for (const key in object) {
    if (!Object.prototype.hasOwnProperty.call(object, key)) continue;
    if (at === MOST_PROPERTIES) return undefined;
    const value = object[key];
    if (lastKeys[at] !== key && !remember(key, at)) return undefined;
    if (typeof value === "string") {
      if (!isText(value, left)) return undefined;
      left -= value.length;
      joined += quote + (beforeText[at] as string);
      words[count] = joined.length - start;
      words[count + 1] = TEXT | value.length;
      count += 2;
      if (value.length < LONG) {
        joined += value;
        start = joined.length;
      } else {
        (texts ??= []).push(joined, value);
        length += joined.length + value.length;
        joined = "";
        start = 0;
      }
      quote = '"';
    } else if (typeof value === "number") {
      if (!Number.isFinite(value)) return undefined;
      joined += quote + (beforeValue[at] as string);
      words[count] = joined.length - start;
      count = putNumber(words, count + 1, value);
      start = joined.length;
      quote = "";
    } else if (typeof value === "boolean" || value === null) {
      joined += quote + (beforeValue[at] as string) + value;
      quote = "";
    } else {
      return undefined;
    }
    at += 1;
  }
  if (at === 0) return "{}";
  joined += `${quote}}`;
  if (count === 0) return joined;
  words[count] = joined.length - start;
  if (texts) texts.push(joined);
  else texts = [joined];
  return new Pieces(length + joined.length, texts, words, count + 1);
}

/** Puts a number among the words, and returns the place behind it. */
function putNumber(words: number[], at: number, value: number): number {
  if ((value | 0) === value) {
    words[at] = INTEGER;
    words[at + 1] = value | 0;
    return at + 2;
  }
  double[0] = value;
  words[at] = DOUBLE;
  words[at + 1] = halves[0] as number;
  words[at + 2] = halves[1] as number;
  return at + 3;
}

/** Whether the engine may escape the text. It cannot if the text has lone surrogates, which UTF-8 cannot hold. */
function isText(value: string, left: number): boolean {
  return value.length <= left && value.isWellFormed();
}

function isLong(value: unknown, left: number): value is string {
  return typeof value === "string" && value.length >= LONG && isText(value, left);
}

function hasLong(object: Record<string, unknown>): boolean {
  for (const key in object) {
    if (Object.prototype.hasOwnProperty.call(object, key) && isLong(object[key], MOST_TEXT))
      return true;
  }
  return false;
}

/** Whether the value is an object whose own properties are all that `JSON.stringify` looks at. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const { constructor, toJSON } = value as {
    readonly constructor: unknown;
    readonly toJSON?: unknown;
  };
  return (
    // A property is found where `Object.getPrototypeOf` is a call into the runtime.
    (constructor === Object || Object.getPrototypeOf(value) === Object.prototype) &&
    toJSON === undefined &&
    !Array.isArray(value)
  );
}

/** An object with long text in it; the rest is `JSON.stringify`'s. */
function inPieces(object: Record<string, unknown>): Payload {
  const texts: string[] = [];
  const words: number[] = [];
  let length = 0;
  let json = "{";
  let left = MOST_TEXT;
  let separator = "";
  for (const key of Object.keys(object)) {
    const value = object[key];
    if (isLong(value, left)) {
      left -= value.length;
      json += `${separator}${JSON.stringify(key)}:"`;
      texts.push(json, value);
      length += json.length + value.length;
      words.push(json.length, TEXT | value.length);
      json = '"';
    } else {
      // A new object around each value, so that `toJSON` gets its key, and JSON leaves out what it always does. The object has no
      // prototype, because `Object.prototype` may have a `toJSON` that the payload hides with an own one that is `undefined`.
      const member = JSON.stringify({ __proto__: null, [key]: value });
      if (member === "{}") continue;
      json += separator + member.slice(1, -1);
    }
    separator = ",";
  }
  json += "}";
  texts.push(json);
  words.push(json.length);
  return new Pieces(length + json.length, texts, words, words.length);
}
