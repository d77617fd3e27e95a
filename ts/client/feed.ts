// Messages of one route for a loop: `for await (const payload of client.on.chat.onMessage)`.
import type { MessageIterator } from "./types.js";

/** How many messages wait for a loop. Past that, the oldest make room. */
const KEPT = 1_024;

type Result = IteratorResult<unknown, undefined>;
const DONE: Result = { done: true, value: undefined };

/** Tells a feed that nobody has its iterator any more. Made for the first one: old platforms have none. */
let forgotten: { register(iterator: object, feed: Feed): void } | undefined;

/** The messages that wait for one iterator. The client holds it, and it does not hold the iterator. */
export class Feed {
  dropped = 0;
  readonly #kept: unknown[] = [];
  /** Those that wait for a message; several if `next()` is called ahead. */
  readonly #readers: ((result: Result) => void)[] = [];
  readonly #leave: () => void;
  #isOver = false;
  #isForgotten = false;

  /** `leave` takes it from the client. */
  constructor(leave: () => void) {
    this.#leave = leave;
  }

  /** A message has come. */
  push(payload: unknown): void {
    const reader = this.#readers.shift();
    if (reader) {
      reader({ done: false, value: payload });
      if (this.#isForgotten) this.forget();
    } else if (this.#kept.push(payload) > KEPT) {
      this.#kept.shift();
      this.dropped += 1;
    }
  }

  next(): Promise<Result> {
    if (this.#kept.length > 0) {
      return Promise.resolve({ done: false, value: this.#kept.shift() });
    }
    if (this.#isOver) return Promise.resolve(DONE);
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  /** No more messages come. The reader still gets those that wait. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#leave();
    for (const reader of this.#readers.splice(0)) reader(DONE);
  }

  /** The loop was left. */
  leave(): void {
    this.#kept.length = 0;
    this.end();
  }

  /** Nobody can take a message any more, except those who wait for one. */
  forget(): void {
    this.#isForgotten = true;
    if (this.#readers.length === 0) this.leave();
  }
}

/** The iterator of a feed. */
export function iteratorOf(feed: Feed): MessageIterator<unknown> {
  const iterator: MessageIterator<unknown> = {
    get dropped() {
      return feed.dropped;
    },
    next: () => feed.next(),
    return: () => {
      feed.leave();
      return Promise.resolve(DONE);
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  if (typeof FinalizationRegistry === "function") {
    forgotten ??= new FinalizationRegistry<Feed>((left) => left.forget());
    forgotten.register(iterator, feed);
  }
  return iterator;
}
