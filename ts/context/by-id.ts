// Finds clients by their ids.

/** Buckets of an index with few clients: a power of two, as their number always is. */
const FEWEST = 64;
/** How many digits at the end of an id choose its bucket: enough for millions of clients. The first ones name its process. */
const DIGITS = 6;
/** The end of a bucket. */
const NONE = -1;

/** What the table needs to know of a client. */
interface Listed {
  readonly handle: number;
  readonly id: string;
  /** See {@link hashOf}. */
  readonly hash: number;
  /** The handle of the next client in its bucket. */
  nextById: number;
}

/**
 * A hash table of clients.
 *
 * A `Map` makes a new table each time that some clients have come and gone, and its former table refers to the new one. Once one of
 * them is old, V8 keeps all later ones until it collects the old space, which made handshakes a sixth slower. This table makes nothing
 * for a client: a bucket is a list that runs through the clients themselves. Ids are random and come from the engine, so no peer can
 * choose a bucket.
 */
export class ById<TClient extends Listed> {
  /** The clients by their handles, which the lists are made of. */
  readonly #clients: readonly (TClient | undefined)[];
  /** The first handle of each bucket. */
  #first = emptyBuckets(FEWEST);
  #count = 0;

  constructor(clients: readonly (TClient | undefined)[]) {
    this.#clients = clients;
  }

  /** The client with this id, if it was {@link add}ed. */
  get(id: string): TClient | undefined {
    let handle = this.#first[this.#bucket(hashOf(id))] as number;
    while (handle !== NONE) {
      const client = this.#clients[handle];
      if (client === undefined || client.id === id) return client;
      handle = client.nextById;
    }
    return undefined;
  }

  /** Adds a client that can be found by its handle until it is {@link remove}d. */
  add(client: TClient): void {
    if (this.#count >= this.#first.length) this.#resize(2 * this.#first.length);
    this.#count += 1;
    this.#link(client);
  }

  /** Removes a client. */
  remove(client: TClient): void {
    const bucket = this.#bucket(client.hash);
    let before: TClient | undefined;
    let handle = this.#first[bucket] as number;
    while (handle !== client.handle) {
      before = handle === NONE ? undefined : this.#clients[handle];
      if (before === undefined) return;
      handle = before.nextById;
    }
    if (before) before.nextById = client.nextById;
    else this.#first[bucket] = client.nextById;
    this.#count -= 1;
    if (this.#count === 0 && this.#first.length > FEWEST) this.#first = emptyBuckets(FEWEST);
  }

  #bucket(hash: number): number {
    return hash & (this.#first.length - 1);
  }

  #link(client: TClient): void {
    const bucket = this.#bucket(client.hash);
    client.nextById = this.#first[bucket] as number;
    this.#first[bucket] = client.handle;
  }

  #resize(buckets: number): void {
    const before = this.#first;
    this.#first = emptyBuckets(buckets);
    for (const first of before) {
      let handle = first;
      while (handle !== NONE) {
        const client = this.#clients[handle];
        if (client === undefined) break;
        handle = client.nextById;
        this.#link(client);
      }
    }
  }
}

/** Chooses the bucket of an id. */
export function hashOf(id: string): number {
  let hash = 0;
  for (let at = id.length - DIGITS; at < id.length; at += 1) {
    const code = id.charCodeAt(at);
    // The digits from 0 to 9 end with their value, and the letters with theirs less nine.
    hash = (hash << 4) | ((code & 15) + (code >= 64 ? 9 : 0));
  }
  return hash;
}

function emptyBuckets(count: number): Int32Array {
  return new Int32Array(count).fill(NONE);
}
