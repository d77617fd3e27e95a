// The asynchronous context that user code runs in: what `AsyncLocalStorage` and its like see. Each event starts in the
// context in which `createServer` was called, so no client ever sees the store of another one.
import { AsyncLocalStorage, AsyncResource, createHook } from "node:async_hooks";

/**
 * Where the stores live:
 * - `in`: `enterWith` writes into the resource that runs, where the store stays (Node 20 and 22).
 * - `behind`: it writes into an object that the resource refers to (Node 24 with `--no-async-context-frame`).
 * - `beside`: each run restores the former stores afterwards (Node 24 and later, Bun, Deno).
 */
const STORES = whereStoresLive();

/** Scopes with pending promises of user code, now or before. While there is one, {@link hook} is enabled. */
const tracking = new Set<Scope>();
/** Does nothing. Because it is enabled, Node 20 and 22 give each promise a resource. Other hooks cost more. */
const hook = STORES === "beside" ? undefined : createHook({ before() {} });

/** The context of one server. */
export class Scope {
  /** Holds the stores that `createServer` saw. */
  readonly #origin = new AsyncResource("ZocketServer");
  /** Calls run in this resource while there is one. With stores `in` resources, it ends when somebody first enters one. */
  #shared: AsyncResource | undefined;
  #isClosed = false;

  constructor() {
    if (STORES === "beside") this.#shared = this.#origin;
    if (STORES === "in") this.#shared = watched(this.#origin, () => (this.#shared = undefined));
  }

  /** Calls a method in the context in which `createServer` was called. A store that it enters there ends with the call. */
  run<TThis, TArguments extends unknown[], TResult>(
    callback: (this: TThis, ...args: TArguments) => TResult,
    receiver: TThis,
    ...args: TArguments
  ): TResult {
    if (this.#shared) return this.#shared.runInAsyncScope(callback, receiver, ...args);
    return this.runApart(callback, receiver, ...args);
  }

  /**
   * Whether many events may share one run: nobody has entered a store in a run so far, and it would be noticed. That ends with the
   * first store, which the events that follow must not see.
   */
  get isShared(): boolean {
    return STORES === "in" && this.#shared !== undefined;
  }

  /** Calls a method that deals with events, without {@link run} while {@link isShared}. It returns as soon as that is over. */
  runMany<TThis, TResult>(callback: (this: TThis) => TResult, receiver: TThis): TResult {
    return this.isShared ? this.run(callback, receiver) : callback.call(receiver);
  }

  /** Like {@link run}, for a method that always enters a store: it does not count as somebody who does. */
  runApart<TThis, TArguments extends unknown[], TResult>(
    callback: (this: TThis, ...args: TArguments) => TResult,
    receiver: TThis,
    ...args: TArguments
  ): TResult {
    const resource = STORES === "beside" ? this.#origin : ownOf(this.#origin);
    return resource.runInAsyncScope(callback, receiver, ...args);
  }

  /**
   * Returns the promise of user code that it is given, which the caller then awaits.
   *
   * Node 20 and 22 give promises a resource only while a hook or some storage is enabled. All code that continues after any other
   * promise shares one resource. So the first store of a process, entered after an `await`, would be seen by all clients
   * whose callbacks were pending. This enables a hook before there can be two of them.
   */
  later<T>(pending: PromiseLike<T>): PromiseLike<T> {
    if (hook && !this.#isClosed && !tracking.has(this)) {
      tracking.add(this);
      hook.enable();
    }
    return pending;
  }

  /** Ends what {@link later} began, as tracked promises are slower. */
  close(): void {
    this.#isClosed = true;
    if (tracking.delete(this) && tracking.size === 0) hook?.disable();
  }
}

/** The context of the code that runs, for what is called on its behalf later. */
export function contextHere(): AsyncResource {
  return new AsyncResource("ZocketCall");
}

/** A resource that sees the stores of another one and keeps its own. An heir is much cheaper than a new one. */
function ownOf(resource: AsyncResource): AsyncResource {
  return STORES === "in"
    ? heirOf(resource)
    : resource.runInAsyncScope(() => new AsyncResource("ZocketEvent"));
}

function heirOf(resource: AsyncResource): AsyncResource {
  return Object.create(resource) as AsyncResource;
}

/**
 * An heir that calls back before it keeps its first store. An heir for each message would cost 3 % of a small one, also where
 * nobody uses a storage; this costs next to nothing.
 */
function watched(resource: AsyncResource, entered: () => void): AsyncResource {
  const keep = (heir: object, key: PropertyKey, value: unknown) => {
    entered();
    return Reflect.defineProperty(heir, key, { value, writable: true, configurable: true });
  };
  const proxy = new Proxy(resource, {
    set: (_, key, value, heir: object) => keep(heir, key, value),
  });
  const { runInAsyncScope } = resource;
  const found: PropertyDescriptorMap = { runInAsyncScope: { value: runInAsyncScope } };
  for (const key of Reflect.ownKeys(resource)) {
    const value = Reflect.get(resource, key) as unknown;
    found[key] = {
      get: () => value,
      set(this: object, value: unknown) {
        keep(this, key, value);
      },
    };
  }
  // Reads of each run find these properties before they reach the proxy, which is slow.
  return heirOf(Object.create(proxy, found) as AsyncResource);
}

function whereStoresLive(): "in" | "behind" | "beside" {
  const probe = new AsyncLocalStorage<boolean>();
  try {
    const resource = new AsyncResource("ZocketProbe");
    const [one, other] = [heirOf(resource), heirOf(resource)];
    one.runInAsyncScope(() => probe.enterWith(true));
    if (other.runInAsyncScope(() => probe.getStore())) return "behind";
    return one.runInAsyncScope(() => probe.getStore()) ? "in" : "beside";
  } catch {
    // The methods of Bun and Deno refuse heirs.
    return "beside";
  } finally {
    probe.disable();
  }
}
