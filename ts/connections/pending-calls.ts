// The pending calls of `onDisconnect`, and of each `onOpen` that one waits for.

/** An entry for one of them. */
export interface DisconnectCall {
  readonly clientId: string;
  /** Whether it called `stop()`: then a `stop()` called in such a call must not wait for it, or both wait for ever. */
  stops: boolean;
  readonly isPending: boolean;
}

interface Entry extends DisconnectCall {
  isPending: boolean;
  before: Entry | undefined;
  after: Entry | undefined;
}

/** A list of them, oldest first. Not a `Set`, for the same reason as in `ById`: its tables would outlive their entries. */
export class PendingCalls implements Iterable<DisconnectCall> {
  #first: Entry | undefined = undefined;
  #last: Entry | undefined = undefined;

  get isEmpty(): boolean {
    return this.#first === undefined;
  }

  /** Adds an entry, until its {@link end}. */
  begin(clientId: string): DisconnectCall {
    const before = this.#last;
    const entry: Entry = { clientId, stops: false, isPending: true, before, after: undefined };
    if (before) before.after = entry;
    else this.#first = entry;
    this.#last = entry;
    return entry;
  }

  /** Removes an entry, if it is there. */
  end(call: DisconnectCall): void {
    const entry = call as Entry;
    if (!entry.isPending) return;
    const { before, after } = entry;
    if (before) before.after = after;
    else this.#first = after;
    if (after) after.before = before;
    else this.#last = before;
    entry.isPending = false;
    // An old entry that referred to a newer one would keep it.
    entry.before = undefined;
    entry.after = undefined;
  }

  *[Symbol.iterator](): Iterator<DisconnectCall> {
    for (let entry = this.#first; entry; entry = entry.after) yield entry;
  }
}
