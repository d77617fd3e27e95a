// What keeps Node alive: the listener of a server, or, where it has none, its clients.
import type { Native } from "../border/native.js";
import { setImmediate } from "../user-code/timers.js";

/** Tells the engine whether it is to keep Node alive. */
export class Hold {
  readonly #native: Native;
  /** Whether the server listens itself. */
  readonly #listens: boolean;
  /** What `ref()` and `unref()` said last. */
  #isWanted = true;
  #hasClients = false;
  /** The engine does so from its start. */
  #isHeld = true;
  #isStopping = false;
  /** Whether it will be looked at soon if there are clients. */
  #isDue = false;

  constructor(native: Native, listens: boolean) {
    this.#native = native;
    this.#listens = listens;
    this.#update();
  }

  want(isWanted: boolean): void {
    this.#isWanted = isWanted;
    if (!this.#isStopping) this.#update();
    else if (isWanted) this.#native.ref();
    else this.#native.unref();
  }

  /** The first client has come, or the last one has gone. */
  clients(hasClients: boolean): void {
    this.#hasClients = hasClients;
    if (this.#listens) return;
    if (hasClients) this.#update();
    else if (!this.#isDue) {
      // Where clients come and go, the next one is often there in the same turn. To tell the engine takes as long as many events.
      this.#isDue = true;
      setImmediate(this.#look);
    }
  }

  readonly #look = (): void => {
    this.#isDue = false;
    this.#update();
  };

  /** The server stops, and keeps Node alive until that is done, whoever leaves meanwhile. */
  stop(): void {
    this.#isStopping = true;
  }

  #update(): void {
    const isHeld = this.#isWanted && (this.#listens || this.#hasClients);
    if (isHeld === this.#isHeld || this.#isStopping) return;
    this.#isHeld = isHeld;
    if (isHeld) this.#native.ref();
    else this.#native.unref();
  }
}
