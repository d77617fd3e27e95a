// `send.a.b(payload)`, then `to`, `toRoom` or `broadcast`: built once from the outgoing routes, shared by all contexts.
import type { Commands, Excepted } from "../border/commands.js";
import type { Payload } from "../border/payload.js";
import { isObject, unexpected } from "../faults/check.js";
import type { FluentSender, UntypedSender } from "../types/context.js";
import type { OutgoingRoute } from "../types/routes.js";
import { clientIds, mayBeClientId } from "./client-ids.js";
import type { Client, Clients } from "./clients.js";
import { Closing } from "./closing.js";
import { exceptedIds } from "./except.js";
import type { ToPayload } from "./outgoing-payload.js";
import { Orders } from "./orders.js";
import { Questions } from "./questions.js";
import { roomName, roomNames } from "./room-name.js";
import type { UnsentWatch } from "./unsent.js";

const NOBODY: Excepted = Object.freeze({ handles: [], ids: [] });

/** A route as its messages need it. */
interface NumberedRoute {
  readonly number: number;
  /** The name of its messages in errors. */
  readonly place: string;
}

/** One outgoing route. */
interface KnownRoute extends NumberedRoute {
  readonly toPayload: ToPayload;
}

/** What is looked for in development alone. */
export interface Hints {
  /** Gets an error for the first message to a client whose `onConnect` is pending. */
  sentEarly(error: Error, clientId: string): void;
  readonly unsent: UnsentWatch;
}

/** Sends messages. All ways of sending share it. */
export class Outlet {
  readonly #routes = new Map<string, KnownRoute>();
  /** The sender that all contexts share. */
  readonly send: UntypedSender;
  /** Ends connections. */
  readonly closing: Closing;
  #sentEarly: Hints["sentEarly"] | undefined;
  /** Whether clients of other processes can be reached. */
  hasOthers = false;
  /** How many rooms a client may be in; the engine tells once it has read the options. */
  maxRooms = 0;
  /** Who is in a room. */
  readonly questions: Questions;
  /** What is to be done with clients of other threads and processes. */
  readonly orders = new Orders();

  constructor(
    readonly commands: Commands,
    readonly clients: Clients,
    /** The outgoing routes, by number. */
    routes: readonly OutgoingRoute[],
    /** Chooses how the payloads of a route become JSON. */
    toPayloadOf: (place: string, route: OutgoingRoute) => ToPayload,
    hints?: Hints,
  ) {
    this.closing = new Closing(commands, clients);
    this.questions = new Questions(commands);
    this.#sentEarly = hints?.sentEarly;
    const send = group();
    for (const [number, given] of routes.entries()) {
      const { name } = given;
      const place = `send.${name}(…)`;
      const toPayload = toPayloadOf(place, given);
      const route = { number, place, toPayload };
      this.#routes.set(name, route);
      const path = name.split(".");
      const last = path.pop() ?? "";
      let node = send;
      for (const key of path) node = (node[key] as Group | undefined) ?? (node[key] = group());
      const message = (payload: unknown) => new Message(this, route, toPayload(payload));
      const watched = hints?.unsent.of(place, name);
      node[last] = watched ? (payload) => watched(message(payload)) : message;
    }
    this.send = freeze(send) as unknown as UntypedSender;
  }

  /** Begins a message of a route that is not in the table. `place` is the name of its messages in errors. */
  message(number: number, place: string, payload: Payload): FluentSender {
    return new Message(this, { number, place }, payload);
  }

  /** The client with this id. An unknown id is not an error, except for a client whose `onConnect` is pending. */
  find(id: string, place: string, method: string, lost: string): Client | undefined {
    const client = this.clients.find(id);
    const tell = this.#sentEarly;
    if (client === undefined && tell && this.clients.isDeciding(id)) {
      // One report is enough to find the place in the code.
      this.#sentEarly = undefined;
      const why = `the onConnect of this client is still pending, so ${lost}`;
      tell(new Error(`${place}.${method}: ${why}; do it in onOpen`), id);
    }
    return client;
  }

  /** Whether the id may be of a client of another process or thread. */
  isElsewhere(id: string): boolean {
    return this.hasOthers && mayBeClientId(id);
  }

