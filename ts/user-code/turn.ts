// Limits how long events may occupy the event loop. After that, the rest waits for the loop's next turn, so that the application's
// timers, sockets and promises continue, whatever clients send.
import { performance } from "node:perf_hooks";

import { setImmediate, setTimeout } from "./timers.js";

/** Handling in one turn, in ms, user code included. */
const BUDGET = 10;
/** A look at the clock costs as much as a small message, so while messages are quick it comes after several. */
const MOST_BETWEEN_LOOKS = 8;
/** Looks are further apart when they find less than the one, in ms, and one event apart when they find more than the other. */
const QUICK = 0.25;
const SLOW = 1;
/** Text of events, in characters, that is worth a look at the clock: before it is parsed, and after its first event. */
const WORTH_TIMING = 256;
const LONG = 16 * 1024;
/** The guess for the promise callbacks of a message until they are measured, in ms, and how many messages the guess counts for. */
const FIRST_GUESS = 0.1;
const GUESS_WEIGHT = 16;
/** The least cost of the callbacks, so that one turn never starts more than two hundred of them. */
const LEAST_GUESS = 0.05;
/** The most messages that go on at once after they have waited for their turn. */
const MOST_RELEASED = 1_000;

const now = performance.now.bind(performance);
const settled = Promise.resolve();

/**
 * The budget of one server.
 *
 * This code cannot know when the event loop turns. So it adds up work over several turns, and puts the rest off once it reaches the
 * budget. That costs at most one extra turn for each 10 ms of work.
 */
export class Turn {
  /** Work since the last turn that was waited for, in ms. */
  #spent = 0;
  /** When the timed code began; `undefined` while nothing is timed. */
  #since: number | undefined = undefined;
  #inSlice = false;
  #stride = 1;
  /** How many events to deal with before the next {@link look}. The loop over events counts them down. */
  untilLook = 1;

  /** The cost of the promise callbacks of a message, in ms. It is measured, and counted before it is spent. */
  #cost = FIRST_GUESS;
  /** Messages that continue in the promise callbacks which are due, when those began, and what was counted for them. */
  #continuing = 0;
  #began = 0;
  #counted = 0;

  /** Messages that wait for the next turn, oldest first, and those that did and came too late in it. Each client has one at most. */
  #waiting: (() => void)[] = [];
  #late: (() => void)[] = [];
  #resume: (() => void) | undefined = undefined;
  #scheduled: NodeJS.Immediate | undefined = undefined;
  /** Whether waiting for a turn may keep Node alive. */
  holds = true;

  /** Whether the work of this turn is done. */
  get isOver(): boolean {
    return this.#spent >= BUDGET;
  }

  /** Begins a slice of synchronous work, perhaps with what is left of an earlier one. */
  begin(hasRest: boolean): void {
    this.#inSlice = true;
    this.#since = hasRest ? now() : undefined;
  }

  /** Begins to deal with events whose values have so many characters. Reads the clock only if a look may come among them. */
  enter(length: number): void {
    if (length >= LONG) this.untilLook = 1;
    if (this.#since === undefined && (length >= WORTH_TIMING || this.untilLook <= 2)) {
      this.#since = now();
    }
  }

  /** Looks at the clock within a slice: whether the turn is over. */
  look(): boolean {
    const time = now();
    const passed = this.#since === undefined ? 0 : time - this.#since;
    this.#since = time;
    this.#spent += passed;
    if (passed > SLOW) this.#stride = 1;
    else if (passed < QUICK && this.#stride < MOST_BETWEEN_LOOKS) this.#stride *= 2;
    this.untilLook = this.#stride;
    return this.#spent >= BUDGET;
  }

  /** Ends the slice. */
  end(): void {
    this.#inSlice = false;
    this.#since = undefined;
    if (this.#continuing > 0) this.#began = now();
  }

  /** Counts something whose rest runs in promise callbacks. */
  count(): void {
    this.#spent += this.#cost;
    this.#counted += this.#cost;
    this.#continuing += 1;
    if (this.#continuing > 1) return;
    this.#began = this.#inSlice ? Infinity : now();
    // A tick that a microtask asks for comes when there is no microtask left. `queueMicrotask` costs more.
    void settled.then(this.#ask);
  }

  /**
   * For a message in a promise callback: nothing if it may go on at once, and then it is counted. Otherwise what it has to wait for,
   * before it asks again and says that it has waited. Between the answer and its work must be no `await`: others would ask meanwhile.
   */
  next(hasWaited: boolean): Promise<void> | undefined {
    if (!this.#isLate() && (hasWaited || this.#waiting.length === 0)) {
      this.count();
      return undefined;
    }
    return new Promise((resolve) => {
      (hasWaited ? this.#late : this.#waiting).push(resolve);
      this.#schedule();
    });
  }

  /** Calls back in the next turn. There is one such callback at a time. */
  afterwards(resume: () => void): void {
    this.#resume = resume;
    this.#schedule();
  }

  /** Whether the turn is over by the clock: what was counted for these callbacks is only a guess. */
  #isLate(): boolean {
    if (this.#inSlice || this.#continuing === 0) return this.isOver;
    return this.#spent - this.#counted + (now() - this.#began) >= BUDGET;
  }

  readonly #ask = (): void => process.nextTick(this.#drained);

  /** All promise callbacks that were due have run: what they really cost takes the place of the guess. */
  readonly #drained = (): void => {
    const took = Math.max(0, now() - this.#began);
    this.#spent += took - this.#counted;
    const cost = (GUESS_WEIGHT * this.#cost + took) / (GUESS_WEIGHT + this.#continuing);
    this.#cost = Math.max(LEAST_GUESS, cost);
    this.#continuing = 0;
    this.#counted = 0;
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
    const waiting = this.#late.length > 0 ? [...this.#late, ...this.#waiting] : this.#waiting;
    this.#late = [];
    // So many that there is time for events too.
    const many = Math.min(MOST_RELEASED, Math.max(1, BUDGET / 2 / this.#cost));
    const released = waiting.splice(0, many);
    this.#waiting = waiting;
    for (const goOn of released) goOn();
    if (waiting.length > 0) this.#schedule();
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  };
}
