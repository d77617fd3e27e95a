// Joins the payloads to one text beside the commands. To write each payload into the buffer would cost more than the rest of its
// send.
import { MAX_OUTGOING } from "./codes.js";
import { MOST_TEXT, Pieces, type Payload } from "./payload.js";
import { mostBytes } from "./words.js";

/** Payloads are written when they are this long, in characters. Until then the joined text is garbage. */
const CHUNK = 8 * 1024;

/** Bytes of the reused buffer. A larger text gets a new buffer. Memory that is never touched costs nothing. */
const CAPACITY = 256 * 1024;

/** The most bytes of a number in JSON. */
const NUMBER = 25;

/** The payloads of the commands that are not handed over. */
export class PayloadText {
  /** As UTF-8, and how many bytes that are. */
  #bytes = Buffer.allocUnsafeSlow(CAPACITY);
  #size = 0;
  /** The payloads that are not written there yet. */
  #pending = "";
  /** Bytes that stand for all of that. They are too many to be copied once more. */
  #alone: Uint8Array | undefined;

  /** The number of written {@link bytes}. */
  get size(): number {
    return this.#size;
  }

  get bytes(): Uint8Array {
    return this.#alone ?? this.#bytes;
  }

  /** About how much there is, written or not. */
  get length(): number {
    return this.#size + this.#pending.length;
  }

  add(text: string): void {
    // A long one is not joined with the others, which would copy it.
    if (text.length >= CHUNK) this.write();
    this.#pending += text;
    if (this.#pending.length >= CHUNK) this.write();
  }

  /** Adds bytes as they are. Nothing may be added to more than {@link CAPACITY} of them. */
  addBytes(bytes: Uint8Array): void {
    this.write();
    if (this.#size === 0 && bytes.length > CAPACITY) {
      this.#alone = bytes;
    } else {
      this.reserve(bytes.length);
      this.#bytes.set(bytes, this.#size);
    }
    this.#size += bytes.length;
  }

  /** Writes what is not written yet. */
  write(): void {
    const text = this.#pending;
    if (text === "") return;
    this.#pending = "";
    this.reserve(mostBytes(text));
    this.#size += this.#bytes.write(text, this.#size, "utf8");
  }

  /** Makes room for so many more bytes. */
  reserve(bytes: number): void {
    const needed = this.#size + bytes;
    if (needed <= this.#bytes.length) return;
    const old = this.#bytes;
    this.#bytes = Buffer.allocUnsafeSlow(needed);
    this.#bytes.set(old.subarray(0, this.#size));
  }

  /** Forgets what is written. */
  clear(): void {
    this.#size = 0;
    this.#alone = undefined;
    if (this.#bytes.length > CAPACITY) this.#bytes = Buffer.allocUnsafeSlow(CAPACITY);
  }
}

/**
 * The bytes of a command for the words of its payload.
 *
 * @throws `RangeError` if the payload is too long.
 */
export function roomForPayload(payload: Payload): number {
  if (payload === undefined) return 0;
  if (typeof payload !== "string" && !(payload instanceof Pieces)) return 4;
  if (6 * payload.length > MAX_OUTGOING && mostJson(payload) > MAX_OUTGOING) {
    throw new RangeError(`expected a payload of at most ${MAX_OUTGOING} bytes of JSON, got more`);
  }
  return typeof payload === "string" ? 4 : 4 * payload.count;
}

/** The most bytes a payload may take as JSON. */
function mostJson(payload: string | Pieces): number {
  if (typeof payload === "string") return Buffer.byteLength(payload);
  const raw = Math.min(payload.length, MOST_TEXT);
  return bytesOf(payload) + 5 * raw + NUMBER * payload.count;
}

/** The most bytes of the text in a payload. */
export function bytesOf(payload: string | Pieces): number {
  const texts = typeof payload === "string" ? [payload] : payload.texts;
  return texts.reduce((sum, text) => sum + mostBytes(text), 0);
}
