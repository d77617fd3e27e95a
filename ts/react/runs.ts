// Owns the calls of one `useCall`: the latest one, and what came of it.
import type { PendingCall } from "../client/call.js";
import type { Unsubscribe } from "../client/types.js";
import type { CallOptions } from "../types/call.js";
import type { ZocketError } from "../zocket-error.js";
import { stay } from "./stay.js";

/** What a component sees of its calls. */
interface Outcome {
  readonly data: unknown;
  readonly error: ZocketError | undefined;
  readonly pending: boolean;
  readonly items: readonly unknown[];
}

const NOTHING: Outcome = { data: undefined, error: undefined, pending: false, items: [] };

/** The signal of a call that is not to be sent any more. */
const ABORTED = {
  aborted: true,
  reason: undefined,
  addEventListener() {},
  removeEventListener() {},
};

/** A function of `client.call`. */
export type Calling = (payload: unknown, options?: CallOptions) => PendingCall;

/** The calls of one component. Only the latest one counts. */
export class Runs {
  /** What the last render that React kept was given. */
  calling: Calling;
  maxItems = Infinity;
  #latest: PendingCall | undefined;
  #outcome = NOTHING;
  #isGone = false;
  #changed: (() => void) | undefined;

  constructor(calling: Calling) {
    this.calling = calling;
  }

  /** An effect that aborts the call once the component is gone. */
  readonly mount = stay(
    () => {
      this.#isGone = false;
    },
    () => {
      this.#isGone = true;
      this.#abort("its component was unmounted");
    },
  );

  /** Calls the one listener when {@link outcome} has changed. */
  readonly subscribe = (listener: () => void): Unsubscribe => {
    this.#changed = listener;
    return () => {
      this.#changed = undefined;
    };
  };

  /** The same object until it changes. */
  readonly outcome = (): Outcome => this.#outcome;

  readonly run = (payload?: unknown, options?: CallOptions): PendingCall => {
    if (this.#isGone) return this.calling(payload, { ...options, signal: ABORTED as never });
    const call = this.calling(payload, options);
    this.#latest?.abort("ABORTED", "the component made another call");
    this.#latest = call;
    this.#become({ error: undefined, pending: true, items: NOTHING.items });
    void this.#follow(call);
    return call;
  };

  readonly abort = (): void => this.#abort("the component aborted it");

  #abort(why: string): void {
    const call = this.#latest;
    if (!call) return;
    this.#latest = undefined;
    this.#become({ pending: false });
    call.abort("ABORTED", why);
  }

  async #follow(call: PendingCall): Promise<void> {
    try {
      // A call without a stream ends without an item.
      for await (const item of call) {
        if (this.#latest !== call) continue;
        this.#become({ items: [...this.#outcome.items, item].slice(-this.maxItems) });
      }
    } catch {
      // It is told below.
    }
    const result = await call.safe();
    if (this.#latest !== call) return;
    this.#latest = undefined;
    if (result.ok) this.#become({ data: result.data, pending: false });
    else {
      const isAborted = result.error.code === "ABORTED";
      this.#become({ error: isAborted ? undefined : result.error, pending: false });
    }
  }

  #become(change: Partial<Outcome>): void {
    this.#outcome = { ...this.#outcome, ...change };
    this.#changed?.();
  }
}
