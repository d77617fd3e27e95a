// Counts the JSON of all unfinished messages: those that wait, are pending or have a pending handler. The server bounds the sum. Each
// client has bounds too.
import { performance } from "node:perf_hooks";

import type { Commands } from "../border/commands.js";
import { heap } from "../border/memory.js";
import type { Native } from "../border/native.js";
import type { Client, Clients } from "../context/clients.js";
import { ClientFault, type Faults } from "../faults/report.js";
import type { Scope } from "../user-code/scope.js";

/** The part of V8's heap that messages may take, in bytes of JSON. */
const PART_OF_HEAP = 32;
/** How many bytes of memory a byte of JSON may become. JSON that becomes more counts as more bytes. */
const GROWTH = 8;
/** How long the server only stops reading, in ms, before it cuts off the clients that hold the most. */
const PATIENCE = 1_000;

/** How long the messages of a client that is gone are counted, in ms. */
const ORPHANED = 30_000;

const now = performance.now.bind(performance);

/** The bytes that the messages of one server hold. */
export class Held {
  readonly #clients: Clients;
  readonly #commands: Commands;
  readonly #faults: Faults;
  readonly #scope: Scope;
  readonly #limit = heap() / PART_OF_HEAP;
  #native: Native | undefined = undefined;
  #isWeighed = false;
  /** The bytes of the messages of open clients, and of clients that are gone. */
  #total = 0;
  #orphaned = 0;
  /** Clients that are gone and have unfinished messages, and when they went. */
  readonly #orphans = new Map<Client, number>();
  /** Runs while there is too much. */
  #timer: NodeJS.Timeout | undefined = undefined;

  constructor(clients: Clients, commands: Commands, faults: Faults, scope: Scope) {
    this.#clients = clients;
    this.#commands = commands;
    this.#faults = faults;
    this.#scope = scope;
  }

  /** Tells what reads the clients. */
  attach(native: Native): void {
    this.#native = native;
  }

  /** Counts a message that is not done; see {@link heldSize}. */
  take(client: Client, size: number): void {
    client.held += size;
    this.#total += size;
    // Only now, as a server whose messages are all done at once needs no weights.
    if (!this.#isWeighed) {
      this.#isWeighed = true;
      this.#native?.weigh();
    }
    if (this.#isTooMuch) this.#over();
  }

  /** Takes back what {@link take} counted. */
  release(client: Client, size: number): void {
    if (client.phase !== "gone") {
      this.#total -= size;
    } else if (this.#orphans.has(client)) {
      this.#orphaned -= size;
      if (client.held === size) this.#orphans.delete(client);
    } else {
      // It took so long that it is no longer counted.
      return;
    }
    client.held -= size;
    this.#removed();
  }

  /**
   * Forgets what waits for a client that is gone. A message that is pending or has a handler under way still holds its payload,
   * as long as user code does: it stays counted until it is done.
   */
  end(client: Client): void {
    this.#total -= client.held;
    client.held -= client.waitingHeld;
    client.waitingHeld = 0;
    if (client.held > 0) {
      this.#orphans.set(client, now());
      this.#orphaned += client.held;
    }
    if (this.#isTooMuch) this.#over();
    else this.#removed();
  }

  /** Ends the timer. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The messages of clients that are gone have a separate bound of the same size. No client is cut off because of them. */
  get #isTooMuch(): boolean {
    return this.#total > this.#limit || this.#orphaned > this.#limit;
  }

  #over(): void {
    if (this.#timer !== undefined) return;
    // The server reads no client until there is room, because the next message of any client could be too much.
    this.#native?.hold(true);
    this.#wait();
  }

  #wait(): void {
    // In no client's context, because it is about all of them.
    const wait = () => setTimeout(() => this.#look(), PATIENCE).unref();
    this.#timer = this.#scope.run(wait, undefined);
  }

  #look(): void {
    this.#forget();
    if (this.#isTooMuch) {
      this.#cutOff();
      // Until the last of them has ended.
      this.#wait();
    } else {
      this.#calm();
    }
  }

  /** Stops counting the messages of clients that have been gone for long, because they may never be done. */
  #forget(): void {
    const before = now() - ORPHANED;
    for (const [client, endedAt] of this.#orphans) {
      // They are in the order of their ends.
      if (endedAt > before) break;
      this.#orphans.delete(client);
      this.#orphaned -= client.held;
    }
  }

  /** Cuts off as many clients as needed, those that hold the most first. */
  #cutOff(): void {
    let left = this.#total;
    if (left <= this.#limit) return;
    const open = [...this.#clients.all()].filter((it) => it.phase === "open" && it.held > 0);
    const holders = open.sort((one, other) => other.held - one.held);
    for (const client of holders) {
      if (left <= this.#limit) break;
      left -= client.held;
      this.#commands.terminate(client.handle);
      const text = `the server cut this client off, because the unfinished messages of all clients hold more than ${this.#limit} bytes of JSON`;
      const fault = () => new ClientFault(text);
      const faults = this.#faults;
      this.#scope.run(faults.reportClient, faults, fault, "HANDLERS", client.id);
    }
  }

  #removed(): void {
    if (this.#timer !== undefined && !this.#isTooMuch) this.#calm();
  }

  #calm(): void {
    this.close();
    this.#native?.hold(false);
  }
}

/** How many bytes a message counts for: its bytes of JSON, or more if it is much larger once it is parsed. */
export function heldSize(bytes: number, weight: number): number {
  return Math.max(bytes, weight / GROWTH);
}
