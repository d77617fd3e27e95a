// Orders: joins, leaves and disconnects of clients that another thread or process owns. The engine finds the owners, which carry out
// the order and answer. The promise of an order settles with the last answer.
import { ILL_FORMED, type ORDER } from "../border/codes.js";
import { byteLength } from "./room-name.js";

/** How many orders may be under way. */
const MAX_OPEN = 10_000;
/** Most ids of one order. A call for more clients becomes several orders. */
const MAX_IDS = 1_024;
/** Most bytes of the room names of one order. A call for more becomes several orders. */
const MAX_NAMES = 16 * 1_024;

/** Why nothing comes of a call after the end. The call's name stands before it: that of a server or of a publisher. */
export const STOPPED = "it has stopped";

/** What is to be done with clients. */
export type Act =
  | { readonly act: typeof ORDER.JOIN | typeof ORDER.LEAVE; readonly rooms: readonly string[] }
  | { readonly act: typeof ORDER.DISCONNECT; readonly code: number; readonly reason: string };

/** The value of an ORDER event: what somebody else wants done with clients of this thread. */
export interface Order {
  readonly order: number;
  readonly act: number;
  readonly ids: readonly string[];
  readonly rooms?: readonly string[];
  readonly code?: number;
  readonly reason?: string;
}

/** The value of an ORDERED event: how an order of this thread ended. */
export interface Ordered {
  readonly number: number;
  /** Clients that may not be in another room, and why the first of them may not. */
  readonly refused: readonly string[];
  readonly why?: string;
  /** Why nobody knows whether all of it was done. */
  readonly failure?: string;
}

/** The part of the engine that takes orders and answers. */
interface Engine {
  order(
    number: number,
    act: { act: number; rooms: Buffer[]; code: number; reason: string },
    ids: string[],
  ): void;
  ordered(shard: number, order: number, refused: string[], why?: string): void;
}

/** The orders of one server or publisher. */
export class Orders {
  #engine: Engine | undefined;
  #flush = (): void => {};
  readonly #open = new Map<number, (ended: Ordered) => void>();
  #last = 0;
  #isOver = false;

  /** Sets the engine. `flush` hands over the commands so far. */
  attach(engine: Engine, flush: () => void): void {
    this.#engine = engine;
    this.#flush = flush;
  }

  /**
   * Gives an order about these clients. The promise resolves when their owners have carried it out. `place` names the call in errors.
   */
  async give(place: string, act: Act, ids: readonly string[]): Promise<void> {
    const acts = "rooms" in act ? parts(act.rooms, MAX_NAMES, byteLength) : [];
    const each = "rooms" in act ? acts.map((rooms) => ({ ...act, rooms })) : [act];
    const clients = parts(ids, MAX_IDS, () => 1);
    if (this.#open.size + each.length * clients.length > MAX_OPEN) {
      const text = `${place}: more than ${MAX_OPEN} orders for other threads and processes are pending`;
      throw Object.assign(new Error(text), { code: "TOO_MANY_ORDERS" });
    }
    const orders = each.flatMap((part) => clients.map((some) => this.#one(part, some)));
    const all = await Promise.all(orders);
    const failure = all.find((it) => it.failure !== undefined)?.failure;
    if (failure !== undefined) {
      throw Object.assign(new Error(`${place}: ${failure}`), { code: "BUS" });
    }
    const refused = [...new Set(all.flatMap((it) => it.refused))];
    if (refused.length > 0) {
      throw tooManyRooms(place, all.find((it) => it.why !== undefined)?.why ?? "", refused);
    }
  }

  /** Takes the end of an order; whether somebody waited for it. */
  ended(ordered: Ordered): boolean {
    const settle = this.#open.get(ordered.number);
    this.#open.delete(ordered.number);
    settle?.(ordered);
    return settle !== undefined;
  }

  /** Answers an order of somebody else, once its commands are written. */
  answer(shard: number, order: number, refused: readonly string[], why?: string): void {
    this.#flush();
    this.#engine?.ordered(shard, order, [...refused], why);
  }

  /** The engine is gone: nobody answers any more. */
  close(): void {
    this.#isOver = true;
    for (const number of this.#open.keys()) this.ended(stopped(number));
  }

  #one(act: Act, ids: readonly string[]): Promise<Ordered> {
    // It wraps long after the order with that number has ended.
    const number = (this.#last = (this.#last + 1) >>> 0);
    if (this.#isOver) return Promise.resolve(stopped(number));
    return new Promise((resolve) => {
      this.#open.set(number, resolve);
      this.#flush();
      const rooms = "rooms" in act ? act.rooms.map(nameBytes) : [];
      const { code, reason } = "rooms" in act ? { code: 0, reason: "" } : act;
      this.#engine?.order(number, { act: act.act, rooms, code, reason }, [...ids]);
    });
  }
}

/** The error for clients that may not be in another room. */
export function tooManyRooms(place: string, rule: string, clientIds: readonly string[]): Error {
  return Object.assign(new Error(`${place}: ${rule}`), { code: "TOO_MANY_ROOMS", clientIds });
}

function stopped(number: number): Ordered {
  return { number, refused: [], failure: STOPPED };
}

/** Splits a list into parts of a size. Each part has one at least. */
function parts<T>(list: readonly T[], most: number, sizeOf: (it: T) => number): (readonly T[])[] {
  const all: T[][] = [];
  let room = 0;
  for (const it of list) {
    room -= sizeOf(it);
    if (room < 0 || all.length === 0) {
      all.push([]);
      room = most - sizeOf(it);
    }
    all.at(-1)?.push(it);
  }
  return all;
}

/** A room name as commands have it. */
function nameBytes(name: string): Buffer {
  if (name.isWellFormed()) return Buffer.from(name);
  return Buffer.concat([Buffer.of(ILL_FORMED), Buffer.from(name, "utf16le")]);
}
