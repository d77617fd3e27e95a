// Hands commands and their payloads over to the engine: at the end of each batch of events, or as soon as they are many. Outside
// of a batch it does so in a microtask.
import { NO_PAYLOAD, PIECE } from "./codes.js";
import { bytesOf, PayloadText, roomForPayload } from "./payload-text.js";
import { Pieces, type Payload } from "./payload.js";
import { Words } from "./words.js";

/** Commands are handed over when they hold this much: bytes, and characters of payloads. */
const ENOUGH = 64 * 1024;

const settled = Promise.resolve();

/** Copies the first `length` bytes of commands, and their payloads, the first `size` bytes of text. */
export type Submit = (commands: Uint8Array, length: number, text: Uint8Array, size: number) => void;

/** Holds commands until they are handed over. A command is `start`, then what it has, written into `words`, then `end`. */
export class HandOver {
  readonly #submit: Submit;
  readonly #fail: (error: unknown) => void;
  readonly words = new Words();
  readonly #payloads = new PayloadText();
  #batch = false;
  #scheduled = false;
  #closed = false;

  /** `fail` gets the error if the engine does not take commands. These are lost. */
  constructor(submit: Submit, fail: (error: unknown) => void) {
    this.#submit = submit;
    this.#fail = fail;
  }

  /** Until {@link endBatch} nothing is handed over, unless much has come together. */
  beginBatch(): void {
    this.#batch = true;
  }

  /** Hands over what the batch wrote. */
  endBatch(): void {
    this.#batch = false;
    this.flush();
  }

  /** Hands over what there is. */
  flush(): void {
    const { length, bytes } = this.words;
    const payloads = this.#payloads;
    if (length === 0) return;
    let failure: { readonly error: unknown } | undefined;
    try {
      payloads.write();
      if (!this.#closed) this.#submit(bytes, length, payloads.bytes, payloads.size);
    } catch (error) {
      failure = { error };
    }
    this.words.clear();
    payloads.clear();
    // Last, because the application may send when it gets the error.
    if (failure) this.#fail(failure.error);
  }

  /** From now on commands go nowhere. */
  close(): void {
    this.#closed = true;
  }

  /** Starts a command of at most `most` bytes, its head aside. */
  start(opcode: number, most: number): void {
    const { words } = this;
    const needed = 8 + most;
    if (!words.hasRoom(needed)) {
      this.flush();
      words.reserve(needed);
    }
    words.start(opcode);
  }

  /**
   * Starts a command that may have a payload, for {@link endWith}.
   *
   * @throws `RangeError` if the payload is too long.
   */
  startWith(payload: Payload, opcode: number, most: number): void {
    const needed = 4 + most + roomForPayload(payload);
    if (payload !== undefined && payload.length > ENOUGH) this.#expect(payload);
    this.start(opcode, needed);
    this.words.word(NO_PAYLOAD);
  }

  /** Ends the command. */
  end(): void {
    this.words.end();
    if (this.words.length + this.#payloads.length >= ENOUGH) this.flush();
    else if (!this.#batch) this.#schedule();
  }

  /** Ends a command with its payload. */
  endWith(payload: Payload): void {
    const { words } = this;
    if (typeof payload === "string") {
      words.word(payload.length);
      words.count(1);
      this.#payloads.add(payload);
    } else if (payload instanceof Pieces) {
      const { words: pieces, count } = payload;
      for (let at = 0; at < count; at += 1) words.word(pieces[at] as number);
      words.count(count);
      for (const text of payload.texts) this.#payloads.add(text);
    } else if (payload !== undefined) {
      words.word(PIECE.BYTES | payload.length);
      words.count(1);
      this.#payloads.addBytes(payload);
    }
    this.end();
  }

  /** Makes room for a long payload. */
  #expect(payload: string | Pieces | Uint8Array): void {
    // Together with the text so far, it might be longer than a string can be.
    this.flush();
    if (payload instanceof Uint8Array) return;
    // Now, because a failure in the middle of a command would spoil the commands behind it.
    this.#payloads.reserve(bytesOf(payload));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    void settled.then(this.#later);
  }

  readonly #later = (): void => {
    this.#scheduled = false;
    if (!this.#batch) this.flush();
  };
}
