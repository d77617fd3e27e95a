// Notices a connection whose line is dead. A page cannot see pings, and no close event comes from a network that is gone.
import { MAX_TIMER } from "./delay.js";

/** How many ms the server has to answer. */
const PATIENCE = 10_000;
/** How many ms it has after the network or the page came back. */
const SHORT_PATIENCE = 5_000;
/** A timer that is later than this, in ms, was held up, as in a page that slept. The answer may have been held up with it. */
const LATE = 1_000;
/** How many deadlines in a row may be late. Timers of a page in the background are always late, and its line may die as well. */
const MOST_LATE = 2;

type Timer = ReturnType<typeof setTimeout>;

/** What a heartbeat needs of its connection. */
export interface Line {
  /** Calls the step after so many ms. */
  after(ms: number, step: () => void): Timer;
  /** Bytes that wait to be sent. */
  readonly buffered: number;
  /** Sends a `$ping`. */
  ping(): void;
  /** The server did not answer. */
  died(): void;
}

/** Asks the server for an answer when nothing comes from it. */
export class Heartbeat {
  readonly #line: Line;
  readonly #interval: number;
  #timer: Timer | undefined;
  /** When something came last. */
  #heard = 0;
  /** When the answer is due, while one is. */
  #due: number | undefined;
  #patience = 0;
  #late = 0;
  /** How many bytes waited before the question. */
  #ahead = 0;

  /** `interval` is how many ms of silence call for a question. */
  constructor(interval: number, line: Line) {
    this.#interval = Math.min(interval, MAX_TIMER);
    this.#line = line;
    this.heard();
    this.#listen(this.#interval);
  }

  /** Something came, whatever it was. */
  heard(): void {
    this.#heard = Date.now();
    if (this.#due === undefined) return;
    this.#due = undefined;
    this.#late = 0;
    this.#listen(this.#interval);
  }

  /** Asks at once, because the network or the page came back. */
  probe(): void {
    this.#ask(SHORT_PATIENCE);
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #listen(ms: number): void {
    this.#start(ms, () => {
      const silence = Date.now() - this.#heard;
      // A clock that was put back must not keep it from asking.
      if (silence >= 0 && silence < this.#interval) this.#listen(this.#interval - silence);
      else this.#ask(PATIENCE);
    });
  }

  #ask(patience: number): void {
    const due = Date.now() + patience;
    // Whoever asks again and again puts no deadline off.
    this.#due = Math.min(this.#due ?? due, due);
    this.#patience = patience;
    this.#ahead = this.#line.buffered;
    this.#start(Math.max(this.#due - Date.now(), 0), () => this.#expired());
    this.#line.ping();
  }

  #expired(): void {
    const isLate = Date.now() - (this.#due ?? 0) > LATE;
    this.#due = undefined;
    this.#late = isLate ? this.#late + 1 : 0;
    const { buffered } = this.#line;
    // A slow line is not a dead one: the question waits behind what it still takes.
    const isBusy = buffered > 0 && buffered < this.#ahead;
    if (isBusy || (isLate && this.#late <= MOST_LATE)) this.#ask(this.#patience);
    else this.#line.died();
  }

  #start(ms: number, step: () => void): void {
    this.end();
    this.#timer = this.#line.after(ms, step);
  }
}
