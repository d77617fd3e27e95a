// Writes the commands for the engine, each as a row of words.
import { ANSWER, NO_NUMBER_HIGH, OPCODE } from "./codes.js";
import type { HandOver } from "./hand-over.js";
import type { Payload } from "./payload.js";
import { roomForText, type Words } from "./words.js";

/** The lower half of a number of 64 bits is counted in this. */
const HALF = 2 ** 32;

/** Clients that a send leaves out: those of this process by handle, the others by id. */
export interface Excepted {
  readonly handles: readonly number[];
  readonly ids: readonly string[];
}

/** Tells the engine what to do, in order. Clients go by the engine's handles, routes by their numbers. */
export class Commands {
  readonly #handOver: HandOver;
  readonly #words: Words;

  constructor(handOver: HandOver) {
    this.#handOver = handOver;
    this.#words = handOver.words;
  }

  /** Sends the 101; from now on the client may be sent to. */
  admit(handle: number): void {
    this.#client(OPCODE.ADMIT, handle);
  }

  /**
   * Refuses an upgrade, which frees its handle. `issues` is the JSON text of an array, or empty; `retryAfterMs` may be
   * `NO_RETRY`.
   */
  refuse(
    handle: number,
    status: number,
    reason: number,
    retryAfterMs: number,
    issues: string,
  ): void {
    const words = this.#words;
    this.#handOver.start(OPCODE.REFUSE, 16 + roomForText(issues));
    words.word(handle);
    words.word(status);
    words.word(reason);
    words.word(retryAfterMs);
    words.text(issues);
    this.#handOver.end();
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

  /** Has the engine tell that a client is open. */
  announce(handle: number): void {
    this.#client(OPCODE.ANNOUNCE, handle);
  }

  /** Closes a client behind what was sent to it. */
  close(handle: number, code: number, reason: string): void {
    const words = this.#words;
    this.#handOver.start(OPCODE.CLOSE, 8 + roomForText(reason));
    words.word(handle);
    words.word(code);
    words.text(reason);
    this.#handOver.end();
  }

  join(handle: number, name: string): void {
    this.#member(OPCODE.JOIN, handle, name);
  }

  leave(handle: number, name: string): void {
    this.#member(OPCODE.LEAVE, handle, name);
  }

  /** Sends to one client. */
  toOne(route: number, handle: number, payload: Payload): void {
    const words = this.#words;
    this.#handOver.startWith(payload, OPCODE.TO, 12);
    words.word(route);
    words.word(1);
    words.word(handle);
    this.#handOver.endWith(payload);
  }

  /** Sends to some clients, once to each. */
  to(route: number, handles: readonly number[], payload: Payload): void {
    const words = this.#words;
    this.#handOver.startWith(payload, OPCODE.TO, 8 + 4 * handles.length);
    words.word(route);
    this.#handles(handles);
    this.#handOver.endWith(payload);
  }

  /** Sends to some clients by their ids, wherever they are, once to each. Each id is a UUID in lower case. */
  toIds(route: number, ids: readonly string[], payload: Payload): void {
    const words = this.#words;
    this.#handOver.startWith(payload, OPCODE.TO_IDS, 8 + 16 * ids.length);
    words.word(route);
    words.ids(ids);
    this.#handOver.endWith(payload);
  }

  /** Gives a route that the engine does not know a number. `kind` is one of `KIND`. */
  route(number: number, kind: number, name: string): void {
    const words = this.#words;
    this.#handOver.start(OPCODE.ROUTE, 8 + roomForText(name));
    words.word(number);
    words.word(kind);
    words.text(name);
    this.#handOver.end();
  }

  /** Asks for the event BUS with this number once the bus has all that was published before. */
  flush(number: number): void {
    const words = this.#words;
    this.#handOver.start(OPCODE.FLUSH, 4);
    words.word(number);
    this.#handOver.end();
  }

  /** Leaves clients of other processes out of the send that follows. */
  #exceptIds(ids: readonly string[]): void {
    if (ids.length === 0) return;
    this.#handOver.start(OPCODE.EXCEPT_IDS, 4 + 16 * ids.length);
    this.#words.ids(ids);
    this.#handOver.end();
  }

