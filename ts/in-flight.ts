// How many handler calls of each client are under way, where that is limited.
import type { Client } from "./clients.js";

interface Calls {
  count: number;
  /** Tells who waits that there is one less. */
  next: (() => void) | undefined;
}

/** Counts handler calls until their promises settle. */
export class InFlight {
  readonly #limit: number;
  /** Weak, so that a handler whose promise never settles does not keep a client that is gone. */
  readonly #calls = new WeakMap<Client, Calls>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  started(client: Client): void {
    const calls = this.#calls.get(client);
    if (calls) calls.count += 1;
    else this.#calls.set(client, { count: 1, next: undefined });
  }

  settled(client: Client): void {
    const calls = this.#calls.get(client);
    if (calls === undefined) return;
    calls.count -= 1;
    if (calls.count === 0) this.#calls.delete(client);
    calls.next?.();
    calls.next = undefined;
  }

  /** Resolves when the client may have one more; nothing if it may now. To be waited for by one at a time. */
  full(client: Client): Promise<void> | undefined {
    const calls = this.#calls.get(client);
    if (calls === undefined || calls.count < this.#limit) return undefined;
    return new Promise((resolve) => (calls.next = resolve));
  }
}
