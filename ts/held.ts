// How much JSON the messages hold that are not done: those that wait, are pending or have a handler under way. Bounded for
// the server as a whole; each client has bounds of its own besides.
import { getHeapStatistics } from "node:v8";

import { PAUSED, type Client, type Clients } from "./clients.js";
import type { Commands } from "./commands.js";
import { ClientFault, type Faults } from "./faults.js";
import type { Scope } from "./scope.js";

/** The part of V8's heap that messages may take, in bytes of JSON. Parsed, JSON can take twenty times as much. */
const PART_OF_HEAP = 32;
/** How long the clients that hold the most are only paused, in ms. */
const PATIENCE = 1_000;

/** What one server's messages hold. */
export class Held {
  readonly #clients: Clients;
  readonly #commands: Commands;
  readonly #faults: Faults;
  readonly #scope: Scope;
  readonly #limit = getHeapStatistics().heap_size_limit / PART_OF_HEAP;
  #total = 0;
  /** Runs while there is too much. */
  #timer: NodeJS.Timeout | undefined = undefined;
  readonly #paused = new Set<Client>();

  constructor(clients: Clients, commands: Commands, faults: Faults, scope: Scope) {
    this.#clients = clients;
    this.#commands = commands;
    this.#faults = faults;
    this.#scope = scope;
  }

  /** Counts a message that is not done. */
  take(client: Client, bytes: number): void {
    client.held += bytes;
    this.#total += bytes;
    if (this.#total > this.#limit) this.#over(client);
  }

  /** Takes back what {@link take} counted. */
  release(client: Client, bytes: number): void {
    // The end of the client took back all of it.
    if (client.phase === "gone") return;
    client.held -= bytes;
    this.#total -= bytes;
    if (this.#timer !== undefined && this.#total <= this.#limit) this.#calm();
  }

  /** Forgets a client that is gone. */
  end(client: Client): void {
    this.#total -= client.held;
    client.held = 0;
    this.#paused.delete(client);
    if (this.#timer !== undefined && this.#total <= this.#limit) this.#calm();
  }

  /** Ends the timer. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #over(client: Client): void {
    this.#pause(client);
    if (this.#timer !== undefined) return;
    // Enough of them that the others together have room to go on.
    let others = this.#total;
    for (const holder of this.#holders()) {
      if (others <= this.#limit / 2) break;
      others -= holder.held;
      this.#pause(holder);
    }
    this.#wait();
  }

  #wait(): void {
    // In nobody's context, as it is about all of them.
    const wait = () => setTimeout(() => this.#disconnect(), PATIENCE).unref();
    this.#timer = this.#scope.run(wait, undefined);
  }

  /** Cuts off as many of those that hold the most as it takes. */
  #disconnect(): void {
    let left = this.#total;
    for (const client of this.#holders()) {
      if (left <= this.#limit) break;
      left -= client.held;
      this.#commands.terminate(client.handle);
      const text = `cut off: the messages of all clients that are not done hold more than ${this.#limit} bytes of JSON`;
      const fault = () => new ClientFault(text);
      const faults = this.#faults;
      this.#scope.run(faults.reportClient, faults, fault, "HANDLERS", client.id);
    }
    // Until the last of them has ended.
    this.#wait();
  }

  /** Open clients, those that hold the most first. */
  #holders(): Client[] {
    const holders = [...this.#clients.all()].filter((it) => it.phase === "open" && it.held > 0);
    return holders.sort((one, other) => other.held - one.held);
  }

  #pause(client: Client): void {
    if (client.phase !== "open" || this.#paused.has(client)) return;
    this.#paused.add(client);
    pause(client, PAUSED.HELD, this.#commands);
  }

  #calm(): void {
    this.close();
    for (const client of this.#paused) resume(client, PAUSED.HELD, this.#commands);
    this.#paused.clear();
  }
}

/** Has the engine read a client no more, for one reason more. */
export function pause(client: Client, reason: number, commands: Commands): void {
  if (client.paused === 0) commands.pause(client.handle);
  client.paused |= reason;
}

/** Takes back a reason; with the last one the engine reads the client again. */
export function resume(client: Client, reason: number, commands: Commands): void {
  if ((client.paused & reason) === 0) return;
  client.paused &= ~reason;
  if (client.paused === 0 && client.phase === "open") commands.resume(client.handle);
}
