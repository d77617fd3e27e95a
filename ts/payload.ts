// An outgoing payload as JSON, made when it is sent and never again. `JSON.stringify` takes 2.5 ns and more a byte of text on
// Node 20 and 22, and the native escaping 0.2: long texts are left to that. Small flat objects, which most messages are, take
// less than half the time there when they are put together here.

/** Text from this length on, in characters, is worth the further calls. */
const LONG = 1_024;
/** Of one payload, so much text in all is taken that way: escaping may need six times the room. */
const MOST = 4 * 1024 * 1024;

/** From V8 13 on (Node 24) `JSON.stringify` is the faster one for small objects. */
const JOINS_FLAT = Number.parseInt(process.versions.v8, 10) < 13;
/** What cannot stand between quotes as it is: what JSON escapes, and surrogates, which it escapes when they are alone. */
const ESCAPED = /[^ !#-[\]-\ud7ff\ue000-\uffff]/;
/** How many keys are remembered in their JSON form. */
const MOST_KEYS = 4_096;
/** At how many places of an object the last key is remembered. */
const MOST_LAST = 16;

/** JSON with long texts in it that are not escaped yet. */
export interface Pieces {
  /** What stands before, between and after the texts, quotes included: one more than there are texts. */
  readonly json: readonly string[];
  readonly texts: readonly string[];
}

/** JSON of a payload; `undefined` for none. */
export type Payload = string | Pieces | undefined;

/** The payload as it is now: exactly what `JSON.stringify` makes of it, and throws what that throws. May read a getter more often. */
export function serialise(payload: unknown): Payload {
  if (typeof payload === "string") {
    return isLong(payload) ? { json: ['"', '"'], texts: [payload] } : JSON.stringify(payload);
  }
  if (!isPlain(payload)) return JSON.stringify(payload);
  const flat = JOINS_FLAT ? flatJson(payload) : undefined;
  if (flat !== undefined) return flat;
  return hasLong(payload) ? inPieces(payload) : JSON.stringify(payload);
}

function hasLong(object: Record<string, unknown>): boolean {
  for (const key in object) {
    if (Object.prototype.hasOwnProperty.call(object, key) && isLong(object[key])) return true;
  }
  return false;
}

const keys = new Map<string, string>();
/** The keys of the last object, which are mostly those of the next one, and what they are in JSON, with what stands before. */
const lastKeys: string[] = [];
const lastJson: string[] = [];

/** What stands before the value of a key that is the `at`th of its object. */
function keyJson(key: string, at: number): string {
  if (lastKeys[at] === key) return lastJson[at] as string;
  let json = keys.get(key);
  if (json === undefined) {
    json = `${JSON.stringify(key)}:`;
    // Keys are few where messages have a shape; where they are data there is no end of them.
    if (keys.size < MOST_KEYS) keys.set(key, json);
  }
  json = (at === 0 ? "{" : ",") + json;
  if (at < MOST_LAST) {
    lastKeys[at] = key;
    lastJson[at] = json;
  }
  return json;
}

/** JSON of an object of nothing but short texts without anything to escape, numbers, booleans and `null`; else `undefined`. */
function flatJson(object: Record<string, unknown>): string | undefined {
  let json = "";
  let at = 0;
  // V8 reads the values of a loop like this without looking for the keys; `Object.keys` makes it look.
  for (const key in object) {
    if (!Object.prototype.hasOwnProperty.call(object, key)) continue;
    const value = object[key];
    if (typeof value === "string") {
      if (value.length >= LONG || ESCAPED.test(value)) return undefined;
      json += `${keyJson(key, at)}"${value}"`;
    } else if (isLiteral(value)) {
      json += keyJson(key, at) + value;
    } else {
      return undefined;
    }
    at += 1;
  }
  return at === 0 ? "{}" : `${json}}`;
}

/** Whether JSON has the value as JavaScript writes it. */
function isLiteral(value: unknown): value is number | boolean | null {
  return typeof value === "number"
    ? Number.isFinite(value)
    : typeof value === "boolean" || value === null;
}

/** Whether the value is text that pays; lone surrogates, which UTF-8 cannot hold, are left to `JSON.stringify`. */
function isLong(value: unknown): value is string {
  if (typeof value !== "string") return false;
  return value.length >= LONG && value.length <= MOST && value.isWellFormed();
}

/** Whether the value is an object whose own properties are all that `JSON.stringify` looks at. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  return (
    Object.getPrototypeOf(value) === Object.prototype &&
    !Array.isArray(value) &&
    (value as { readonly toJSON?: unknown }).toJSON === undefined
  );
}

function inPieces(object: Record<string, unknown>): Payload {
  const json: string[] = [];
  const texts: string[] = [];
  let left = MOST;
  let before = "{";
  let separator = "";
  for (const key of Object.keys(object)) {
    const value = object[key];
    if (isLong(value) && value.length <= left) {
      left -= value.length;
      json.push(`${before}${separator}${JSON.stringify(key)}:"`);
      texts.push(value);
      before = '"';
    } else {
      // An object of its own around each value: `toJSON` gets its key, and what JSON leaves out is left out. Without a
      // prototype, as the payload may hide a `toJSON` of `Object.prototype` behind one of its own that is `undefined`.
      const member = JSON.stringify({ __proto__: null, [key]: value });
      if (member === "{}") continue;
      before += separator + member.slice(1, -1);
    }
    separator = ",";
  }
  json.push(`${before}}`);
  return { json, texts };
}
