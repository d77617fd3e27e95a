// Counts the pending handler calls of each client, and the JSON of their messages.
import type { Client, HandlersInFlight } from "../context/clients.js";
import { ClientFault, type Faults } from "../faults/report.js";
import type { Held } from "./held.js";

/** Counts handler calls until their promises settle. */
export class InFlight {
  readonly #held: Held;
  readonly #faults: Faults;
  /** Clients that have reached the bound before. */
  readonly #told = new WeakSet<Client>();
  /** The most calls, and bytes of JSON, of one client; the engine tells once it has read the options. */
  maxCalls = Infinity;
  maxBytes = Infinity;

  constructor(held: Held, faults: Faults) {
    this.#held = held;
    this.#faults = faults;
  }

  /** Counts a call for a message of so many bytes, which holds as much as `size` says. */
  started(client: Client, bytes: number, size: number): HandlersInFlight {
    this.#held.take(client, size);
    const inFlight = (client.inFlight ??= { count: 0, bytes: 0, next: undefined });
    inFlight.count += 1;
    inFlight.bytes += bytes;
    return inFlight;
  }

  settled(client: Client, inFlight: HandlersInFlight, bytes: number, size: number): void {
    this.#held.release(client, size);
    inFlight.count -= 1;
    inFlight.bytes -= bytes;
    if (inFlight.count === 0 && client.inFlight === inFlight) client.inFlight = undefined;
    inFlight.next?.();
    inFlight.next = undefined;
  }

  /** Resolves when the client may have one more call. Returns `undefined` if it may now. Only one message at a time may wait. */
  full(client: Client, bytes: number): Promise<void> | undefined {
    const { inFlight } = client;
    // One is always let through, however long.
    if (inFlight === undefined || inFlight.count === 0) return undefined;
    if (inFlight.count < this.maxCalls && inFlight.bytes + bytes <= this.maxBytes) return undefined;
    this.#tell(client);
    return new Promise((resolve) => (inFlight.next = resolve));
  }

  #tell(client: Client): void {
    if (this.#told.has(client)) return;
    this.#told.add(client);
    const text =
      "the next messages of this client wait, because its pending handler calls reach maxHandlersInFlight, " +
      "or their messages hold more than maxPayload bytes";
    this.#faults.reportClient(() => new ClientFault(text), "HANDLERS", client.id);
  }
}
