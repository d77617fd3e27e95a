// Loops over the messages of a route, and promises of the next one. Both last until the client is closed.
import { ZocketError, type CallErrorCode } from "../zocket-error.js";
import { unwatch, watch } from "./aborts.js";
import { Feed, iteratorOf } from "./feed.js";
import { optionsOf } from "./options-of.js";
import type { MessageIterator, Unsubscribe } from "./types.js";

/** What they need of the client. */
export interface Source {
  on(route: string, listener: (payload: unknown) => void): Unsubscribe;
  /** Whether the client does not connect any more. */
  isClosed(): boolean;
}

/** The loops and promises of one client. */
export class Subscriptions {
  readonly #source: Source;
  /** Ends each of them. */
  readonly #ends = new Set<() => void>();

  constructor(source: Source) {
    this.#source = source;
  }

  /** `client.on.a.b[Symbol.asyncIterator]()`. */
  iterate(route: string): MessageIterator<unknown> {
    const feed = new Feed(() => {
      off();
      this.#ends.delete(end);
    });
    const end = () => feed.end();
    const off = this.#source.on(route, (payload) => feed.push(payload));
    this.#begin(end);
    return iteratorOf(feed);
  }

  /** `client.once.a.b(options)`. Throws a `TypeError` for a wrong option. */
  once(route: string, options: unknown): Promise<unknown> {
    const { timeout, signal } = optionsOf(`once.${route}`, options, 0);
    return new Promise((resolve, reject) => {
      const settle = (how: () => void) => {
        off();
        clearTimeout(timer);
        unwatch(signal, aborted);
        this.#ends.delete(closed);
        how();
      };
      const fail = (code: CallErrorCode, message: string, reason?: unknown) => {
        // oxlint-disable-next-line prefer-promise-reject-errors -- a signal's reason may be anything
        settle(() => reject(reason ?? new ZocketError({ code, route, message })));
      };
      const off = this.#source.on(route, (payload) => settle(() => resolve(payload)));
      const aborted = () => fail("ABORTED", "the signal fired", signal?.reason);
      const closed = () => fail("CLOSED", "the client is closed");
      const late = () => fail("TIMEOUT", `no message came within ${timeout} ms`);
      const timer = timeout > 0 ? setTimeout(late, timeout) : undefined;
      if (signal?.aborted) return aborted();
      watch(signal, aborted);
      this.#begin(closed);
    });
  }

  /** The client does not connect any more. */
  closed(): void {
    for (const end of this.#ends) end();
  }

  #begin(end: () => void): void {
    if (this.#source.isClosed()) end();
    else this.#ends.add(end);
  }
}
