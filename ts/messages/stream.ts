// A stream under way: takes items from the handler's generator as long as the client has room for them.
import { isFunction, isObject } from "../faults/check.js";
import type { OpenCalls } from "../context/clients.js";
import { contextHere, type Scope } from "../user-code/scope.js";
import type { Turn } from "../user-code/turn.js";

/** Items that may be on their way to the client at once. */
const CREDIT = 64;

/** A generator, synchronous or not. */
export interface Source {
  next(): unknown;
  return?(): unknown;
}

/** Sends items on, and hears of the end. */
export interface Sink {
  /** Sends an item, and returns the bytes of its frame. Throws if it does not fit. */
  item(value: unknown): number | PromiseLike<number>;
  /** The generator has returned. */
  done(value: unknown): void | PromiseLike<void>;
  /** The generator threw. */
  threw(error: unknown): PromiseLike<void>;
}

/** Whether a handler's result is a generator. */
export function isSource(result: unknown): result is Source {
  if (!isObject(result) || !isFunction((result as { readonly next?: unknown }).next)) return false;
  return Symbol.asyncIterator in result || Symbol.iterator in result;
}

/** One stream. */
export class Stream {
  readonly #source: Source;
  /** An abort ends the generator in the context in which it began. */
  readonly #context = contextHere();
  readonly #shared: OpenCalls;
  readonly #limit: number;
  /** Bytes of the items that are out, oldest first. */
  readonly #out: number[] = [];
  /** Goes on once there is room, or nothing is to be sent any more. */
  #wake: (() => void) | undefined = undefined;
  #isEnded = false;
  /** The code of the generator runs right now. */
  #isInside = false;
  /** What `return()` of the generator gave, once it was called. */
  #returned: unknown = undefined;
  #isReturned = false;

  /** The unacknowledged items of the client may have `limit` bytes; one item of each call may always be out. */
  constructor(source: Source, shared: OpenCalls, limit: number) {
    this.#source = source;
    this.#shared = shared;
    this.#limit = limit;
  }

  /** The client has taken the oldest so many items. */
  more(items: number): void {
    let freed = 0;
    for (const bytes of this.#out.splice(0, Math.min(items, this.#out.length))) freed += bytes;
    this.#free(freed);
    this.#wake?.();
  }

  /** Nothing is sent any more: ends the generator, also one that is at work, as soon as it stands at a `yield`. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    // A generator may end its own client. It can be ended itself only once it stands still.
    if (!this.#isInside) this.#return();
    this.#wake?.();
  }

  /** Takes items until the generator ends or is ended. Never rejects. */
  async run(sink: Sink, scope: Scope, turn: Turn): Promise<void> {
    try {
      await this.#take(sink, scope, turn);
    } catch (error) {
      this.#return();
      await sink.threw(error);
    }
    try {
      if (isObject(this.#returned)) await scope.later(this.#returned as PromiseLike<unknown>);
    } catch (error) {
      await sink.threw(error);
    }
    let left = 0;
    for (const bytes of this.#out.splice(0)) left += bytes;
    this.#free(left);
  }

  async #take(sink: Sink, scope: Scope, turn: Turn): Promise<void> {
    for (;;) {
      while (!this.#isEnded && !this.#hasRoom()) await this.#room();
      if (this.#isEnded) return;
      for (let wait = turn.next(false); wait; wait = turn.next(true)) await wait;
      if (this.#isEnded) return;
      this.#isInside = true;
      const next = this.#source.next();
      this.#isInside = false;
      if (this.#isEnded) this.#return();
      const step = (await scope.later(next as PromiseLike<unknown>)) as {
        readonly done?: unknown;
        readonly value?: unknown;
      };
      if (this.#isEnded) return;
      if (!isObject(step))
        throw new TypeError("the generator returned something that is not an object");
      if (step.done) {
        this.#isReturned = true;
        await sink.done(step.value);
        return;
      }
      const sent = sink.item(step.value);
      const bytes = typeof sent === "number" ? sent : await sent;
      this.#out.push(bytes);
      this.#shared.unacknowledged += bytes;
    }
  }

  #hasRoom(): boolean {
    if (this.#out.length === 0) return true;
    return this.#out.length < CREDIT && this.#shared.unacknowledged <= this.#limit;
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      const { waiting } = this.#shared;
      const wake = () => {
        this.#wake = undefined;
        waiting.delete(wake);
        resolve();
      };
      this.#wake = wake;
      waiting.add(wake);
    });
  }

  #free(bytes: number): void {
    if (bytes === 0) return;
    const shared = this.#shared;
    shared.unacknowledged -= bytes;
    // Each looks again for itself whether there is room.
    const waiting = [...shared.waiting];
    for (const wake of waiting) wake();
  }

  #return(): void {
    if (this.#isReturned) return;
    this.#isReturned = true;
    try {
      const source = this.#source;
      this.#returned = this.#context.runInAsyncScope(() => source.return?.());
    } catch (error) {
      // Its `finally` threw.
      this.#returned = Promise.reject(error);
      void (this.#returned as Promise<unknown>).catch(() => {});
    }
  }
}
