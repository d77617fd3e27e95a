// Copies the bytes of an outgoing payload, once, when it is sent.
import { bytesIn } from "../bytes.js";
import { unexpected } from "../faults/check.js";
import { MAX_OUTGOING_BYTES } from "./codes.js";

/**
 * A copy of the bytes in a value, which nobody changes. `place` stands before the text of an error.
 *
 * @throws `TypeError` if the value is something else, and `RangeError` if they are too many.
 */
export function copyOf(value: unknown, place: string): Uint8Array {
  const bytes = bytesIn(value);
  if (bytes === undefined) {
    throw unexpected(place, "bytes (an ArrayBuffer or a view of one)", value);
  }
  if (bytes.length > MAX_OUTGOING_BYTES) {
    const expected = `expected at most ${MAX_OUTGOING_BYTES} bytes, got ${bytes.length}`;
    throw new RangeError(`${place}: ${expected}`);
  }
  // Of this realm, and not of shared memory.
  return new Uint8Array(bytes);
}
