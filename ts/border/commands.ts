// The commands the engine understands, each as the words it consists of.
import { roomForText, type CommandBuffer } from "./hand-over.js";
import type { Payload } from "./payload.js";

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
  TERMINATE: 12,
} as const;

/** Tells the engine what to do, in order. Clients go by the engine's handles, routes by their numbers. */
export class Commands {
  readonly #buffer: CommandBuffer;

  constructor(buffer: CommandBuffer) {
    this.#buffer = buffer;
  }

  /** Sends the 101; from now on the client may be sent to. */
  admit(handle: number): void {
    this.#client(OPCODE.ADMIT, handle);
  }

  /**
   * Refuses an upgrade, which frees its handle. `body` is JSON text if it starts with `{`, plain text otherwise; empty for
   * a default.
   */
  refuse(handle: number, status: number, reason: number, body: string): void {
    const buffer = this.#buffer;
    buffer.start(OPCODE.REFUSE, 12 + roomForText(body));
    buffer.word(handle);
    buffer.word(status);
    buffer.word(reason);
    buffer.text(body);
    buffer.end();
  }

  /** Frees the handle of a client that is gone. */
  release(handle: number): void {
    this.#client(OPCODE.RELEASE, handle);
  }

  /** Stops the reading of a client. */
  pause(handle: number): void {
    this.#client(OPCODE.PAUSE, handle);
  }

  /** Reads a paused client again. */
  resume(handle: number): void {
    this.#client(OPCODE.RESUME, handle);
  }

  /** Cuts a client off. */
  terminate(handle: number): void {
    this.#client(OPCODE.TERMINATE, handle);
  }

  join(handle: number, name: string): void {
    this.#member(OPCODE.JOIN, handle, name);
  }

  leave(handle: number, name: string): void {
    this.#member(OPCODE.LEAVE, handle, name);
  }

  /** Sends to one client. */
  toOne(route: number, handle: number, payload: Payload): void {
    const buffer = this.#buffer;
    buffer.startWith(payload, OPCODE.TO, 12);
    buffer.word(route);
    buffer.word(1);
    buffer.word(handle);
    buffer.endWith(payload);
  }

  /** Sends to some clients, once to each. */
  to(route: number, handles: readonly number[], payload: Payload): void {
    const buffer = this.#buffer;
    buffer.startWith(payload, OPCODE.TO, 8 + 4 * handles.length);
    buffer.word(route);
    buffer.word(handles.length);
    for (const handle of handles) buffer.word(handle);
    buffer.endWith(payload);
  }

  /** Sends to everybody in some rooms, once to each client. */
  toRooms(route: number, names: readonly string[], payload: Payload): void {
    const buffer = this.#buffer;
    let needed = 8;
    for (const name of names) needed += roomForText(name);
    buffer.startWith(payload, OPCODE.ROOMS, needed);
    buffer.word(route);
    buffer.word(names.length);
    for (const name of names) buffer.name(name);
    buffer.endWith(payload);
  }

  /** Sends to every client. */
  broadcast(route: number, payload: Payload): void {
    const buffer = this.#buffer;
    buffer.startWith(payload, OPCODE.BROADCAST, 4);
    buffer.word(route);
    buffer.endWith(payload);
  }

  #client(opcode: number, handle: number): void {
    const buffer = this.#buffer;
    buffer.start(opcode, 4);
    buffer.word(handle);
    buffer.end();
  }

  #member(opcode: number, handle: number, name: string): void {
    const buffer = this.#buffer;
    buffer.start(opcode, 4 + roomForText(name));
    buffer.word(handle);
    buffer.name(name);
    buffer.end();
  }
}
