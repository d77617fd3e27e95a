// Messages as they travel: envelopes as JSON, and messages that carry bytes as binary ones.
import { BINARY, bytesIn, WITH_ID } from "../bytes.js";
import type { Envelope } from "../envelope.js";

/** A message as a socket takes it. */
export type Data = string | Uint8Array<ArrayBuffer>;

/** Bytes before the name: the first one, the flags, and the length of the name. */
const BEFORE_NAME = 4;
const ID = 8;
/** What the length of the name can say. */
const MOST_NAME = 0xffff;
const HALF = 2 ** 32;

/** The message for an envelope. A payload that is bytes is copied. Throws the errors of `JSON.stringify`. */
export function messageOf(envelope: Envelope): Data {
  const { id, type, payload } = envelope;
  const bytes = bytesIn(payload);
  if (!bytes) return JSON.stringify(envelope);
  // Not every platform has a `TextEncoder`.
  const name = unescape(encodeURIComponent(type));
  if (name.length > MOST_NAME) throw new TypeError("expected a route of at most 65,535 bytes");
  const start = BEFORE_NAME + name.length + (id === undefined ? 0 : ID);
  const message = new Uint8Array(start + bytes.length);
  const view = new DataView(message.buffer);
  view.setUint16(2, name.length);
  for (let at = 0; at < name.length; at += 1) message[BEFORE_NAME + at] = name.charCodeAt(at);
  if (id !== undefined) {
    message[1] = WITH_ID;
    view.setUint32(start - ID, id / HALF);
    view.setUint32(start - ID / 2, id);
  }
  message.set(bytes, start);
  return message;
}

/** The envelope in a message, or `undefined` if the message is not one. */
export function envelopeIn(data: unknown): Envelope | undefined {
  try {
    if (typeof data !== "string") return binary(bytesIn(data));
    const envelope: unknown = JSON.parse(data);
    const isOne = typeof (envelope as Partial<Envelope> | null)?.type === "string";
    return isOne ? (envelope as Envelope) : undefined;
  } catch {
    return undefined;
  }
}

/** Throws for a message that ends too early, or whose name is not UTF-8. */
function binary(message: Uint8Array | undefined): Envelope | undefined {
  if (!message || message[0] !== BINARY) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const flags = view.getUint8(1);
  const end = BEFORE_NAME + view.getUint16(2);
  const start = flags === WITH_ID ? end + ID : end;
  if (flags > WITH_ID || start > message.length) return undefined;
  const type = decodeURIComponent(
    escape(String.fromCharCode(...message.subarray(BEFORE_NAME, end))),
  );
  // A copy, whose memory holds nothing else.
  const payload = new Uint8Array(message.subarray(start));
  if (start === end) return { type, payload };
  return { type, id: view.getUint32(end) * HALF + view.getUint32(end + ID / 2), payload };
}

/** How many bytes a message has. */
export function sizeOf(data: unknown): number {
  return typeof data === "string" ? byteLength(data) : (bytesIn(data)?.length ?? 0);
}

/** How many bytes a text has in UTF-8. Counted by hand, as not every platform has a `TextEncoder`. */
function byteLength(text: string): number {
  let bytes = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const point = text.codePointAt(at) ?? 0;
    if (point < 0x80) continue;
    bytes += point < 0x800 ? 1 : 2;
    // Two halves of a pair have four bytes together. Half a pair alone goes out as U+FFFD, in three.
    if (point > 0xffff) at += 1;
  }
  return bytes;
}
