// Decides how soon a connection may be replaced. Applications call `reconnect()` in `onClose`, at once or after they fetched
// a token. Each replaced connection and each failed attempt calls `onClose` again, so that this could go round for ever.

/** A connection that was open for so many ms has proven that the server keeps its clients. */
export const PROVEN_AFTER = 5_000;
/** How many calls in a row act at once, until a connection has proven itself. */
const AT_ONCE = 5;

/** What becomes of a call: it acts now, as soon as the rules allow it, or never. */
export type Decision = "at once" | "later" | "never";

/** What speaks for and against connecting at once. */
export class Haste {
  /** Connections and attempts in a row that ended before they proved themselves, and the end of the one before. */
  failures = 0;
  /** Calls in a row that acted at once. */
  #hurries = 0;
  /** When the last attempt began. */
  #began = 0;
  /** How many listeners of ends are at work. An asynchronous one is until its promise is settled. */
  #listeners = 0;
  /** Those of them that were told of the end which `reconnect()` itself caused, when it made the current connection. */
  #echoes = new Set<Promise<void>>();

  /** An attempt begins. */
  began(): void {
    this.#began = Date.now();
  }

  /** A connection or an attempt is over. */
  left(): void {
    this.#echoes = new Set();
  }

  /** The next attempt takes the place of a connection. Returns what {@link telling} is to know of it. */
  replaced(): Set<Promise<void>> {
    return this.#echoes;
  }

  /** It ended by itself. */
  failed(): void {
    this.failures += 1;
  }

  /** A call acted at once. */
  hurried(): void {
    this.#hurries += 1;
  }

  /** The connection was open for long enough. A call that waits for this goes on to count as one in a row. */
  proven(isPostponed: boolean): void {
    this.failures = 0;
    if (!isPostponed) this.#hurries = 0;
  }

  /** Tells of an end. */
  telling(tell: () => readonly Promise<void>[], echoes?: Set<Promise<void>>): void {
    this.#listeners += 1;
    for (const promise of tell()) {
      this.#listeners += 1;
      echoes?.add(promise);
      void promise.then(() => {
        this.#listeners -= 1;
        echoes?.delete(promise);
      });
    }
    this.#listeners -= 1;
  }

  /** For a call while the connection is open. */
  whileOpen(): Decision {
    // The listener means the connection that it was told of, and that one has its successor.
    for (const promise of this.#echoes) {
      this.#echoes.delete(promise);
      return "never";
    }
    return this.#hurries < AT_ONCE || this.#isSlow() ? "at once" : "later";
  }

  /** For a call while there is no connection and no attempt. */
  whileWaiting(): Decision {
    const isFirst = this.#listeners > 0 ? this.failures < 2 : this.#hurries < AT_ONCE;
    return isFirst || this.#isSlow() ? "at once" : "later";
  }

  /** Whether the last attempt began long ago, so that another one now is no storm. */
  #isSlow(): boolean {
    // A clock that was put back must not forbid anything.
    return Math.abs(Date.now() - this.#began) >= PROVEN_AFTER;
  }
}
