// `client.call.a.b(payload, options)`: sends calls, and leads what the server answers to them.
import type { Checks } from "../contract/checks.js";
import { ERROR_TYPE, type Envelope } from "../envelope.js";
import { ZocketError, type ZocketErrorFields } from "../zocket-error.js";
import { PendingCall, type Caller } from "./call.js";
import { MAX_TIMER } from "./delay.js";
import { messageOf } from "./message.js";
import { optionsOf } from "./options-of.js";
import type { Fate, Waiting } from "./queue.js";
import type { Read, Wire } from "./wire.js";

const REPLY_TYPE = "$reply";
const ITEM_TYPE = "$item";
const END_TYPE = "$end";
const ABORT_TYPE = "$abort";
const MORE_TYPE = "$more";

/** The way out. */
export interface Exit {
  /** Sends a call, or keeps it for the next connection. */
  send(message: Waiting): void;
  /** Forgets a call that waits. */
  forget(call: Fate): void;
  /** Whether there is no connection, and none to come. */
  isClosed(): boolean;
  /** Sends a message of our own on the connection that is open; drops it if none is. */
  own(text: string): void;
}

/** The calls of one client. */
export class Calls implements Caller {
  readonly #exit: Exit;
  readonly #defaultTimeout: number;
  readonly answers: Checks<never> | undefined;
  /** Calls that wait for a connection, and those that were sent on the current one. */
  readonly #waiting = new Map<PendingCall, Fate>();
  readonly #sent = new Map<number, PendingCall>();
  /** No id comes twice, so that no late answer meets another call. */
  #lastId = 0;
  /** The client does not connect any more. */
  #isClosed = false;

  readonly #wire: Wire;

  readonly read: Read;

  constructor(exit: Exit, defaultTimeout: number, wire: Wire, answers: Checks<never> | undefined) {
    this.#exit = exit;
    this.#defaultTimeout = Math.min(defaultTimeout, MAX_TIMER);
    this.#wire = wire;
    this.read = wire.read;
    this.answers = answers;
  }

  /** Begins a call. Throws a `TypeError` for a wrong option, and what the transformer or `JSON.stringify` throws. */
  call(route: string, payload: unknown, options: unknown): PendingCall {
    const checked = optionsOf(`call.${route}`, options, this.#defaultTimeout);
    const id = (this.#lastId += 1);
    const written = this.#wire.write(payload, "call", route);
    const data = messageOf({ id, type: route, payload: written });
    const call = new PendingCall(this, id, route, checked);
    if (call.abortedEarly()) return call;
    // It may be about to connect again, which is told later.
    if (this.#isClosed && this.#exit.isClosed()) {
      call.failWith("CLOSED", "the client is closed");
      return call;
    }
    const fate: Fate = {
      sent: () => {
        this.#waiting.delete(call);
        this.#sent.set(id, call);
      },
      lost: (code, message, issues) => {
        this.#waiting.delete(call);
        call.fail(new ZocketError({ code, route, message, issues }));
      },
    };
    this.#waiting.set(call, fate);
    this.#exit.send({ route, data, call: fate });
    return call;
  }

  /** Takes what the server sends; whether it was about a call. */
  received({ type, id, payload }: Envelope): boolean {
    if (type !== REPLY_TYPE && type !== ITEM_TYPE && type !== END_TYPE && type !== ERROR_TYPE) {
      return false;
    }
    if (id === undefined) return type !== ERROR_TYPE;
    // One that is over here already is passed over.
    const call = this.#sent.get(id);
    if (call === undefined) return true;
    if (type === ITEM_TYPE) {
      call.item(payload);
      return true;
    }
    this.#sent.delete(id);
    if (type === ERROR_TYPE) call.refused(errorOf(call.route, payload));
    else call.reply(payload);
    return true;
  }

  /** The connection has ended, for good or until the next one. */
  disconnected(isClosed: boolean): void {
    if (isClosed) return this.closed(true);
    const sent = [...this.#sent.values()];
    this.#sent.clear();
    const why = "the connection ended before the answer; the handler may have run";
    for (const call of sent) call.failWith("DISCONNECTED", why);
  }

  /** The client does not connect any more, or does again. */
  closed(isClosed: boolean): void {
    this.#isClosed = isClosed;
    if (!isClosed) return;
    const calls = [...this.#sent.values(), ...this.#waiting.keys()];
    for (const fate of this.#waiting.values()) this.#exit.forget(fate);
    this.#sent.clear();
    this.#waiting.clear();
    for (const call of calls) call.failWith("CLOSED", "the client is closed");
  }

  abort(call: PendingCall): void {
    const fate = this.#waiting.get(call);
    if (fate) {
      this.#waiting.delete(call);
      this.#exit.forget(fate);
    } else if (this.#sent.delete(call.id)) {
      this.#exit.own(JSON.stringify({ type: ABORT_TYPE, id: call.id }));
    }
  }

  more(call: PendingCall, items: number): void {
    if (!this.#sent.has(call.id)) return;
    this.#exit.own(JSON.stringify({ type: MORE_TYPE, id: call.id, payload: items }));
  }
}

/** What the server says of a call that failed; it may say anything. */
function errorOf(route: string, payload: unknown): ZocketErrorFields<string, unknown> {
  const { code, message, data, issues, retryAfterMs } = (payload ?? {}) as Record<string, unknown>;
  if (typeof code !== "string") {
    const text = "the server answered with an error that cannot be read";
    return { code: "BAD_REPLY", route, message: text };
  }
  return {
    code,
    route,
    message: typeof message === "string" ? message : code,
    data,
    issues: Array.isArray(issues) ? issues : undefined,
    retryAfterMs: typeof retryAfterMs === "number" ? retryAfterMs : undefined,
  };
}
