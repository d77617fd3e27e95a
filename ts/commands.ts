// Writes the binary commands into one reused buffer, and hands it over when it is full enough or the work is done. What
// each command means is the engine's business.
import { MAX_PAYLOAD } from "./native.js";

const OPCODE = {
  ADMIT: 1,
  REFUSE: 2,
  RELEASE: 3,
  JOIN: 4,
  LEAVE: 5,
  TO: 6,
  ROOMS: 7,
  BROADCAST: 8,
  PAUSE: 10,
  RESUME: 11,
} as const;

/** Payload length that says there is no payload. */
const NO_PAYLOAD = 0xffff_ffff;

/** The buffer is handed over when it holds this much, in bytes. */
const HAND_OVER = 64 * 1024;

/** Bytes of the reused buffer. A command that needs more gets a buffer of its own. */
const CAPACITY = 256 * 1024;

/** Up to this many characters a loop beats the call into `Buffer`. */
const SHORT = 16;

/** Up to this many characters the worst case of three bytes each is reserved; longer text is measured. */
const MEASURED = 4_096;

/** First byte of a room name that is not well-formed text; UTF-8 never has it. */
const ILL_FORMED = 0xff;

const settled = Promise.resolve();

/** JSON text of a payload; `undefined` for none. */
export type Payload = string | undefined;

/** The way to the engine. Within a batch nothing is handed over before the end, unless much has come together. */
export class Commands {
  readonly #submit: (commands: Uint8Array, length: number) => void;
  readonly #fail: (error: unknown) => void;
  #bytes = Buffer.allocUnsafeSlow(CAPACITY);
  #words = new Uint32Array(this.#bytes.buffer);
  /** Bytes written; between commands a multiple of four. */
  #length = 0;
  #batch = false;
  #scheduled = false;
  #closed = false;

  /** `fail` is told when the engine did not take the commands, which are lost then. */
  constructor(
    submit: (commands: Uint8Array, length: number) => void,
    fail: (error: unknown) => void,
  ) {
    this.#submit = submit;
    this.#fail = fail;
  }

  /** From now on commands wait for {@link endBatch}. */
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

  admit(handle: number): void {
    this.#client(OPCODE.ADMIT, handle);
  }

  /** `body` is JSON text if it starts with `{`, plain text otherwise; empty for a default. */
  refuse(handle: number, status: number, reason: number, body: string): void {
    this.#reserve(24 + roomFor(body));
    const start = this.#head(OPCODE.REFUSE);
    this.#word(handle);
    this.#word(status);
    this.#word(reason);
    this.#sized(body);
    this.#end(start);
  }

  release(handle: number): void {
    this.#client(OPCODE.RELEASE, handle);
  }

  pause(handle: number): void {
    this.#client(OPCODE.PAUSE, handle);
  }

  resume(handle: number): void {
    this.#client(OPCODE.RESUME, handle);
  }

  join(handle: number, name: string): void {
    this.#member(OPCODE.JOIN, handle, name);
  }

  leave(handle: number, name: string): void {
    this.#member(OPCODE.LEAVE, handle, name);
  }

  /** Sends to one client. */
  toOne(route: number, handle: number, payload: Payload): void {
    this.#reserve(28 + roomFor(payload));
    const start = this.#head(OPCODE.TO);
    this.#word(route);
    this.#word(1);
    const size = this.#word(NO_PAYLOAD);
    this.#word(handle);
    this.#payload(size, payload);
    this.#end(start);
  }

  /** Sends to some clients, once to each. */
  to(route: number, handles: readonly number[], payload: Payload): void {
    this.#reserve(24 + 4 * handles.length + roomFor(payload));
    const start = this.#head(OPCODE.TO);
    this.#word(route);
    this.#word(handles.length);
    const size = this.#word(NO_PAYLOAD);
    for (const handle of handles) this.#word(handle);
    this.#payload(size, payload);
    this.#end(start);
  }

  /** Sends to everybody in some rooms, once to each client. */
  toRooms(route: number, names: readonly string[], payload: Payload): void {
    let needed = 24 + roomFor(payload);
    for (const name of names) needed += 8 + roomFor(name);
    this.#reserve(needed);
    const start = this.#head(OPCODE.ROOMS);
    this.#word(route);
    this.#word(names.length);
    const size = this.#word(NO_PAYLOAD);
    for (const name of names) this.#name(name);
    this.#payload(size, payload);
    this.#end(start);
  }

