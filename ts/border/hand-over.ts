// The one reused buffer that commands are written into, when it is handed over, and the payloads beside it: they are put
// together to one text, since to write each into the buffer costs more than all the rest of sending it.
import { MAX_PAYLOAD } from "./native.js";
import { MOST_TEXT, type Payload, type Pieces } from "./payload.js";

/** Payload length that says there is no payload. */
const NO_PAYLOAD = 0xffff_ffff;
/** In the first word of a command, what the number of its payload's words is counted in. */
const PAYLOAD_WORD = 0x100;

/** Commands are handed over when they hold this much: bytes, and characters of payloads. */
const HAND_OVER = 64 * 1024;

/** Payloads are written when they are this long, in characters: what was put together is garbage until then. */
const CHUNK = 8 * 1024;

/** Bytes of the reused buffer; what needs more gets a buffer of its own. Memory that is never touched costs nothing. */
const CAPACITY = 256 * 1024;

/** Up to this many characters a loop beats the call into `Buffer`. */
const SHORT = 16;

/** Up to this many characters the worst case of three bytes each is reserved; longer text is measured. */
const MEASURED = 60_000;

/** First byte of a room name that is not well-formed text; UTF-8 never has it. */
const ILL_FORMED = 0xff;

/** The most bytes of a number in JSON. */
const NUMBER = 25;

const settled = Promise.resolve();

/** Copies the first `length` bytes of commands, and their payloads, the first `size` bytes of text. */
export type Submit = (commands: Uint8Array, length: number, text: Uint8Array, size: number) => void;

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
  /** The payloads of these commands as UTF-8, how many bytes that are, and what is not written there yet. */
  #text = Buffer.allocUnsafeSlow(CAPACITY);
  #size = 0;
  #payloads = "";
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
    let failure: { readonly error: unknown } | undefined;
    try {
      this.#writePayloads();
      if (!this.#closed) this.#submit(this.#bytes, length, this.#text, this.#size);
    } catch (error) {
      failure = { error };
    }
    this.#length = 0;
    this.#size = 0;
    if (this.#bytes.length > CAPACITY) this.#allocate(CAPACITY);
    if (this.#text.length > CAPACITY) this.#text = Buffer.allocUnsafeSlow(CAPACITY);
    // Last, as who is told may send.
    if (failure) this.#fail(failure.error);
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

  /**
   * Starts a command that may have a payload, for {@link endWith}.
   *
   * @throws `RangeError` if the payload is too long.
   */
  startWith(payload: Payload, opcode: number, most: number): void {
    const needed = 4 + most + roomForPayload(payload);
    if (payload !== undefined && payload.length > HAND_OVER) {
      // With what is there it might be longer than a string can be.
      this.flush();
      // Now, as what fails in the middle of a command would spoil those that follow.
      this.#reserve(bytesOf(payload));
    }
    this.start(opcode, needed);
    this.word(NO_PAYLOAD);
  }

  /** Ends the command: only now its length is known. */
  end(): void {
    this.#words[(this.#start >> 2) + 1] = (this.#length - this.#start) >> 2;
    if (this.#length + this.#size + this.#payloads.length >= HAND_OVER) this.flush();
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

  /** Ends a command with its payload. */
  endWith(payload: Payload): void {
    if (typeof payload === "string") {
      this.word(payload.length);
      this.#count(1);
      this.#add(payload);
    } else if (payload !== undefined) {
      const { words, count } = payload;
      for (let at = 0; at < count; at += 1) this.word(words[at] as number);
      this.#count(count);
      for (const text of payload.texts) this.#add(text);
    }
    this.end();
  }

  /** Writes a text after its length. */
  text(text: string): void {
    const size = this.#length >> 2;
    this.#length += 4;
    this.#write(text);
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

  /** Says how many words the command's payload has. */
  #count(words: number): void {
    const head = this.#start >> 2;
    this.#words[head] = (this.#words[head] as number) + words * PAYLOAD_WORD;
  }

  #add(text: string): void {
    if (text.length >= CHUNK) {
      this.#writePayloads();
      this.#payloads = text;
    } else {
      this.#payloads += text;
    }
    if (this.#payloads.length >= CHUNK) this.#writePayloads();
  }

  #writePayloads(): void {
    const payloads = this.#payloads;
    if (payloads === "") return;
    this.#payloads = "";
    this.#reserve(mostBytes(payloads));
    this.#size += this.#text.write(payloads, this.#size, "utf8");
  }

  /** Makes room for so many bytes of payloads. */
  #reserve(bytes: number): void {
    const needed = this.#size + bytes;
    if (needed <= this.#text.length) return;
    const old = this.#text;
    this.#text = Buffer.allocUnsafeSlow(needed);
    this.#text.set(old.subarray(0, this.#size));
  }

  #write(text: string): void {
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

  #pad(): void {
    while ((this.#length & 3) !== 0) {
      this.#bytes[this.#length] = 0;
      this.#length += 1;
    }
  }
}

/** The most bytes a text takes, its length and padding included. */
export function roomForText(text: string): number {
  return 8 + mostBytes(text);
}

/** The most bytes a text takes as UTF-8. */
function mostBytes(text: string): number {
  return text.length <= MEASURED ? 3 * text.length : Buffer.byteLength(text);
}

/** The bytes of a command for the words of its payload. */
function roomForPayload(payload: Payload): number {
  if (payload === undefined) return 0;
  if (6 * payload.length > MAX_PAYLOAD && mostJson(payload) > MAX_PAYLOAD) {
    throw new RangeError(`expected a payload of at most ${MAX_PAYLOAD} bytes of JSON, got more`);
  }
  return typeof payload === "string" ? 4 : 4 * payload.count;
}

/** The most bytes a payload may take as JSON. */
function mostJson(payload: string | Pieces): number {
  if (typeof payload === "string") return Buffer.byteLength(payload);
  const raw = Math.min(payload.length, MOST_TEXT);
  return bytesOf(payload) + 5 * raw + NUMBER * payload.count;
}

/** The most bytes that what a payload has as text takes. */
function bytesOf(payload: string | Pieces): number {
  const texts = typeof payload === "string" ? [payload] : payload.texts;
  return texts.reduce((sum, text) => sum + mostBytes(text), 0);
}
