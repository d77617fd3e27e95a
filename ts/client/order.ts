// Owns when listeners are called: never before a method of the client has returned. What a method causes waits for a
// microtask. What comes from the socket or a timer is told at once, after what waits.

/** Puts what happens to a client into one order. */
export class Order {
  /** Steps of methods, in their order; they do not throw. It holds what one run of the caller's code causes. */
  #later: (() => void)[] = [];
  #isCatchingUp = false;
  /** How many methods of the client are at work. */
  #methods = 0;

  /** Runs a method of the client. A `WebSocket` class may call its listeners meanwhile; these calls wait too. */
  run<TResult>(method: () => TResult): TResult {
    this.#methods += 1;
    try {
      return method();
    } finally {
      this.#methods -= 1;
    }
  }

  /** Takes a step once the method has returned. */
  later(step: () => void): void {
    if (this.#later.push(step) > 1) return;
    const catchUp = () => this.#catchUp();
    // A listener that causes what it is told of goes round for ever. A timer lets everything else run meanwhile.
    if (this.#isCatchingUp) setTimeout(catchUp, 0);
    // Not `queueMicrotask`: not every platform has it.
    else void Promise.resolve().then(catchUp);
  }

  /** Takes a step that the socket or a timer asks for. */
  now(step: () => void): void {
    if (this.#methods > 0) return this.later(step);
    this.#catchUp();
    step();
  }

  /** Takes a step at once, or once the method that causes it has returned. */
  soon(step: () => void): void {
    if (this.#methods > 0) this.later(step);
    else step();
  }

  #catchUp(): void {
    const steps = this.#later;
    this.#later = [];
    this.#isCatchingUp = true;
    for (const step of steps) step();
    this.#isCatchingUp = false;
  }
}
