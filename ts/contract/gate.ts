// Holds messages back until their payloads are known to fit, without changing their order.
import { isThenable } from "../faults/check.js";
import type { Outgoing, Verdict, Ways } from "./checks.js";

/** A message that waits, or a step that stands among them. */
interface Entry {
  readonly message: Outgoing | undefined;
  readonly bytes: number;
  /** What is done with it; missing until it is known. */
  step: (() => void) | undefined;
}

/** The gate of one client. Messages wait behind one whose schema takes its time. */
export class Gate<TMessage extends Outgoing> {
  readonly #ways: Ways<TMessage>;
  readonly #limit: number;
  #waiting: Entry[] = [];
  #bytes = 0;
  #isAdvancing = false;

  /** `limit` is how many bytes of messages wait at most. */
  constructor(ways: Ways<TMessage>, limit: number) {
    this.#ways = ways;
    this.#limit = limit;
  }

  /** Takes a message, and what is known of its payload. */
  enter(message: TMessage, verdict: Verdict | Promise<Verdict>): void {
    const isPending = isThenable(verdict);
    if (!isPending && this.#waiting.length === 0) return this.#decide(message, verdict);
    const bytes = this.#ways.size(message);
    if (this.#bytes + bytes > this.#limit) return this.#ways.full(message);
    const entry: Entry = { message, bytes, step: undefined };
    const known = (found: Verdict) => {
      entry.step = () => this.#decide(message, found);
      this.#advance();
    };
    this.#bytes += bytes;
    this.#waiting.push(entry);
    if (isPending) void verdict.then(known);
    else known(verdict);
  }

  /** What waited for a connection follows in its turn: behind what `first` sends, and `then`. */
  opened(first: () => void, then: () => void): void {
    const before = this.#waiting;
    this.#waiting = [];
    first();
    this.#waiting.push({ message: undefined, bytes: 0, step: then }, ...before);
    this.#advance();
  }

  /** Forgets a call. */
  forget(call: unknown): void {
    const at = this.#waiting.findIndex(({ message }) => message?.call === call);
    const [removed] = at === -1 ? [] : this.#waiting.splice(at, 1);
    this.#bytes -= removed?.bytes ?? 0;
    if (removed) this.#advance();
  }

  #decide(message: TMessage, verdict: Verdict): void {
    if (verdict) this.#ways.refuse(message, verdict);
    else this.#ways.pass(message);
  }

  #advance(): void {
    // A step may cause another one, which then follows in its turn.
    if (this.#isAdvancing) return;
    this.#isAdvancing = true;
    for (let next = this.#waiting[0]; next?.step; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#bytes -= next.bytes;
      try {
        next.step();
      } catch (error) {
        // There is no caller to throw to here.
        console.error("zocket: the WebSocket class failed:", error);
      }
    }
    this.#isAdvancing = false;
  }
}
