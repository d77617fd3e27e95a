// What a server knows of its bus: whether there is a connection, and who waits for something.
import type { Commands } from "../border/commands.js";
import type { HandOver } from "../border/hand-over.js";
import type { Native } from "../border/native.js";
import { STOPPED } from "../context/orders.js";
import type { Faults } from "../faults/report.js";
import type { KnownBus } from "./settings.js";

/** How long `ready` and `synced` wait, in ms. */
const PATIENCE = 10_000;

/** The value of a BUS event. */
interface News {
  /** Whether there is a connection now. */
  readonly connected?: boolean;
  /** Whether there was none, as far as `onError` has heard. */
  readonly wasAway?: boolean;
  readonly message?: string;
  /** Something that went wrong with single messages. */
  readonly trouble?: string;
  /** A request that is done. */
  readonly done?: number;
  /** Why it failed. */
  readonly error?: string;
  /** Nothing follows. */
  readonly ended?: boolean;
}

/** What the engine is asked. */
type Asked = Pick<Native, "bus" | "busTrouble">;

/** Somebody who waits. */
interface Waiter {
  /** The call, as errors name it. */
  readonly place: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** The bus of one server, or that it has none. */
export class Joined {
  readonly #bus: KnownBus | undefined;
  readonly #commands: Commands;
  readonly #handOver: HandOver;
  readonly #faults: Faults;
  #engine: Asked | undefined;
  #isOver = false;
  /** Who waits for the first connection. */
  readonly #connecting = new Set<Waiter>();
  /** Who waits for subscriptions, by number. */
  readonly #syncing = new Map<number, Waiter>();
  #last = 0;
  #end = (): void => {};

  constructor(bus: KnownBus | undefined, commands: Commands, handOver: HandOver, faults: Faults) {
    this.#bus = bus;
    this.#commands = commands;
    this.#handOver = handOver;
    this.#faults = faults;
  }

  /** Whether the bus is gone for good. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Sets the engine, which is asked about the bus. It may have a bus for longer than this thread knows. */
  attach(engine: Asked): void {
    this.#engine = engine;
  }

  get #isConnected(): boolean {
    return this.#engine?.bus()?.["connected"] === 1;
  }

  /** Why there is no connection. */
  get #why(): string {
    return this.#engine?.busTrouble() ?? "";
  }

  /** Takes the value of a BUS event. */
  hear({ connected, wasAway, message = "", trouble, done, error, ended }: News): void {
    if (connected !== undefined) {
      if (connected) settle(this.#connecting, this.#connecting);
      if (!connected || wasAway === true) this.#faults.reportBus(busError(message), connected);
    }
    if (trouble !== undefined) this.#faults.reportBus(busError(trouble));
    if (done !== undefined) {
      const waiter = this.#syncing.get(done);
      this.#syncing.delete(done);
      if (waiter && error === undefined) settle([waiter]);
      else if (waiter) refuse(waiter, error as string);
    }
    if (ended === true) {
      this.#isOver = true;
      this.#end();
    }
  }

  /** Resolves once the bus is connected, if it is required. */
  ready(): Promise<void> {
    if (this.#bus?.required !== true || this.#isConnected) return Promise.resolve();
    return this.#wait(
      "server.ready",
      () => this.#why,
      (waiter) => {
        this.#connecting.add(waiter);
        return () => this.#connecting.delete(waiter);
      },
    );
  }

  /** Resolves once the bus has confirmed the rooms that were joined before. */
  synced(): Promise<void> {
    if (this.#bus === undefined) return Promise.resolve();
    const why = "the bus has not confirmed all rooms";
    return this.#ask("server.synced", why, (number) => this.#commands.mark(number));
  }

  /** Resolves once the bus has all that was published before. Rejects if it may not have some of it. */
  flush(place: string): Promise<void> {
    const why = "the bus has not confirmed all publications";
    return this.#ask(place, why, (number) => this.#commands.flush(number));
  }

  #ask(place: string, why: string, ask: (number: number) => void): Promise<void> {
    const reason = () => (this.#isConnected ? why : this.#why);
    return this.#wait(place, reason, (waiter) => {
      // The number wraps long after its waiter has gone.
      const number = (this.#last = (this.#last + 1) >>> 0);
      this.#syncing.set(number, waiter);
      ask(number);
      this.#handOver.flush();
      return () => this.#syncing.delete(number);
    });
  }

  /** Lets go of the bus, once what waits has left. */
  async close(stop: () => void): Promise<void> {
    if (this.#bus === undefined || this.#isOver) return;
    await new Promise<void>((resolve) => {
      this.#end = resolve;
      stop();
    });
    for (const waiter of [...this.#connecting, ...this.#syncing.values()]) {
      refuse(waiter, STOPPED);
    }
    this.#connecting.clear();
    this.#syncing.clear();
  }

  #wait(place: string, why: () => string, begin: (waiter: Waiter) => () => void): Promise<void> {
    if (this.#isOver) return Promise.reject(busError(`${place}: ${STOPPED}`));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        forget();
        const reason = why() || "the bus has not answered";
        reject(busError(`${place}: not within ${PATIENCE / 1_000} s: ${reason}`));
      }, PATIENCE);
      const forget = begin({ place, resolve, reject, timer });
    });
  }
}

function settle(waiters: Iterable<Waiter>, all?: Set<Waiter>): void {
  for (const { timer, resolve } of waiters) {
    clearTimeout(timer);
    resolve();
  }
  all?.clear();
}

function refuse({ place, timer, reject }: Waiter, message: string): void {
  clearTimeout(timer);
  reject(busError(`${place}: ${message}`));
}

/** The error for what the bus did not do. */
export function busError(message: string): Error {
  return Object.assign(new Error(message), { code: "BUS" });
}
