// The live view of a client's rooms. No `Set`, whose contents `Set.prototype.add.call` would change.
import { inspect } from "node:util";

import type { Client } from "./clients.js";

/** The other set, as the methods that combine sets use it. */
interface SetLike {
  readonly size: number;
  has(value: unknown): boolean;
  keys(): Iterator<unknown>;
}

const NO_ROOMS: ReadonlySet<string> = new Set();

/** Everything a `ReadonlySet` has, on every supported Node: the methods that combine sets came with Node 22. */
export class RoomView implements ReadonlySet<string> {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
    // All handlers of the client share this object. Frozen, so that one of them cannot change it for the others.
    Object.freeze(this);
  }

  get #names(): ReadonlySet<string> {
    return this.#client.rooms ?? NO_ROOMS;
  }

  get size(): number {
    return this.#names.size;
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  keys(): SetIterator<string> {
    return this.#names.keys();
  }

  values(): SetIterator<string> {
    return this.#names.values();
  }

  entries(): SetIterator<[string, string]> {
    return this.#names.entries();
  }

  [Symbol.iterator](): SetIterator<string> {
    return this.#names.values();
  }

  forEach(
    callback: (name: string, again: string, view: ReadonlySet<string>) => void,
    thisArgument?: unknown,
  ): void {
    for (const name of this.#names) callback.call(thisArgument, name, name, this);
  }

  union<TOther>(other: SetLike & { keys(): Iterator<TOther> }): Set<string | TOther> {
    return new Set<string | TOther>([...this.#names, ...keysOf(other)]);
  }

  intersection<TOther>(other: SetLike & { keys(): Iterator<TOther> }): Set<string & TOther> {
    return this.#filter((name) => other.has(name)) as Set<string & TOther>;
  }

  difference(other: SetLike): Set<string> {
    return this.#filter((name) => !other.has(name));
  }

  symmetricDifference<TOther>(other: SetLike & { keys(): Iterator<TOther> }): Set<string | TOther> {
    const result = new Set<string | TOther>(this.#names);
    for (const value of keysOf(other)) {
      if (this.#names.has(value as string)) result.delete(value);
      else result.add(value);
    }
    return result;
  }

  isSubsetOf(other: SetLike): boolean {
    return this.#filter((name) => !other.has(name)).size === 0;
  }

  isSupersetOf(other: SetLike): boolean {
    for (const value of keysOf(other)) if (!this.#names.has(value as string)) return false;
    return true;
  }

  isDisjointFrom(other: SetLike): boolean {
    return this.#filter((name) => other.has(name)).size === 0;
  }

  /** The value that `console.log` shows. */
  [inspect.custom](): ReadonlySet<string> {
    return new Set(this.#names);
  }

  #filter(keep: (name: string) => boolean): Set<string> {
    return new Set([...this.#names].filter(keep));
  }
}

/** `keys` of a set-like is an iterator, which `for` does not take; of a `Set` or `Map` it is both. */
function* keysOf<TKey>(other: { keys(): Iterator<TKey> }): Generator<TKey, void, undefined> {
  const keys = other.keys();
  for (let next = keys.next(); next.done !== true; next = keys.next()) yield next.value;
}
