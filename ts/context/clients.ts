// Keeps what JavaScript knows about each client, and finds clients by the engine's handle or by id.
import type { RoomOperations, ZocketContext } from "../types/context.js";
import { ById, hashOf } from "./by-id.js";

/** A message that waits behind one that is pending: an event's code and value, and the bytes and weight of the JSON that was. */
export interface WaitingMessage {
  readonly code: number;
  readonly value: unknown;
  readonly bytes: number;
  readonly weight: number;
  /** How it is to be answered, if it is. */
  readonly call: Answerable | undefined;
}

/** A message that is to be answered. */
export interface Answerable {
  /** The engine's number for it; of a message that is no call, the client's `id`. */
  readonly number: number;
}

/** Something that ends early when its client does. */
export interface Endable {
  fire(reason: unknown): void;
}

/** What the calls of one client share, once there was one. An idle client is to cost little, so it is one property. */
export interface OpenCalls {
  /** Open calls by their numbers. */
  readonly open: Map<number, Answerable>;
  /** Handlers that run and look at their signals. */
  readonly signals: Set<Endable>;
  /** Bytes of the items that the client has not acknowledged, and the streams that wait for fewer. */
  unacknowledged: number;
  readonly waiting: Set<() => void>;
}

/** The handler calls of one client whose promises have not settled. */
export interface HandlersInFlight {
  count: number;
  /** Bytes of JSON that they began with. */
  bytes: number;
  /** Tells the message that waits that there is one less. */
  next: (() => void) | undefined;
}

/**
 * A payload and context that wait for a middleware, or an upgrade request that waits for the application. Taken away when the
 * client is gone, whatever the application still does.
 */
export interface Suspended {
  payload: unknown;
  ctx: object | undefined;
}

/** The parts of a context that act for its client. */
export interface Operations {
  readonly rooms: RoomOperations;
  readonly disconnect: ZocketContext["disconnect"];
}

/** The context of a client whose `onConnect` returned none. */
export const NO_CONTEXT: object = Object.freeze({});

/** One client, from its upgrade request on. There may be very many, so an idle one has to cost little. */
export class Client {
  /** `deciding` until it is admitted, `closing` once the server closes it, `gone` from its end on. */
  phase: "deciding" | "open" | "closing" | "gone" = "deciding";
  /** The object that `onConnect` returned. */
  context: object = NO_CONTEXT;
  /** Names of the rooms it is in; the engine's registry changes by the commands of the same calls. */
  rooms: Set<string> | undefined = undefined;
  /** What its handlers can do for it; made for the first message. */
  operations: Operations | undefined = undefined;
  /** Messages behind a pending one; `undefined` while none is pending. */
  waiting: WaitingMessage[] | undefined = undefined;
  /** Bytes of JSON of those, and what they hold. */
  waitingBytes = 0;
  waitingHeld = 0;
  /** The payload and context of its pending message, or its upgrade request. */
  suspended: Suspended | undefined = undefined;
  /** Its handler calls under way. */
  inFlight: HandlersInFlight | undefined = undefined;
  /** Its calls. */
  openCalls: OpenCalls | undefined = undefined;
  /** The bytes that all its unfinished messages hold. */
  held = 0;
  /** Whether the engine was told not to read it. */
  paused = false;
  /** The handle of the next client in its bucket of {@link ById}. */
  nextById = -1;
  /** What chooses that bucket. */
  readonly hash: number;

  constructor(
    /** The engine's number for it; not to be used once it is gone. */
    readonly handle: number,
    readonly id: string,
  ) {
    this.hash = hashOf(id);
  }
}

/** The calls of a client. */
export function openCallsOf(client: Client): OpenCalls {
  return (client.openCalls ??= {
    open: new Map(),
    signals: new Set(),
    unacknowledged: 0,
    waiting: new Set(),
  });
}

/** Places of clients that are kept while there are none: 8 KiB. */
const KEPT = 1_024;

/** All clients of one server. */
export class Clients {
  readonly #byHandle: (Client | undefined)[] = [];
  readonly #byId = new ById(this.#byHandle);
  /** How many there are, open or not. */
  #count = 0;
  /** Called with `true` when the first client comes, and with `false` when the last one has gone. */
  onPresence: ((hasClients: boolean) => void) | undefined = undefined;
  /** The client of the last event. Most messages that its handler sends are for this client. */
  #last: Client | undefined = undefined;

  /** Adds the client of an upgrade request. Nobody finds it by its id yet. */
  add(handle: number, id: string): Client {
    const client = new Client(handle, id);
    // Handles are small and dense; going up one by one keeps the array from becoming a dictionary.
    while (this.#byHandle.length < handle) this.#byHandle.push(undefined);
    this.#byHandle[handle] = client;
    this.#count += 1;
    if (this.#count === 1) this.onPresence?.(true);
    this.#byId.add(client);
    return client;
  }

  /** Whether the id is of a client that is not open yet. */
  isDeciding(id: string): boolean {
    return this.#byId.get(id)?.phase === "deciding";
  }

  /** The client that the engine calls so. */
  at(handle: number): Client | undefined {
    return (this.#last = this.#byHandle[handle]);
  }

  /** The open client with this id. */
  find(id: string): Client | undefined {
    const last = this.#last;
    const client = last?.id === id ? last : this.#byId.get(id);
    return client?.phase === "deciding" ? undefined : client;
  }

  /** Opens a client: from now on it can be sent to. */
  open(client: Client): void {
    client.phase = "open";
  }

  /** Begins to close an open client: no message of it that waits is handled any more. It can still be found. */
  startClosing(client: Client): void {
    client.phase = "closing";
    dropWaiting(client);
  }

  /** Forgets a client: its handle is free from now on. */
  end(client: Client): void {
    client.phase = "gone";
    this.#byId.remove(client);
    this.#byHandle[client.handle] = undefined;
    this.#count -= 1;
    if (this.#count === 0) {
      // The engine begins anew too when nobody is left.
      if (this.#byHandle.length > KEPT) this.#byHandle.length = 0;
      this.onPresence?.(false);
    }
    if (this.#last === client) this.#last = undefined;
    // Code that still runs for the client keeps this object in memory, but not the messages.
    dropWaiting(client);
    client.inFlight = undefined;
  }

  /** All clients, open or not. */
  *all(): Iterable<Client> {
    for (const client of this.#byHandle) if (client) yield client;
  }

  /** The clients of one shard. */
  ofShard(shard: number, shards: number): Client[] {
    const clients = [];
    for (let handle = shard; handle < this.#byHandle.length; handle += shards) {
      const client = this.#byHandle[handle];
      if (client) clients.push(client);
    }
    return clients;
  }
}

/** Lets go of the messages that have not reached their handlers. */
function dropWaiting(client: Client): void {
  if (client.waiting) client.waiting.length = 0;
  client.waitingBytes = 0;
  if (client.suspended) {
    client.suspended.payload = undefined;
    client.suspended.ctx = undefined;
  }
}
