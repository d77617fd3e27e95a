// Calls `onOpen`. The messages of the client wait until it is done, and so does its `onDisconnect`.
import type { Client } from "../context/clients.js";
import { freshContext } from "../context/context.js";
import type { Outlet } from "../context/send.js";
import { isThenable } from "../faults/check.js";
import type { Faults } from "../faults/report.js";
import type { DisconnectInfo } from "../types/disconnect.js";
import type { Scope } from "../user-code/scope.js";
import type { Turn } from "../user-code/turn.js";
import type { Disconnects } from "./disconnects.js";
import type { DisconnectCall } from "./pending-calls.js";

/** The callback of that name. */
export type OnOpen = (ctx: object, clientId: string) => unknown;

/** How a client is closed whose `onOpen` failed: "Internal Error" (RFC 6455 7.4.1 and its registry). */
const FAILED = { code: 1011, reason: "" };

/** One pending call of `onOpen`. */
interface Opening {
  /** Fulfilled when the call has settled, or has taken too long. */
  readonly done: Promise<void>;
  /** The entry with which `stop()` waits for the `onDisconnect` that follows. */
  readonly call: DisconnectCall;
}

/** What calls of `onOpen` need. */
export interface OpeningParts {
  readonly outlet: Outlet;
  readonly disconnects: Disconnects;
  readonly faults: Faults;
  readonly scope: Scope;
  readonly turn: Turn;
}

/** Calls `onOpen` once for each client that opens. */
export class Openings {
  readonly #onOpen: OnOpen | undefined;
  readonly #parts: OpeningParts;
  readonly #pending = new Map<Client, Opening>();
  /** How long a call may take, in ms; the engine tells once it has read the options. */
  timeout = 0;

  constructor(onOpen: OnOpen | undefined, parts: OpeningParts) {
    this.#onOpen = onOpen;
    this.#parts = parts;
  }

  /** Whether there is an `onOpen`, so that the engine is to tell when a client is open. */
  get areWanted(): boolean {
    return this.#onOpen !== undefined;
  }

  /** A client is open. Returns a promise for its messages to wait for, which never rejects, if the call is pending. */
  opened(client: Client): Promise<void> | undefined {
    const onOpen = this.#onOpen;
    // The application may have closed it since it was admitted.
    if (onOpen === undefined || client.phase !== "open") return undefined;
    return this.#parts.scope.runApart(this.#open, this, client, onOpen);
  }

  #open(client: Client, onOpen: OnOpen): Promise<void> | undefined {
    const { disconnects, outlet, turn } = this.#parts;
    const call = disconnects.begin(client);
    try {
      const ctx = freshContext(client, outlet);
      const result = disconnects.within(call, onOpen, ctx, client.id);
      if (isThenable(result)) {
        turn.count();
        const done = this.#settled(client, call, result);
        this.#pending.set(client, { done, call });
        return done;
      }
    } catch (error) {
      this.#failed(client, error);
    }
    disconnects.done(call);
    return undefined;
  }

  /** An admitted client is gone: calls its `onDisconnect`, once its `onOpen` is done. `begins` is called right before. */
  ended(client: Client, info: DisconnectInfo, begins: () => void): void {
    const { disconnects } = this.#parts;
    const rooms = disconnects.takeRooms(client);
    const opening = this.#pending.get(client);
    if (opening === undefined) {
      begins();
      disconnects.run(client, info, rooms);
      return;
    }
    void opening.done.then(() => {
      begins();
      disconnects.run(client, info, rooms, opening.call);
    });
  }

  async #settled(
    client: Client,
    call: DisconnectCall,
    result: PromiseLike<unknown>,
  ): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let isLate = false;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        isLate = true;
        resolve();
      }, this.timeout).unref();
    });
    const settled = Promise.resolve(this.#parts.scope.later(result)).then(undefined, (error) => {
      // A call that took too long has been reported already.
      if (!isLate) this.#failed(client, error);
    });
    await Promise.race([settled, late]);
    clearTimeout(timer);
    if (isLate) {
      const text = `onOpen took longer than handshakeTimeout (${this.timeout} ms)`;
      this.#failed(client, new Error(text));
    }
    this.#pending.delete(client);
    // Of a client that is gone, the `onDisconnect` goes on with the same entry.
    if (client.phase !== "gone") this.#parts.disconnects.done(call);
  }

  #failed(client: Client, error: unknown): void {
    const { faults, outlet } = this.#parts;
    faults.report(error, "OPEN", client.id);
    outlet.closing.close(client, FAILED);
  }
}
