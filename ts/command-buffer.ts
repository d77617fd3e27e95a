// The one reused buffer that commands are written into: words, text and payloads, and when it is handed over.
import { MAX_PAYLOAD, escapeJson } from "./native.js";
import type { Payload, Pieces } from "./payload.js";

/** Payload length that says there is no payload. */
const NO_PAYLOAD = 0xffff_ffff;

/** The buffer is handed over when it holds this much, in bytes. */
const HAND_OVER = 64 * 1024;

/**
 * Bytes of the reused buffer; a command that needs more gets a buffer of its own. Escaping may need six times what it then
 * uses, so there is much of it: memory that is never touched costs nothing.
 */
const CAPACITY = 1024 * 1024;

/** Up to this many characters a loop beats the call into `Buffer`. */
const SHORT = 16;

/** Up to this many characters the worst case of three bytes each is reserved; longer text is measured. */
const MEASURED = 60_000;

/** First byte of a room name that is not well-formed text; UTF-8 never has it. */
const ILL_FORMED = 0xff;

const settled = Promise.resolve();

/** Copies the first `length` bytes. */
export type Submit = (commands: Uint8Array, length: number) => void;

/** Holds commands until they are handed over. A command is `start`, then what it has, then `end`. */
export class CommandBuffer {
  readonly #submit: Submit;
  readonly #fail: (error: unknown) => void;
  #bytes = Buffer.allocUnsafeSlow(CAPACITY);
  #words = new Uint32Array(this.#bytes.buffer);
  /** Bytes written; a multiple of four whenever a word is written. */
  #length = 0;
  /** Where the command starts that is being written. */
  #start = 0;
  #batch = false;
  #scheduled = false;
  #closed = false;

  /** `fail` is told when commands were not taken, which are lost then. */
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
    const length = this.#length;
    if (length === 0) return;
    this.#length = 0;
    try {
      if (!this.#closed) this.#submit(this.#bytes, length);
    } catch (error) {
      this.#fail(error);
    }
    if (this.#bytes.length > CAPACITY) this.#allocate(CAPACITY);
  }

  /** From now on commands go nowhere. */
  close(): void {
    this.#closed = true;
  }

  /** Starts a command of at most `most` bytes, its head aside. */
  start(opcode: number, most: number): void {
    const needed = 8 + most;
    if (this.#length + needed > this.#bytes.length) {
      this.flush();
      if (needed > this.#bytes.length) this.#allocate(needed);
    }
    this.#start = this.#length;
    this.#words[this.#start >> 2] = opcode;
    this.#length += 8;
  }

  /** Ends the command: only now its length is known. */
  end(): void {
    this.#words[(this.#start >> 2) + 1] = (this.#length - this.#start) >> 2;
    if (this.#length >= HAND_OVER) this.flush();
    else if (!this.#batch && !this.#scheduled) {
      this.#scheduled = true;
      void settled.then(this.#later);
    }
  }

  /** Writes a word. */
  word(word: number): void {
    this.#words[this.#length >> 2] = word;
    this.#length += 4;
  }

  /** Writes the word that says how long the payload will be, and returns where it stands, for {@link payload}. */
  payloadSize(): number {
    const at = this.#length >> 2;
    this.word(NO_PAYLOAD);
    return at;
  }

  /** Writes the payload whose length stands at `size`. */
  payload(size: number, payload: Payload): void {
    if (payload === undefined) return;
    const start = this.#length;
    if (typeof payload === "string") this.#text(payload);
    else this.#pieces(payload);
    this.#words[size] = this.#length - start;
    this.#pad();
  }

  /** Writes a text after its length. */
  text(text: string): void {
    const size = this.#length >> 2;
    this.#length += 4;
    this.#text(text);
    this.#words[size] = this.#length - 4 * (size + 1);
    this.#pad();
  }

  /** Writes a room name after its length; as UTF-8, different names that are no well-formed text would be the same. */
  name(name: string): void {
    if (name.isWellFormed()) {
      this.text(name);
      return;
    }
    const size = this.#length >> 2;
    this.#length += 4;
    this.#bytes[this.#length] = ILL_FORMED;
    this.#length += 1;
    this.#length += this.#bytes.write(name, this.#length, "utf16le");
    this.#words[size] = this.#length - 4 * (size + 1);
    this.#pad();
  }

  readonly #later = (): void => {
    this.#scheduled = false;
    if (!this.#batch) this.flush();
  };

  #allocate(bytes: number): void {
    this.#bytes = Buffer.allocUnsafeSlow(Math.ceil(bytes / 4) * 4);
    this.#words = new Uint32Array(this.#bytes.buffer);
  }

  #text(text: string): void {
    const short = text.length <= SHORT && this.#short(text);
    if (!short) this.#length += this.#bytes.write(text, this.#length, "utf8");
  }

  /** Writes ASCII text; anything else is left to be written, and `false`. */
  #short(text: string): boolean {
    const start = this.#length;
    for (let index = 0; index < text.length; index += 1) {
      const unit = text.charCodeAt(index);
      if (unit > 0x7f) return false;
      this.#bytes[start + index] = unit;
    }
    this.#length += text.length;
    return true;
  }

  #pieces({ json, texts }: Pieces): void {
    for (const [index, between] of json.entries()) {
      this.#text(between);
      const text = texts[index];
      if (text === undefined) return;
      const start = this.#length;
      const length = this.#bytes.write(text, start, "utf8");
      this.#length += escapeJson(this.#bytes, start, length) ?? length;
    }
  }

  #pad(): void {
    while ((this.#length & 3) !== 0) {
      this.#bytes[this.#length] = 0;
      this.#length += 1;
    }
  }
}

/** The most bytes a text takes, its length and padding included. */
export function roomForText(text: string): number {
  return 8 + (text.length <= MEASURED ? 3 * text.length : Buffer.byteLength(text));
}

/** The most bytes a payload takes, padding included. */
export function roomForPayload(payload: Payload): number {
  if (payload === undefined) return 0;
  let needed = 0;
  if (typeof payload === "string") needed = roomForText(payload);
  else {
    for (const text of payload.json) needed += roomForText(text);
    for (const text of payload.texts) needed += 6 * text.length;
  }
  if (needed <= MAX_PAYLOAD) return needed;
  throw new RangeError(`expected a payload of at most ${MAX_PAYLOAD} bytes of JSON, got more`);
}
