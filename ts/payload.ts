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

/** JSON with long texts in it that are not escaped yet. */
export interface Pieces {
  /** What stands before, between and after the texts, quotes included: one more than there are texts. */
  readonly json: readonly string[];
  readonly texts: readonly string[];
}

/** JSON of a payload; `undefined` for none. */
export type Payload = string | Pieces | undefined;

/** The payload as it is now: exactly what `JSON.stringify` makes of it, and throws what that throws. */
export function serialise(payload: unknown): Payload {
  if (typeof payload === "string") {
    return isLong(payload) ? { json: ['"', '"'], texts: [payload] } : JSON.stringify(payload);
  }
  if (!isPlain(payload)) return JSON.stringify(payload);
  switch (shapeOf(payload)) {
    case "long":
      return inPieces(payload);
    case "flat":
      return (JOINS_FLAT ? flatJson(payload) : undefined) ?? JSON.stringify(payload);
    case "other":
      return JSON.stringify(payload);
  }
}

/** `long` if there is a text that pays, `flat` if there is nothing but short texts, numbers, booleans and `null`. */
function shapeOf(object: Record<string, unknown>): "long" | "flat" | "other" {
  let shape: "flat" | "other" = "flat";
  for (const key in object) {
    const value = object[key];
    if (typeof value === "string") {
      if (value.length < LONG) continue;
      if (isLong(value)) return "long";
      shape = "other";
    } else if (value !== null && typeof value !== "number" && typeof value !== "boolean") {
      shape = "other";
    }
  }
  return shape;
}

const keys = new Map<string, string>();

/** A key of an object and its colon. */
function keyJson(key: string): string {
  let json = keys.get(key);
  if (json === undefined) {
    json = `${JSON.stringify(key)}:`;
    // Keys are few where messages have a shape; where they are data there is no end of them.
    if (keys.size < MOST_KEYS) keys.set(key, json);
  }
  return json;
}

/** JSON of a flat object; `undefined` if one of its texts has something to escape. */
function flatJson(object: Record<string, unknown>): string | undefined {
  let json = "{";
  let separator = "";
  for (const key of Object.keys(object)) {
    const value = object[key];
    if (typeof value === "string") {
      if (value.length >= LONG || ESCAPED.test(value)) return undefined;
      json += `${separator}${keyJson(key)}"${value}"`;
    } else if (isLiteral(value)) {
      json += `${separator}${keyJson(key)}${value}`;
    } else {
      return undefined;
    }
    separator = ",";
  }
  return `${json}}`;
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
      // An object of its own around each value: `toJSON` gets its key, and what JSON leaves out is left out.
      const member = JSON.stringify({ [key]: value });
      if (member === "{}") continue;
      before += separator + member.slice(1, -1);
    }
    separator = ",";
  }
  json.push(`${before}}`);
  return { json, texts };
}
