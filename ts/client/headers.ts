// Owns the application's headers on their way to the server: checked, and as the subprotocols that carry them.
import { isPlainObject } from "../faults/check.js";
import { wrongKind } from "./kind.js";

/** Headers that were checked. */
export type Headers = Readonly<Record<string, string>>;

/** The subprotocol of our servers. */
export const PROTOCOL = "zocket.1";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/**
 * The headers without those that are `undefined`. A `Map` or a `Headers` object is refused: it has no properties, so that nothing
 * would be sent. Half a surrogate pair becomes U+FFFD, because neither URLs nor every JSON parser can carry it.
 *
 * @throws `TypeError` naming the header that is wrong, behind `place`.
 */
export function checkedHeaders(given: unknown, place: string): Headers {
  if (!isPlainObject(given)) throw wrongKind(place, "a plain object of strings", given);
  const whole = (text: string) => text.replace(/[\ud800-\udfff]/gu, "\ufffd");
  const pairs: [string, string][] = [];
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    if (typeof value === "string") pairs.push([whole(name), whole(value)]);
    else if (value !== undefined) {
      throw wrongKind(`${place}[${JSON.stringify(name)}]`, "a string", value);
    }
  }
  return Object.fromEntries(pairs);
}

/** The subprotocols to offer: ours, and one that carries the headers, so that they are in no URL and no access log. */
export function offered(headers: Headers): string[] {
  const json = JSON.stringify(headers);
  return json === "{}" ? [PROTOCOL] : [PROTOCOL, `zocket.h.${base64url(json)}`];
}

/** The text in UTF-8 as unpadded base64url. By hand, as not every platform has `Buffer`, `TextEncoder` or `btoa`. */
function base64url(text: string): string {
  const bytes = encodeURIComponent(text).match(/%..|[^]/g) ?? [];
  let encoded = "";
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | (byte.length > 1 ? parseInt(byte.slice(1), 16) : byte.charCodeAt(0));
    for (bits += 8; bits >= 6; held &= (1 << bits) - 1) {
      bits -= 6;
      encoded += ALPHABET[held >> bits];
    }
  }
  return bits > 0 ? encoded + ALPHABET[held << (6 - bits)] : encoded;
}
