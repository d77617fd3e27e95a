// Calls `onDisconnect`, and keeps track of the calls. `stop()` waits for them, but not for a call that itself waits for `stop()`.
import { AsyncLocalStorage } from "node:async_hooks";

import { NO_CONTEXT, type Client } from "../context/clients.js";
import { isThenable } from "../faults/check.js";
import type { Faults } from "../faults/report.js";
import type { DisconnectInfo } from "../types/disconnect.js";
import type { Scope } from "../user-code/scope.js";
import type { Turn } from "../user-code/turn.js";
import { brokenInfo } from "./ending.js";
import { PendingCalls, type DisconnectCall } from "./pending-calls.js";

/** The callback of that name. */
export type OnDisconnect = (ctx: object, clientId: string, info: DisconnectInfo) => unknown;

/** Calls `onDisconnect` once for each client and keeps track of what it returned. */
export class Disconnects {
  readonly #onDisconnect: OnDisconnect | undefined;
  readonly #faults: Faults;
  readonly #scope: Scope;
  readonly #turn: Turn;
  readonly #pending = new PendingCalls();
  readonly #watchers = new Set<() => void>();
  /** How the clients went whose `onConnect` is still pending. */
  readonly #early = new WeakMap<Client, DisconnectInfo>();
  /**
   * Which call the running code belongs to. Before Node 24 an enabled storage slows every promise of the process, so it
   * is enabled only while a call is pending.
   */
  readonly #storage = new AsyncLocalStorage<DisconnectCall>();

  constructor(onDisconnect: OnDisconnect | undefined, faults: Faults, scope: Scope, turn: Turn) {
    this.#onDisconnect = onDisconnect;
    this.#faults = faults;
    this.#scope = scope;
    this.#turn = turn;
  }

  /** The pending calls. */
  get pending(): Iterable<DisconnectCall> {
    return this.#pending;
  }

  /** The call that the running code belongs to, if it is pending. */
  current(): DisconnectCall | undefined {
    const call = this.#pending.isEmpty ? undefined : this.#storage.getStore();
    return call?.isPending ? call : undefined;
  }

  /** Notes that a call waits for `stop()`. */
  markStopping(call: DisconnectCall): void {
    call.stops = true;
    this.#changed();
  }

  /** Notes how a client went that is not admitted yet. */
  wentEarly(client: Client, info: DisconnectInfo): void {
    if (this.#onDisconnect) this.#early.set(client, info);
  }

  /** The same as {@link run} for a client that went before its `onConnect` was done. */
  runLate(client: Client): void {
    this.run(client, this.#early.get(client) ?? brokenInfo());
  }

  /** The rooms that a client was in when it went, if any. It leaves them. */
  takeRooms(client: Client): ReadonlySet<string> | undefined {
    const { rooms } = client;
    client.rooms = undefined;
    return rooms;
  }

  /** Calls `onDisconnect` for a client that is gone, in a new asynchronous context. `begun` is its entry, if it has one. */
  run(
    client: Client,
    info: DisconnectInfo,
    rooms = this.takeRooms(client),
    begun?: DisconnectCall,
  ): void {
    const onDisconnect = this.#onDisconnect;
    if (onDisconnect) {
      const call = begun ?? this.begin(client);
      const left = rooms ?? new Set();
      this.#scope.runApart(this.#call, this, call, client, onDisconnect, left, info);
    } else if (begun) {
      this.done(begun);
    }
    // A handler that never settles keeps the client object in memory.
    client.context = NO_CONTEXT;
  }

  /** Begins an entry for a client: `stop()` waits until it is {@link done}. */
  begin(client: Client): DisconnectCall {
    return this.#pending.begin(client.id);
  }

  /** Calls a function of the application. A `stop()` that it calls knows of the entry, and does not wait for it. */
  within<TArguments extends unknown[], TResult>(
    call: DisconnectCall,
    callback: (...args: TArguments) => TResult,
    ...args: TArguments
  ): TResult {
    return this.#storage.run(call, callback, ...args);
  }

  #call(
    call: DisconnectCall,
    client: Client,
    onDisconnect: OnDisconnect,
    rooms: ReadonlySet<string>,
    info: DisconnectInfo,
  ): void {
    try {
      const ctx = { ...this.#userContext(client), clientId: client.id, rooms };
      const result = this.within(call, onDisconnect, ctx, client.id, info);
      if (isThenable(result)) {
        this.#turn.count();
        void this.#follow(call, result);
        return;
      }
    } catch (error) {
      this.#faults.report(error, "DISCONNECT", client.id);
    }
    this.done(call);
  }

  /** A copy of the user context. A getter in it that throws must not keep `onDisconnect` from being called. */
  #userContext(client: Client): object {
    try {
      return { ...client.context };
    } catch (error) {
      this.#faults.report(error, "DISCONNECT", client.id);
      return readableCopy(client.context);
    }
  }

  /** Resolves when every pending call, or every one that does not itself wait for `stop()`, is done. */
  settled(which: "all" | "others"): Promise<void> {
    const isSettled = () =>
      which === "all" ? this.#pending.isEmpty : [...this.#pending].every(({ stops }) => stops);
    return new Promise((resolve) => {
      const look = () => {
        if (!isSettled()) return;
        this.#watchers.delete(look);
        resolve();
      };
      this.#watchers.add(look);
      look();
    });
  }

  async #follow(call: DisconnectCall, result: PromiseLike<unknown>): Promise<void> {
    try {
      await result;
    } catch (error) {
      this.#faults.report(error, "DISCONNECT", call.clientId);
    }
    this.done(call);
  }

  /** Ends an entry. */
  done(call: DisconnectCall): void {
    this.#pending.end(call);
    if (this.#pending.isEmpty) this.#storage.disable();
    this.#changed();
  }

  #changed(): void {
    for (const look of this.#watchers) look();
  }
}

/** A copy of the object's own properties, as far as they can be read. */
function readableCopy(from: object): object {
  let copy = {};
  try {
    for (const key of Object.keys(from)) {
      try {
        copy = { ...copy, [key]: (from as Readonly<Record<string, unknown>>)[key] };
      } catch {
        // Left out.
      }
    }
  } catch {
    // A proxy that throws when it is asked for its keys.
  }
  return copy;
}
