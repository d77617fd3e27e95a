// One call: a promise of its reply and, for a stream, an iterable of its items.
import type { Checks, Verdict } from "../contract/checks.js";
import type { CallOptions, CallResult, StreamCall } from "../types/call.js";
import { ZocketError, type CallErrorCode, type ZocketErrorFields } from "../zocket-error.js";
import { unwatch, watch } from "./aborts.js";
import { UNREADABLE, type Read } from "./wire.js";

/** Items that a reader has taken are acknowledged in portions of so many, or when none is left. */
const PORTION = 32;

/** How many items the server may be ahead of its reader. */
const CREDIT = 64;

/** How a call ended. A rejection may differ from the error that `safe()` gives: that of a signal is its reason. */
type End =
  | { readonly ok: true; readonly data: unknown }
  | { readonly ok: false; readonly error: ZocketError; readonly reason: unknown };

/** What a call asks of the client. */
export interface Caller {
  /** Takes apart what the server sent. */
  readonly read: Read;
  /** Judges answers, if they are to be. */
  readonly answers: Checks<never> | undefined;
  /** The server need not answer any more. */
  abort(call: PendingCall): void;
  /** The reader has taken so many items. */
  more(call: PendingCall, items: number): void;
}

/** What `client.call.a.b(payload)` returns. The promise is made when somebody asks for it, so that no rejection goes unhandled. */
export class PendingCall implements StreamCall<unknown, unknown, ZocketError> {
  readonly [Symbol.toStringTag] = "ZocketCall";
  readonly #caller: Caller;
  readonly #timeout: number;
  readonly #signal: CallOptions["signal"];
  #end: End | undefined;
  #promise: Promise<unknown> | undefined;
  /** Those that wait for the end. */
  #waiting: ((end: End) => void)[] = [];
  /** Items that nobody has taken yet. */
  #items: unknown[] = [];
  /** How many were taken since the last acknowledgement. */
  #taken = 0;
  /** What becomes of items: they are kept, one reader takes them, or nobody does. */
  #reading: "nobody" | "reader" | "dropped" = "nobody";
  /** Readers that wait for an item, which are several if `next()` is called ahead. */
  #readers: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    caller: Caller,
    readonly id: number,
    readonly route: string,
    { timeout, signal }: { readonly timeout: number; readonly signal: CallOptions["signal"] },
  ) {
    this.#caller = caller;
    this.#timeout = timeout;
    this.#signal = signal;
    if (signal?.aborted) return;
    this.#startTimer();
    watch(signal, this.#aborted);
  }

  /** Whether it has ended. */
  get isSettled(): boolean {
    return this.#end !== undefined;
  }

  // oxlint-disable-next-line unicorn/no-thenable -- a call is to be awaited
  then<TResult = unknown, TError = never>(
    fulfilled?: ((data: unknown) => TResult | PromiseLike<TResult>) | null,
    rejected?: ((reason: unknown) => TError | PromiseLike<TError>) | null,
  ): Promise<TResult | TError> {
    return this.#asPromise().then(fulfilled, rejected);
  }

  catch<TError = never>(
    rejected?: ((reason: unknown) => TError | PromiseLike<TError>) | null,
  ): Promise<unknown> {
    return this.#asPromise().catch(rejected);
  }

  finally(settled?: (() => void) | null): Promise<unknown> {
    return this.#asPromise().finally(settled);
  }

  safe(): Promise<CallResult<unknown, ZocketError>> {
    this.#awaited();
    return new Promise((resolve) => {
      this.#whenOver((end) => resolve(end.ok ? end : { ok: false, error: end.error }));
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown, unknown> {
    if (this.#reading !== "nobody") {
      const why =
        this.#reading === "reader" ? "it has an iterator already" : "its items were dropped";
      throw new TypeError(
        `client.call.${this.route}: cannot iterate over this call, because ${why}`,
      );
    }
    this.#reading = "reader";
    return {
      next: () => new Promise((resolve, reject) => this.#next(resolve, reject)),
      return: async (value?: unknown) => {
        this.#reading = "dropped";
        this.abort("ABORTED", "the loop over the items was left");
        this.#drop();
        return { done: true, value };
      },
    };
  }

  /** An item has come. */
  item(item: unknown): void {
    if (this.#end) return;
    if (this.#reading === "dropped") {
      this.#startTimer();
      this.#caller.more(this, 1);
      return;
    }
    if (this.#items.length === CREDIT) {
      this.abort("BAD_REPLY", "the server sent more items than it may");
      return;
    }
    const keep = (read: unknown) => {
      if (!this.#fits(this.#caller.answers?.answer(this.route, "stream", read))) return;
      this.#items.push(read);
      clearTimeout(this.#timer);
      this.#readers.shift()?.();
    };
    this.#caller.read(item, keep, this.#unreadable);
  }

  /** The reply has come. */
  reply(json: unknown): void {
    const settle = (data: unknown) => {
      if (this.#fits(this.#caller.answers?.answer(this.route, "reply", data))) {
        this.#settle({ ok: true, data });
      }
    };
    this.#caller.read(json, settle, this.#unreadable);
  }

  /** The call has failed at the server, with the data of a declared error or without. */
  refused(fields: ZocketErrorFields<string, unknown>): void {
    const fail = (data: unknown) => {
      if (this.#fits(this.#caller.answers?.error(this.route, fields.code, data))) {
        this.fail(new ZocketError({ ...fields, data }));
      }
    };
    this.#caller.read(fields.data, fail, this.#unreadable);
  }

  readonly #unreadable = (cause: unknown): void => {
    const { route } = this;
    this.#abort(new ZocketError({ code: "BAD_REPLY", route, message: UNREADABLE, cause }));
  };

  /** Whether what the server sent fits. Ends the call if it does not. */
  #fits(refusal: Verdict): boolean {
    if (!refusal) return true;
    const message = "the server sent something that does not fit the schemas of the call";
    this.#abort(new ZocketError({ code: "BAD_REPLY", route: this.route, message, ...refusal }));
    return false;
  }

  /** The call has failed. */
  fail(error: ZocketError): void {
    this.#settle({ ok: false, error, reason: error });
  }

  /** The same for one of the library's codes. */
  failWith(code: CallErrorCode, message: string): void {
    this.fail(new ZocketError({ code, route: this.route, message }));
  }

  /** Ends it from here, and tells the server. */
  abort(code: "ABORTED" | "BAD_REPLY" | "TIMEOUT", message: string, reason?: unknown): void {
    this.#abort(new ZocketError({ code, route: this.route, message }), reason);
  }

  #abort(error: ZocketError, reason: unknown = error): void {
    if (this.#end) return;
    this.#settle({ ok: false, error, reason });
    this.#caller.abort(this);
  }

  /** Ends it if its signal has fired already; whether it had. */
  abortedEarly(): boolean {
    if (!this.#signal?.aborted) return false;
    this.#aborted();
    return true;
  }

  readonly #aborted = (): void => {
    // With a reason of its own, as `fetch` does it; `undefined` is none.
    this.abort("ABORTED", "the signal of the call fired", this.#signal?.reason);
  };

  #asPromise(): Promise<unknown> {
    this.#awaited();
    return (this.#promise ??= new Promise((resolve, reject) => {
      this.#whenOver((end) => {
        if (end.ok) resolve(end.data);
        // oxlint-disable-next-line prefer-promise-reject-errors -- a signal's reason may be anything
        else reject(end.reason);
      });
    }));
  }

  /** Somebody waits for the end. Unless there is an iterator by the end of this turn, nobody wants the items. */
  #awaited(): void {
    if (this.#reading !== "nobody" || this.#isAwaited) return;
    this.#isAwaited = true;
    setTimeout(() => {
      if (this.#reading !== "nobody") return;
      this.#reading = "dropped";
      this.#drop();
    }, 0);
  }

  #isAwaited = false;

  /** Lets go of the items that are kept, and acknowledges them. */
  #drop(): void {
    const items = this.#items.length + this.#taken;
    this.#items = [];
    this.#taken = 0;
    if (items === 0 || this.#end) return;
    this.#startTimer();
    this.#caller.more(this, items);
  }

  #whenOver(step: (end: End) => void): void {
    if (this.#end) step(this.#end);
    else this.#waiting.push(step);
  }

  #settle(end: End): void {
    if (this.#end) return;
    this.#end = end;
    clearTimeout(this.#timer);
    unwatch(this.#signal, this.#aborted);
    const waiting = [...this.#waiting, ...this.#readers];
    this.#waiting = [];
    this.#readers = [];
    for (const step of waiting) step(end);
  }

  #next(
    resolve: (result: IteratorResult<unknown, unknown>) => void,
    reject: (reason: unknown) => void,
  ): void {
    if (this.#reading !== "reader") return resolve({ done: true, value: undefined });
    if (this.#items.length > 0) {
      const value = this.#items.shift();
      this.#tookOne();
      return resolve({ done: false, value });
    }
    const end = this.#end;
    if (end === undefined) {
      this.#readers.push(() => this.#next(resolve, reject));
    } else if (end.ok) {
      this.#reading = "dropped";
      resolve({ done: true, value: end.data });
    } else {
      this.#reading = "dropped";
      // oxlint-disable-next-line prefer-promise-reject-errors -- a signal's reason may be anything
      reject(end.reason);
    }
  }

  #tookOne(): void {
    this.#taken += 1;
    if (this.#end) return;
    if (this.#items.length === 0) this.#startTimer();
    else if (this.#taken < PORTION) return;
    const taken = this.#taken;
    this.#taken = 0;
    this.#caller.more(this, taken);
  }

  /** From the call on, or from its last item; not while items wait for the reader. */
  #startTimer(): void {
    clearTimeout(this.#timer);
    if (this.#timeout === 0 || this.#end) return;
    const text = `no answer came within ${this.#timeout} ms`;
    this.#timer = setTimeout(() => this.abort("TIMEOUT", text), this.#timeout);
  }
}
