// The run of a handler: its argument, which has a signal and `fail` beside payload and context, and what ends the run early.
import { openCallsOf, type Client } from "../context/clients.js";
import { quote } from "../faults/check.js";
import type { ErrorSchemas } from "../types/message.js";
import { contextHere } from "../user-code/scope.js";
import { ZocketError } from "../zocket-error.js";

/** Why a signal fires when its client is gone. */
export function disconnected(): ZocketError {
  const message = "the connection of the client ended";
  return new ZocketError({ code: "DISCONNECTED", route: "", message });
}

/** What a handler needs to know of its route. */
export interface Failing {
  readonly name: string;
  readonly errors?: ErrorSchemas | undefined;
}

/** Errors that `fail` made. Only those are answers. */
const made = new WeakSet<object>();

/** Whether the error is one that a handler of this route may answer with. */
export function isDeclared(error: unknown, { errors }: Failing): error is ZocketError {
  return made.has(error as object) && Object.hasOwn(errors ?? {}, (error as ZocketError).code);
}

/** The run of one handler, and its signal. It does not hold the payload: a handler that never settles may have let go of that. */
export class Run {
  readonly #client: Client;
  #controller: AbortController | undefined = undefined;
  /** Where the handler read its signal. The listeners of the signal are called in this context. */
  #context: ReturnType<typeof contextHere> | undefined = undefined;
  #isOver = false;
  /** Why it fired, once it did. */
  #reason: unknown = undefined;

  constructor(client: Client) {
    this.#client = client;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      this.#context = contextHere();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
      else if (this.#client.phase !== "open") this.fire(disconnected());
      else if (!this.#isOver) openCallsOf(this.#client).signals.add(this);
    }
    return this.#controller.signal;
  }

  /** Whether the error is what its signal fired with. */
  isReason(error: unknown): boolean {
    return this.#reason !== undefined && this.#reason === error;
  }

  /** Fires the signal, if somebody has looked at it and the handler has not settled. */
  fire(reason: unknown): void {
    if (this.#isOver) return;
    this.settled();
    this.#reason = reason;
    this.#context?.runInAsyncScope(() => this.#controller?.abort(reason));
  }

  /** From now on the signal does not fire. */
  settled(): void {
    this.#isOver = true;
    if (this.#controller) this.#client.openCalls?.signals.delete(this);
  }
}

/** The argument of a handler. It makes its signal when somebody reads it, because most handlers never do. */
export class HandlerArgument {
  readonly payload: unknown;
  /** Left out if the handler cannot read it, as it costs something to make. */
  readonly ctx: object | undefined;
  /** Makes a declared error. */
  readonly fail: Fail;
  readonly #client: Client;
  /** Made when somebody needs it; `null` if the handler has settled before. */
  #run: Run | undefined | null = undefined;

  constructor(payload: unknown, ctx: object | undefined, fail: Fail, client: Client) {
    this.payload = payload;
    this.ctx = ctx;
    this.fail = fail;
    this.#client = client;
  }

  /** Fires when the call is aborted, or the connection ends, before the handler has settled. */
  get signal(): AbortSignal {
    return HandlerArgument.runOf(this).signal;
  }

  /** Its run, for those that outlive it. */
  static runOf(argument: HandlerArgument): Run {
    const run = argument.#run;
    if (run) return run;
    const made = (argument.#run = new Run(argument.#client));
    if (run === null) made.settled();
    return made;
  }

  /** The handler has settled. */
  static settled(argument: HandlerArgument): void {
    if (argument.#run) argument.#run.settled();
    else argument.#run = null;
  }
}

const SIGNAL: PropertyDescriptor = {
  get(this: HandlerArgument) {
    return HandlerArgument.runOf(this).signal;
  },
  enumerable: true,
  configurable: true,
};

/** The argument of a handler that may copy it. A copy has own properties alone, so the signal is one here: it takes 70 ns to define. */
export class CopiedArgument extends HandlerArgument {
  constructor(payload: unknown, ctx: object | undefined, fail: Fail, client: Client) {
    super(payload, ctx, fail, client);
    Object.defineProperty(this, "signal", SIGNAL);
  }
}

/** A first parameter that takes named properties out of the argument, and not the rest of them: `({ payload, ctx }) =>`. */
const TAKES_NAMES = /^(async\s+)?(function\b)?[\s*]*[\w$]*\s*\(\s*\{[\w\s$,:]*\}/;

/** What a handler may do with its argument. */
export interface Uses {
  /** Something else than read properties by their names. */
  readonly copies: boolean;
  /** Read the context. */
  readonly takesContext: boolean;
}

/** What a function may do with its argument, by its source. */
export function usesOf(handler: unknown): Uses {
  const source = Function.prototype.toString.call(handler);
  const [names] = TAKES_NAMES.exec(source) ?? [];
  const copies = names === undefined || /\barguments\b|\beval\b/.test(source);
  // A name may be written with an escape, but that has a backslash, which no pattern here may have.
  return { copies, takesContext: copies || /\bctx\b/.test(names) };
}

/** Makes a declared error. */
export type Fail = (code: string, data?: unknown) => ZocketError;

/** The `fail` of a route. */
export function failOf({ name, errors }: Failing): Fail {
  return (code, data) => {
    if (!Object.hasOwn(errors ?? {}, code)) {
      const known = Object.keys(errors ?? {}).map(quote);
      const expected = known.join(", ") || "no code";
      const place = `fail of ${quote(name)}`;
      throw new TypeError(`${place}: expected ${expected}, got ${quote(String(code))}`);
    }
    const message = `the handler answered with ${code}`;
    const error = new ZocketError({ code, route: name, message, data });
    made.add(error);
    return error;
  };
}