  /** Sends to every client. */
  broadcast(route: number, payload: Payload): void {
    this.#reserve(20 + roomFor(payload));
    const start = this.#head(OPCODE.BROADCAST);
    this.#word(route);
    const size = this.#word(NO_PAYLOAD);
    this.#payload(size, payload);
    this.#end(start);
  }

  #client(opcode: number, handle: number): void {
    this.#reserve(12);
    const start = this.#head(opcode);
    this.#word(handle);
    this.#end(start);
  }

  #member(opcode: number, handle: number, name: string): void {
    this.#reserve(20 + roomFor(name));
    const start = this.#head(opcode);
    this.#word(handle);
    this.#name(name);
    this.#end(start);
  }

  /** Makes room for a command of at most so many bytes. */
  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    this.flush();
    if (bytes > this.#bytes.length) this.#allocate(bytes);
  }

  #allocate(bytes: number): void {
    this.#bytes = Buffer.allocUnsafeSlow(Math.ceil(bytes / 4) * 4);
    this.#words = new Uint32Array(this.#bytes.buffer);
  }

  /** Starts a command and returns where it starts, for {@link #end}. */
  #head(opcode: number): number {
    const start = this.#length;
    this.#words[start >> 2] = opcode;
    this.#length = start + 8;
    return start;
  }

  /** Writes a word and returns where. */
  #word(word: number): number {
    const at = this.#length >> 2;
    this.#words[at] = word;
    this.#length += 4;
    return at;
  }

  /** Ends a command: only now its length is known. */
  #end(start: number): void {
    this.#words[(start >> 2) + 1] = (this.#length - start) >> 2;
    if (this.#length >= HAND_OVER) this.flush();
    else if (!this.#batch && !this.#scheduled) {
      this.#scheduled = true;
      void settled.then(this.#later);
    }
  }

  readonly #later = (): void => {
    this.#scheduled = false;
    if (!this.#batch) this.flush();
  };

  /** Writes a payload; its size goes to the word at `size`, which says that there is none. */
  #payload(size: number, payload: Payload): void {
    if (payload !== undefined) this.#words[size] = this.#text(payload);
  }

  /** Writes a text after its size. */
  #sized(text: string): void {
    const size = this.#word(0);
    this.#words[size] = this.#text(text);
  }

  /** Writes a room name after its size; names that are no well-formed text would collide as UTF-8. */
  #name(name: string): void {
    if (name.isWellFormed()) {
      this.#sized(name);
      return;
    }
    const size = this.#word(0);
    const start = this.#length;
    this.#bytes[start] = ILL_FORMED;
    const bytes = 1 + this.#bytes.write(name, start + 1, "utf16le");
    this.#length = start + bytes;
    this.#pad();
    this.#words[size] = bytes;
  }

  /** Writes text and returns how many bytes it took, padding aside. */
  #text(text: string): number {
    const start = this.#length;
    const bytes = this.#short(text, start) ?? this.#bytes.write(text, start, "utf8");
    this.#length = start + bytes;
    this.#pad();
    return bytes;
  }

  /** Writes short ASCII text. */
  #short(text: string, start: number): number | undefined {
    const { length } = text;
    if (length > SHORT) return undefined;
    for (let index = 0; index < length; index += 1) {
      const unit = text.charCodeAt(index);
      if (unit > 0x7f) return undefined;
      this.#bytes[start + index] = unit;
    }
    return length;
  }

  #pad(): void {
    while ((this.#length & 3) !== 0) {
      this.#bytes[this.#length] = 0;
      this.#length += 1;
    }
  }
}

/** The most bytes a text can take, padding included. */
function roomFor(text: Payload): number {
  if (text === undefined) return 0;
  if (text.length <= MEASURED) return 4 + 3 * text.length;
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_PAYLOAD) {
    throw new RangeError(
      `expected a payload of at most ${MAX_PAYLOAD} bytes of JSON, got ${bytes}`,
    );
  }
  return 4 + bytes;
}
