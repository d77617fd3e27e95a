// `ctx.rooms`: the room operations of one client.
import { unexpected } from "../faults/check.js";
import { provokedBy } from "../faults/client-fault.js";
import type { RoomOperations, SendOptions } from "../types/context.js";
import type { Client } from "./clients.js";
import { byteLength, roomName, separate } from "./room-name.js";
import { RoomView } from "./room-view.js";
import type { Outlet } from "./send.js";

const PLACE = "rooms";

/** The most bytes that the names of one client's rooms may have together. */
const MAX_NAMES = 1024 * 1024;

/**
 * Each method is a getter that binds it, so that it works when it is taken off the object, and costs a client nothing
 * until it is used.
 */
export class ClientRooms implements RoomOperations {
  readonly #client: Client;
  readonly #outlet: Outlet;
  #view: RoomView | undefined = undefined;
  /** Bytes of the names of its rooms. */
  #bytes = 0;

  constructor(client: Client, outlet: Outlet) {
    this.#client = client;
    this.#outlet = outlet;
    // All contexts of the client share this object. Frozen, so that one handler cannot change it for the next.
    Object.freeze(this);
  }

  get join(): (roomId: string) => void {
    return (roomId) => {
      const rule = this.#join(roomName(roomId, PLACE, "join"));
      if (rule !== undefined) throw tooManyRooms(rule);
    };
  }

  get leave(): (roomId: string) => void {
    return (roomId) => this.#leave(roomName(roomId, PLACE, "leave"));
  }

  get has(): (roomId: string) => boolean {
    return (roomId) => {
      if (typeof roomId !== "string") {
        throw provokedBy(unexpected("rooms.has", "a room name", roomId));
      }
      return this.#client.rooms?.has(roomId) ?? false;
    };
  }

  get current(): ReadonlySet<string> {
    const client = this.#client;
    // An iterator of the view is to see the first join as well.
    if (client.phase === "open") client.rooms ??= new Set();
    return (this.#view ??= new RoomView(client));
  }

  get broadcast(): (
    roomId: string,
    route: string,
    payload?: unknown,
    options?: SendOptions,
  ) => void {
    return (roomId, route, payload, options) =>
      this.#outlet.publish(PLACE, "broadcast", roomId, route, payload, options);
  }

  get members(): (roomId: string) => Promise<string[]> {
    return (roomId) => this.#outlet.questions.members(roomName(roomId, PLACE, "members"));
  }

  /** Puts the client into a room. Returns the rule because of which the client may not be in another one. */
  static join(rooms: ClientRooms, name: string): string | undefined {
    return rooms.#join(name);
  }

  /** Takes the client out of a room. */
  static leave(rooms: ClientRooms, name: string): void {
    rooms.#leave(name);
  }

  #join(name: string): string | undefined {
    const client = this.#client;
    if (client.phase !== "open") return undefined;
    const rooms = (client.rooms ??= new Set());
    if (rooms.has(name)) return undefined;
    const { maxRooms } = this.#outlet;
    if (rooms.size >= maxRooms) return `a client may be in at most ${maxRooms} rooms`;
    const bytes = this.#bytes + byteLength(name);
    if (bytes > MAX_NAMES) {
      return `the names of a client's rooms may have at most ${MAX_NAMES} bytes together`;
    }
    this.#bytes = bytes;
    separate(name);
    rooms.add(name);
    this.#outlet.commands.join(client.handle, name);
    return undefined;
  }

  #leave(name: string): void {
    const client = this.#client;
    if (!client.rooms?.delete(name)) return;
    this.#bytes -= byteLength(name);
    this.#outlet.commands.leave(client.handle, name);
  }
}

function tooManyRooms(rule: string): Error {
  const error = new Error(`${PLACE}.join: ${rule}`);
  return provokedBy(Object.assign(error, { code: "TOO_MANY_ROOMS" }));
}
