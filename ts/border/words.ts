// The buffer for commands, in words of 32 bits. It is used again for each hand-over.
import { ILL_FORMED, PAYLOAD_WORD } from "./codes.js";

/** Bytes of the reused buffer. Longer commands get a new buffer. Memory that is never touched costs nothing. */
const CAPACITY = 256 * 1024;

/** Up to this many characters a loop beats the call into `Buffer`. */
const SHORT = 16;

/** Up to this many characters the worst case of three bytes each is reserved; longer text is measured. */
const MEASURED = 60_000;

/** Commands as words. A command is `start`, then what it has, then `end`; there must be room for all of it. */
export class Words {
  #bytes = Buffer.allocUnsafeSlow(CAPACITY);
  #words = new Uint32Array(this.#bytes.buffer);
  /** Bytes written; a multiple of four whenever a word is written. */
  #length = 0;
  /** Where the command starts that is being written. */
  #start = 0;

  /** The number of written {@link bytes}. */
  get length(): number {
    return this.#length;
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Whether there is room for so many more bytes. */
  hasRoom(bytes: number): boolean {
    return this.#length + bytes <= this.#bytes.length;
  }

  /** Makes room for so many more bytes. */
  reserve(bytes: number): void {
    if (this.hasRoom(bytes)) return;
    const old = this.#bytes;
    this.#allocate(this.#length + bytes);
    this.#bytes.set(old.subarray(0, this.#length));
  }

  /** Forgets what is written. */
  clear(): void {
    this.#length = 0;
    if (this.#bytes.length > CAPACITY) this.#allocate(CAPACITY);
  }

  /** Starts a command with its head, which takes eight bytes. */
  start(opcode: number): void {
    this.#start = this.#length;
    this.#words[this.#start >> 2] = opcode;
    this.#length += 8;
  }

  /** Ends the command: only now its length is known. */
  end(): void {
    this.#words[(this.#start >> 2) + 1] = (this.#length - this.#start) >> 2;
  }

  /** Writes a word. */
  word(word: number): void {
    this.#words[this.#length >> 2] = word;
    this.#length += 4;
  }

  /** Writes a number of two words. */
  double(low: number, high: number): void {
    this.word(low);
    this.word(high);
  }

  /** Says how many words the command's payload has. */
  count(words: number): void {
    const head = this.#start >> 2;
    this.#words[head] = (this.#words[head] as number) + words * PAYLOAD_WORD;
  }

  /** Writes a text after its length. */
  text(text: string): void {
    const size = this.#length >> 2;
    this.#length += 4;
    this.#write(text);
    this.#words[size] = this.#length - 4 * (size + 1);
    this.#pad();
  }

  /** Writes a room name after its length. A name with lone surrogates is not written as UTF-8, because different names would then be equal. */
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

  /** Writes the 16 bytes of each UUID after their number. */
  ids(ids: readonly string[]): void {
    this.word(ids.length);
    for (const id of ids) {
      this.#length += this.#bytes.write(id.replaceAll("-", ""), this.#length, "hex");
    }
  }

  #allocate(bytes: number): void {
    this.#bytes = Buffer.allocUnsafeSlow(Math.ceil(bytes / 4) * 4);
    this.#words = new Uint32Array(this.#bytes.buffer);
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

/** The most bytes a text takes as words, its length and padding included. */
export function roomForText(text: string): number {
  return 8 + mostBytes(text);
}

/** The most bytes a text takes as UTF-8. */
export function mostBytes(text: string): number {
  return text.length <= MEASURED ? 3 * text.length : Buffer.byteLength(text);
}
