// Owns one list of listeners. What a listener throws, or rejects with, ends at `console.error`.
import { wrongKind } from "./kind.js";
import type { Unsubscribe } from "./types.js";

/** The functions that listen to one thing, called in the order they came. */
export class Listeners<TArguments extends readonly unknown[]> {
  // Wrapped, so that a function added twice is called twice and removed once.
  readonly #entries = new Set<{ readonly listener: (...values: TArguments) => unknown }>();

  /** Whether nobody listens. */
  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  /** Adds a listener; `name` says in the error what a wrong one was given to. */
  add(listener: (...values: TArguments) => unknown, name: string): Unsubscribe {
    if (typeof listener !== "function") throw wrongKind(name, "a function", listener);
    const entry = { listener };
    this.#entries.add(entry);
    return () => void this.#entries.delete(entry);
  }

  /**
   * Calls those that listened when the call began and still do. Returns a promise for each asynchronous one; it is fulfilled
   * when that listener is done, or has failed. Each gets bytes of its own.
   */
  emit(...values: TArguments): Promise<void>[] {
    const pending: Promise<void>[] = [];
    let left = this.#entries.size;
    for (const entry of Array.from(this.#entries)) {
      left -= 1;
      if (!this.#entries.has(entry)) continue;
      try {
        const own = left > 0 ? (values.map(copied) as unknown as TArguments) : values;
        const result = entry.listener(...own);
        // A promise of any class: our own one takes it over, however it behaves. An async listener's failure would
        // otherwise end a Node process.
        if (Object(result) === result) {
          pending.push(Promise.resolve(result).then(() => {}, report));
        }
      } catch (error) {
        report(error);
      }
    }
    return pending;
  }
}

function copied(value: unknown): unknown {
  return value instanceof Uint8Array ? value.slice() : value;
}

function report(error: unknown): void {
  console.error("zocket: a listener failed:", error);
}
