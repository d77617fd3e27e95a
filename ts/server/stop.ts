// `stop()`: waits for the engine's threads, then for pending calls of `onDisconnect`, and lets Node exit.
import { performance } from "node:perf_hooks";

import type { HandOver } from "../border/hand-over.js";
import type { Native } from "../border/native.js";
import type { Joined } from "../bus/joined.js";
import type { Disconnects } from "../connections/disconnects.js";
import type { ErrorCode } from "../faults/codes.js";
import type { Faults } from "../faults/report.js";
import type { Held } from "../messages/held.js";
import type { Messages } from "../messages/messages.js";
import type { Scope } from "../user-code/scope.js";

/** How long `onDisconnect` may take after the last connection closed, in ms. */
const GRACE = 10_000;
/** Longest time in ms that timers can wait for. */
const MAX_TIMER = 2 ** 31 - 1;

/** How long messages that were read may still begin their handlers, in ms: as long as the closing handshake may take. */
const HANDLING = 5_000;

/** How to stop: `"close"` all connections now, `"cut"` them off, or close them one after the other within a number of ms. */
export type How = "close" | "cut" | number;

/** The promises for callers of `stop()`. */
interface Ending {
  /** The end of everything. */
  readonly all: Promise<void>;
  /** The same for callers within `onDisconnect`, without the calls that themselves wait for `stop()`. */
  readonly others: Promise<void>;
}

/** Ends one server. */
export class Stop {
  readonly #handOver: HandOver;
  readonly #disconnects: Disconnects;
  readonly #faults: Faults;
  readonly #scope: Scope;
  readonly #bus: Joined;
  readonly #held: Held;
  readonly #messages: Messages;
  /** Shards that have stopped. */
  readonly #stopped = new Set<number>();
  readonly #closed: Promise<void>;
  #resolveClosed = (): void => {};
  #native: Native | undefined;
  #ending: Ending | undefined;
  #isOver = false;
  /** Called when the engine is gone. */
  onOver = (): void => {};
  /** Ends the handling of messages, and when. */
  #handling: NodeJS.Timeout | undefined;
  #handledBy = Infinity;

  constructor(
    handOver: HandOver,
    disconnects: Disconnects,
    faults: Faults,
    held: Held,
    messages: Messages,
    scope: Scope,
    bus: Joined,
  ) {
    this.#bus = bus;
    this.#handOver = handOver;
    this.#disconnects = disconnects;
    this.#faults = faults;
    this.#held = held;
    this.#messages = messages;
    this.#scope = scope;
    this.#closed = new Promise((resolve) => (this.#resolveClosed = resolve));
  }

  /** Resolves when the last connection is closed, if the server stops. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  /** Whether the engine is gone. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Sets the engine that it stops. */
  attach(native: Native): void {
    this.#native = native;
  }

  /**
   * Stops the server, or only this thread's part of it. If it is stopping already, a call that asks for more takes effect at once.
   */
  stop(how: How, ofAll: boolean): Promise<void> {
    this.#handOver.flush();
    if (!this.#isOver) {
      // Also after `unref`, so that a caller that waits for the end sees it. The deadlines bound how long that takes.
      this.#native?.ref();
      this.#command(how, ofAll);
      this.#limitHandling(typeof how === "number" ? how : 0);
    } else if (ofAll) {
      // Others may still share the engine.
      this.#command(how, true);
    }
    const caller = this.#disconnects.current();
    if (caller) this.#disconnects.markStopping(caller);
    this.#ending ??= this.#end();
    return caller ? this.#ending.others : this.#ending.all;
  }

  #command(how: How, ofAll: boolean): void {
    if (typeof how === "number") this.#native?.drain(how, ofAll);
    else this.#native?.stop(how === "cut", ofAll);
  }

  /** Notes that a shard has no connection left. */
  shardStopped(shard: number, shards: number): void {
    this.#stopped.add(shard);
    if (this.#stopped.size < shards) return;
    this.#resolveClosed();
    // Another thread may have stopped the server for all.
    this.#ending ??= this.#end();
  }

  /** Lets messages begin their handlers for as long as the server goes on, and a little longer. */
  #limitHandling(goesOn: number): void {
    const by = performance.now() + goesOn + HANDLING;
    if (by >= this.#handledBy) return;
    this.#handledBy = by;
    clearTimeout(this.#handling);
    // A drain may last longer than timers can wait for.
    const delay = Math.min(goesOn + HANDLING, MAX_TIMER);
    this.#handling = setTimeout(() => this.#messages.refuse(), delay).unref();
  }

  #end(): Ending {
    let timer: NodeJS.Timeout | undefined;
    const late = this.#closed.then(
      () => new Promise<void>((resolve) => (timer = setTimeout(resolve, GRACE))),
    );
    const settled = (which: "all" | "others") =>
      this.#closed.then(() => Promise.race([late, this.#disconnects.settled(which)]));
    const all = settled("all").then(async () => {
      clearTimeout(timer);
      await this.#bus.close(() => this.#native?.stopBus());
      this.#finish();
    });
    return { all, others: settled("others") };
  }

  #finish(): void {
    const pending = [...this.#disconnects.pending];
    const others = pending.filter(({ stops }) => !stops);
    // A call that waits for the others is not to blame for them.
    for (const { clientId } of others.length > 0 ? others : pending) {
      const late = `${GRACE / 1_000} s after the last connection closed`;
      const error = new Error(`onDisconnect was still pending ${late}`);
      this.#report(error, "STOP", clientId);
    }
    clearTimeout(this.#handling);
    const { refused } = this.#messages;
    if (refused > 0) {
      const text = `the server discarded ${refused} messages whose handlers could not start in time after stop()`;
      this.#report(new Error(text), "STOP");
    }
    this.#held.close();
    this.#faults.close();
    this.#handOver.close();
    this.#isOver = true;
    this.onOver();
    try {
      this.#native?.dispose();
    } catch (error) {
      this.#report(error, "INTERNAL");
    }
    this.#scope.close();
  }

  /** Runs outside the caller's context, because another client's handler may have called `stop()`. */
  #report(error: unknown, code: ErrorCode, clientId?: string): void {
    this.#scope.run(this.#faults.report, this.#faults, error, code, clientId);
  }
}
