// The asynchronous context that user code runs in: what `AsyncLocalStorage` and its like see. Each event starts in the
// context in which `createServer` was called, so no client ever sees the store of another one.
import { AsyncLocalStorage, AsyncResource, createHook } from "node:async_hooks";

/**
 * Whether `enterWith` writes into the resource that runs, as on Node 20 and 22: then what somebody entered is still there
 * when that resource runs again. Node 24 and later, Bun and Deno restore the former stores after each run.
 */
const KEEPS_STORES = keepsStores();

/** Scopes with pending promises of user code, now or before. While there is one, {@link hook} is enabled. */
const tracking = new Set<Scope>();
/** Does nothing. Because it is enabled, Node 20 and 22 give each promise a resource. Other hooks cost more. */
const hook = KEEPS_STORES ? createHook({ before() {} }) : undefined;

/** The context of one server. */
export class Scope {
  /** Holds the stores that `createServer` saw. */
  readonly #origin = new AsyncResource("ZocketServer");
  /** Every call runs in this resource until somebody enters a store that would stay. From then on each call has an heir. */
  #shared: AsyncResource | undefined = KEEPS_STORES
    ? watched(this.#origin, () => (this.#shared = undefined))
    : this.#origin;
  #isClosed = false;

  /** Calls a method in the context in which `createServer` was called. What it enters there ends with the call. */
  run<TThis, TArguments extends unknown[], TResult>(
    callback: (this: TThis, ...args: TArguments) => TResult,
    receiver: TThis,
    ...args: TArguments
  ): TResult {
    if (this.#shared) return this.#shared.runInAsyncScope(callback, receiver, ...args);
    return this.runApart(callback, receiver, ...args);
  }

  /** The same for a method that always enters a store: it does not count as somebody who does. */
  runApart<TThis, TArguments extends unknown[], TResult>(
    callback: (this: TThis, ...args: TArguments) => TResult,
    receiver: TThis,
    ...args: TArguments
  ): TResult {
    const resource = KEEPS_STORES ? heirOf(this.#origin) : this.#origin;
    return resource.runInAsyncScope(callback, receiver, ...args);
  }

  /**
   * Returns the promise of user code that it is given, which the caller then awaits.
   *
   * Node 20 and 22 give promises a resource only while a hook or some storage is enabled. Whatever continues after any other
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

/** A resource that sees the stores of another one and keeps its own. Much cheaper than a new resource. */
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
  // What each run reads is found before the proxy, which is slow.
  return heirOf(Object.create(proxy, found) as AsyncResource);
}

function keepsStores(): boolean {
  const probe = new AsyncLocalStorage<boolean>();
  try {
    const heir = heirOf(new AsyncResource("ZocketProbe"));
    heir.runInAsyncScope(() => probe.enterWith(true));
    return heir.runInAsyncScope(() => probe.getStore()) === true;
  } catch {
    // The methods of Bun and Deno refuse heirs.
    return false;
  } finally {
    probe.disable();
  }
}
