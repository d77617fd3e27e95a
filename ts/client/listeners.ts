// Owns one list of listeners. What a listener throws, or rejects with, ends at `console.error`.
import type { Unsubscribe } from "../types.js";

/** The functions that listen to one thing, called in the order they came. */
export class Listeners<TValue> {
  // Wrapped, so that a function added twice is called twice and removed once.
  readonly #entries = new Set<{ readonly listener: (value: TValue) => unknown }>();

  /** Adds a listener; `name` says in the error what a wrong one was given to. */
  add(listener: (value: TValue) => unknown, name: string): Unsubscribe {
    if (typeof listener !== "function") {
      throw new TypeError(`${name}: expected a function, got ${typeof listener}`);
    }
    const entry = { listener };
    this.#entries.add(entry);
    return () => void this.#entries.delete(entry);
  }

  /** Calls those that listened when the call began and still do. */
  emit(value: TValue): void {
    for (const entry of Array.from(this.#entries)) {
      if (!this.#entries.has(entry)) continue;
      try {
        const result = entry.listener(value);
        // An async listener's failure would otherwise end a Node process.
        if (result instanceof Promise) result.catch(report);
      } catch (error) {
        report(error);
      }
    }
  }
}

function report(error: unknown): void {
  console.error("zocket: a listener failed:", error);
}
