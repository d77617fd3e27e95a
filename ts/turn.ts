// How long events may keep the event loop to themselves. After so much work the rest waits for the loop's next turn, so that
// timers, sockets and promises of the application go on whatever clients send.
import { performance } from "node:perf_hooks";
import { setImmediate, setTimeout } from "node:timers";

/** Handling in one turn, in ms, user code included. */
const BUDGET = 10;
/** A look at the clock costs as much as a small message, so while messages are quick it comes after several. */
const MOST_BETWEEN_LOOKS = 8;
/** Looks are further apart when they find less than the one, in ms, and one message apart when they find more than the other. */
const QUICK = 0.25;
const SLOW = 1;
/** What a message is taken to cost in promise callbacks until it was measured, in ms, and how many messages that guess weighs. */
const FIRST_GUESS = 0.1;
const GUESS_WEIGHT = 16;

const now = performance.now.bind(performance);

/**
 * The budget of one server.
 *
 * Nobody can say from here when the event loop turns. So work is added up over as many turns as it takes, and only then is
 * the rest put off: what is lost is one extra turn for each 10 ms of work.
 */
export class Turn {
  /** Work since the last turn that was waited for, in ms. */
  #spent = 0;
  /** When the slice under way began or the clock was looked at last. */
  #since = 0;
  #inSlice = false;
  #stride = 1;

  /** What a message costs in promise callbacks, in ms: measured, and counted before it is spent. */
  #cost = FIRST_GUESS;
  /** Messages that continue in the promise callbacks which are due, and when those began. */
  #continuing = 0;
  #began = 0;

  /** Messages that wait for the next turn, oldest first. Each client has one at most. */
  #waiting: (() => void)[] = [];
  #resume: (() => void) | undefined = undefined;
  #scheduled: NodeJS.Immediate | undefined = undefined;
  /** Whether waiting for a turn may keep Node alive. */
  holds = true;

  /** Whether the work of this turn is done. */
  get isOver(): boolean {
    return this.#spent >= BUDGET;
  }

  /** After how many events of a slice to {@link look}. */
  get stride(): number {
    return this.#stride;
  }

  /** Begins a slice of synchronous work. */
  begin(): void {
    this.#since = now();
    this.#inSlice = true;
  }

  /** Looks at the clock within a slice: whether the turn is over. */
  look(): boolean {
    const time = now();
    const passed = time - this.#since;
    this.#since = time;
    this.#spent += passed;
    if (passed > SLOW) this.#stride = 1;
    else if (passed < QUICK && this.#stride < MOST_BETWEEN_LOOKS) this.#stride *= 2;
    return this.#spent >= BUDGET;
  }

  /** Ends the slice. */
  end(): void {
    const time = now();
    this.#spent += time - this.#since;
    this.#since = time;
    this.#inSlice = false;
    if (this.#continuing > 0) this.#began = time;
  }

  /** Counts a message whose rest runs in promise callbacks. */
  count(): void {
    this.#spent += this.#cost;
    this.#continuing += 1;
    if (this.#continuing > 1) return;
    this.#began = this.#inSlice ? Infinity : now();
    // A tick that a microtask asks for comes when there is no microtask left.
    queueMicrotask(() => process.nextTick(this.#drained));
  }

  /** For a message in a promise callback: nothing if it may go on at once, or what it has to wait for before it does. */
  next(): Promise<void> | undefined {
    if (this.#spent < BUDGET && this.#waiting.length === 0) return undefined;
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
  }

  /** Calls back in the next turn. There is one such callback at a time. */
  afterwards(resume: () => void): void {
    this.#resume = resume;
    this.#schedule();
  }

  /** All promise callbacks that were due have run: what they really cost takes the place of the guess. */
  readonly #drained = (): void => {
    const count = this.#continuing;
    const took = Math.max(0, now() - this.#began);
    this.#spent += took - count * this.#cost;
    this.#cost = (GUESS_WEIGHT * this.#cost + took) / (GUESS_WEIGHT + count);
    this.#continuing = 0;
  };

  #schedule(): void {
    if (this.#scheduled !== undefined) return;
    // The first one still belongs to the turn under way: immediates come before timers.
    this.#scheduled = this.#immediate(() => {
      this.#scheduled = this.#immediate(this.#begins);
    });
  }

  /** An immediate that does not hold Node would not be called while the loop sleeps; a timer is. */
  #immediate(callback: () => void): NodeJS.Immediate {
    if (this.holds) return setImmediate(callback);
    return setTimeout(callback, 0).unref() as unknown as NodeJS.Immediate;
  }

  readonly #begins = (): void => {
    this.#scheduled = undefined;
    this.#spent = 0;
    // So many that there is time for events too.
    const released = this.#waiting.splice(0, Math.max(1, BUDGET / 2 / this.#cost));
    for (const goOn of released) goOn();
    if (this.#waiting.length > 0) this.#schedule();
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  };
}
