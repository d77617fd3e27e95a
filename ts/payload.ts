// An outgoing payload as JSON, made when it is sent and never again. `JSON.stringify` takes 2.5 ns and more a byte of text on
// Node 20 and 22, and the native escaping 0.2: long texts are left to that.

/** Text from this length on, in characters, is worth the further calls. */
const LONG = 1_024;
/** Of one payload, so much text in all is taken that way: escaping may need six times the room. */
const MOST = 4 * 1024 * 1024;

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
  return isPlain(payload) && hasLong(payload) ? inPieces(payload) : JSON.stringify(payload);
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

function hasLong(object: Record<string, unknown>): boolean {
  for (const key in object) if (isLong(object[key])) return true;
  return false;
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
