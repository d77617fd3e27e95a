// The payloads of a batch of events that are bytes. They come beside the values, which are JSON.
import type { Native } from "../border/native.js";

/** The bytes beside the values of one batch. */
export class Beside {
  #bytes = new Uint8Array(0);
  #at = 0;

  /** Takes those of the batch that the engine gave last: so many bytes. */
  take(native: Native, size: number): void {
    this.#bytes = new Uint8Array(size);
    this.#at = 0;
    if (size > 0) native.takeBeside(this.#bytes);
  }

  /** The next payload, of so many bytes. Whoever gets it shares its memory with nobody. */
  next(length: number): Uint8Array {
    const bytes = this.#bytes;
    const start = this.#at;
    this.#at = start + length;
    if (this.#at < bytes.length || length < bytes.length) return bytes.slice(start, this.#at);
    // A large one comes alone, and is not copied again.
    this.#bytes = new Uint8Array(0);
    this.#at = 0;
    return bytes;
  }
}