  /** Sends to everybody in a room, by the route's wire name. */
  publish(
    place: string,
    method: string,
    room: unknown,
    name: unknown,
    payload: unknown,
    options: unknown,
  ): void {
    const roomId = roomName(room, place, method);
    const route = typeof name === "string" ? this.#routes.get(name) : undefined;
    if (route === undefined) {
      throw unexpected(`${place}.${method}`, "the wire name of an outgoing route", name);
    }
    const except = this.except(options, place, method);
    this.commands.toRooms(route.number, [roomId], route.toPayload(payload), except);
  }

  /** The clients that a send with these options leaves out. */
  except(options: unknown, place: string, method: string): Excepted {
    if (options === undefined) return NOBODY;
    const handles: number[] = [];
    const ids: string[] = [];
    for (const id of exceptedIds(options, `${place}.${method}`)) {
      // A client that is not open gets nothing anyway.
      const client = this.clients.find(id);
      if (client) handles.push(client.handle);
      else if (this.isElsewhere(id)) ids.push(id);
    }
    return { handles, ids };
  }
}

/**
 * A message without receivers. Its methods are getters that bind them, so that they work when they are taken off it. Measured, that
 * costs 3 ns. Closures that are made with each message would cost 30 ns.
 */
class Message implements FluentSender {
  readonly #outlet: Outlet;
  readonly #route: NumberedRoute;
  readonly #payload: Payload;

  constructor(outlet: Outlet, route: NumberedRoute, payload: Payload) {
    this.#outlet = outlet;
    this.#route = route;
    this.#payload = payload;
  }

  get to(): FluentSender["to"] {
    return (clientIds, options?: unknown) => {
      if (options !== undefined) this.#refuse(options);
      if (typeof clientIds === "string") this.#toOne(clientIds);
      else this.#toSome(clientIds);
    };
  }

  get toRoom(): FluentSender["toRoom"] {
    return (roomIds, options) => {
      const { number, place } = this.#route;
      const names = roomNames(roomIds, place, "toRoom");
      const except = this.#outlet.except(options, place, "toRoom");
      if (names.length > 0) this.#outlet.commands.toRooms(number, names, this.#payload, except);
    };
  }

  get broadcast(): FluentSender["broadcast"] {
    return (options) => {
      const { number, place } = this.#route;
      const except = this.#outlet.except(options, place, "broadcast");
      this.#outlet.commands.broadcast(number, this.#payload, except);
    };
  }

  /** Short, so that V8 puts it into the handler that calls it. Most messages are for a client that is found here. */
  #toOne(id: string): void {
    const { commands, clients } = this.#outlet;
    const client = clients.find(id);
    if (client) commands.toOne(this.#route.number, client.handle, this.#payload);
    else this.#toOther(id);
  }

  #toOther(id: string): void {
    const { commands } = this.#outlet;
    this.#find(id);
    if (this.#outlet.isElsewhere(id)) commands.toIds(this.#route.number, [id], this.#payload);
  }

  /** Refuses options, which would do nothing. Numbers and texts are no mistake: `ids.forEach(message.to)` gives them. */
  #refuse(options: unknown): void {
    if (!isObject(options)) return;
    const { place } = this.#route;
    throw new TypeError(
      `${place}.to: takes no options; leave ids out of the array, or use toRoom or broadcast with { except }`,
    );
  }

  #find(id: string): Client | undefined {
    return this.#outlet.find(id, this.#route.place, "to", "this message is lost");
  }

  #toSome(ids: unknown): void {
    const { commands } = this.#outlet;
    const handles: number[] = [];
    const elsewhere: string[] = [];
    for (const id of clientIds(ids, `${this.#route.place}.to`)) {
      const client = this.#find(id);
      if (client) handles.push(client.handle);
      else if (this.#outlet.isElsewhere(id)) elsewhere.push(id);
    }
    if (handles.length > 0) commands.to(this.#route.number, handles, this.#payload);
    if (elsewhere.length > 0) commands.toIds(this.#route.number, elsewhere, this.#payload);
  }
}

/** A group of routes. It inherits nothing, so any key may be a route. */
interface Group {
  [key: string]: Group | ((payload: unknown) => FluentSender);
}

function group(): Group {
  return Object.create(null) as Group;
}

function freeze(node: Group): Group {
  for (const child of Object.values(node)) if (typeof child === "object") freeze(child);
  return Object.freeze(node);
}