  /** Asks for the event BUS with this number once the bus has confirmed all rooms that were joined before. */
  mark(number: number): void {
    const words = this.#words;
    this.#handOver.start(OPCODE.MARK, 4);
    words.word(number);
    this.#handOver.end();
  }

  /** Sends to everybody in some rooms, once to each client, with these left out. */
  toRooms(
    route: number,
    names: readonly string[],
    payload: Payload,
    { handles: except, ids }: Excepted,
  ): void {
    this.#exceptIds(ids);
    const words = this.#words;
    let needed = 12 + 4 * except.length;
    for (const name of names) needed += roomForText(name);
    this.#handOver.startWith(payload, OPCODE.ROOMS, needed);
    words.word(route);
    this.#handles(except);
    words.word(names.length);
    for (const name of names) words.name(name);
    this.#handOver.endWith(payload);
  }

  /** Sends to every client, with these left out. */
  broadcast(route: number, payload: Payload, { handles: except, ids }: Excepted): void {
    this.#exceptIds(ids);
    const words = this.#words;
    this.#handOver.startWith(payload, OPCODE.BROADCAST, 8 + 4 * except.length);
    words.word(route);
    this.#handles(except);
    this.#handOver.endWith(payload);
  }

  /**
   * Answers a message of an incoming route with `$error`. `code` is one of `BAD`, or `BAD.DECLARED` and the place of a declared one.
   * `number` is that of the message, if it has one. `detail` is JSON of issues, or of a declared error's data.
   */
  error(handle: number, code: number, route: number, number?: number, detail?: Payload): void {
    const words = this.#words;
    this.#handOver.startWith(detail, OPCODE.ERROR, 20);
    words.word(handle);
    words.word(code);
    words.word(route);
    if (number === undefined) words.double(0, NO_NUMBER_HIGH);
    else words.double(number % HALF, Math.floor(number / HALF));
    this.#handOver.endWith(detail);
  }

  /** Answers a message with a number, in one of the ways of `ANSWER`. */
  answer(how: number, handle: number, number: number, payload: Payload): void {
    const words = this.#words;
    this.#handOver.startWith(payload, OPCODE.ANSWER, 16);
    words.word(payload instanceof Uint8Array ? how | ANSWER.BYTES : how);
    words.word(handle);
    words.double(number % HALF, Math.floor(number / HALF));
    this.#handOver.endWith(payload);
  }

  /** Ends a call that gets no answer. */
  settle(handle: number, number: number): void {
    this.#two(OPCODE.SETTLE, handle, number);
  }

  /** Asks who is in a room: one of `MEMBERS`. */
  members(question: number, asks: number, name: string): void {
    const words = this.#words;
    this.#handOver.start(OPCODE.MEMBERS, 8 + roomForText(name));
    words.word(question);
    words.word(asks);
    words.name(name);
    this.#handOver.end();
  }

  /** Asks a shard for more of its answer to that. */
  moreMembers(question: number, shard: number): void {
    this.#two(OPCODE.MORE_MEMBERS, question, shard);
  }

  #handles(handles: readonly number[]): void {
    const words = this.#words;
    words.word(handles.length);
    for (const handle of handles) words.word(handle);
  }

  #client(opcode: number, handle: number): void {
    const words = this.#words;
    this.#handOver.start(opcode, 4);
    words.word(handle);
    this.#handOver.end();
  }

  #two(opcode: number, first: number, second: number): void {
    const words = this.#words;
    this.#handOver.start(opcode, 8);
    words.word(first);
    words.word(second);
    this.#handOver.end();
  }

  #member(opcode: number, handle: number, name: string): void {
    const words = this.#words;
    this.#handOver.start(opcode, 4 + roomForText(name));
    words.word(handle);
    words.name(name);
    this.#handOver.end();
  }
}
