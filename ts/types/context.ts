// The types of `ctx`: the sender, the rooms, and the properties of the user context.
import type { Sent } from "./bytes.js";
import type { DisconnectOptions } from "./disconnect.js";
import type { MessageDef } from "./message.js";
import type { AnyRouter, AnyRoutes, KeyOf, RoutesOf } from "./routes.js";
import type { Added, Known, PayloadArguments, Simplify } from "./shape.js";

/**
 * The context of one client: its user context, and what zocket adds. The server copies the own properties of the user context,
 * so a class instance loses its methods. Put an instance into a property to keep them.
 *
 * A helper with a `ZocketContext<User>` as parameter can take the context of any handler. A helper that sends must name the
 * routes: `ZocketContext<User, typeof routes>`.
 */
export type ZocketContext<TUserContext = {}, TRouter = AnyRouter> = Simplify<
  Added<TUserContext> & {
    /** The id of the client: a random UUID (version 4, in lower case). */
    readonly clientId: string;
    /** Sends messages to any clients. */
    readonly send: Sender<TRouter>;
    /** The rooms of this client. */
    readonly rooms: Rooms<OutgoingPayloads<RoutesOf<TRouter>>>;
    /** Closes the connection of this client, after what was sent to it. No further message of it reaches a handler. */
    readonly disconnect: (how?: DisconnectOptions) => void;
  }
>;

/** The context that `onDisconnect` gets. */
export type DisconnectContext<TUserContext = {}> = Simplify<
  Added<TUserContext> & {
    /** The id of the client that left. */
    readonly clientId: string;
    /** The rooms that it was in at that moment. */
    readonly rooms: ReadonlySet<string>;
  }
>;

/**
 * The outgoing routes as functions: `send.chat.onMessage(payload)` serialises the payload at once and returns a
 * {@link FluentSender}. It throws the `TypeError` of `JSON.stringify` if JSON cannot hold the payload. A payload of bytes is
 * copied.
 */
export type Sender<TRouter = AnyRoutes> = [AnyRouter] extends [TRouter]
  ? AnySender
  : SenderOf<RoutesOf<TRouter>>;

type SenderOf<TRoutes> = string extends keyof TRoutes
  ? UntypedSender
  : {
      readonly [TKey in keyof TRoutes as KeyOf<TKey, TRoutes[TKey], "out">]: SenderAt<
        TRoutes[TKey]
      >;
    };

type SenderAt<TRoute> =
  TRoute extends MessageDef<infer TSchema, "out">
    ? (...args: PayloadArguments<Sent<TSchema>>) => FluentSender
    : SenderOf<TRoute>;

/** The sender of any router. To send, name the type of the routes: `ZocketContext<User, typeof routes>`. */
export interface AnySender {}

/** A sender without known routes, as in a middleware. TypeScript accepts every name and every payload. */
export interface UntypedSender {
  readonly [name: string]: UntypedSender & ((payload?: unknown) => FluentSender);
}

/**
 * A message without receivers. Its methods send it, and you may call several of them. They throw a `TypeError` for an argument
 * of another type, and a `RangeError` for more than 1 GiB of JSON.
 */
export interface FluentSender {
  /** Sends to these clients, once to each. Unknown ids are not an error. */
  to(clientIds: string | readonly string[]): void;
  /** Sends to everybody in these rooms, once to each client. Empty rooms are not an error. */
  toRoom(roomIds: string | readonly string[], options?: SendOptions): void;
  /** Sends to every client. */
  broadcast(options?: SendOptions): void;
}

/** Options of a send to rooms or to every client. */
export interface SendOptions {
  /**
   * The ids of clients that do not get the message, one or several. Unknown ids are not an error.
   * @default none
   */
  readonly except?: string | readonly string[] | undefined;
}

/** The rooms of one client. A room's name has 1 to 4,096 bytes of UTF-8. Another name throws a `TypeError`. */
export type RoomOperations<TRouter = AnyRoutes> = Rooms<OutgoingPayloads<RoutesOf<TRouter>>>;

/** {@link RoomOperations}, typed by the payloads that `broadcast` takes, under their wire names. */
export interface Rooms<TPayloads> {
  /**
   * Joins a room at once. Does nothing once the client is gone.
   *
   * @throws `Error` with the code `TOO_MANY_ROOMS` if the client is in `maxRoomsPerClient` rooms already, or if the names of
   * its rooms would have more than 1 MiB together.
   */
  join(roomId: string): void;
  /** Leaves a room at once. Does nothing if the client is not in the room. */
  leave(roomId: string): void;
  /** Whether the client is in the room. Returns `false` for a string that cannot be a room's name. */
  has(roomId: string): boolean;
  /** The rooms that the client is in: a live, read-only view. */
  readonly current: ReadonlySet<string>;
  /**
   * The ids of the clients in a room, in no particular order. The client itself need not be in it. They are of a moment between
   * the call and the answer. Joins and leaves before the call are in it.
   *
   * It rejects with the code `TOO_MANY_QUESTIONS` if more than 10,000 such questions of the server are pending.
   */
  members(roomId: string): Promise<string[]>;
  /**
   * Sends a message to everybody in a room: `broadcast("lobby", "chat.onMessage", payload)`. The last argument may be
   * `{ except }`.
   *
   * @throws `TypeError` if the route is not an outgoing one.
   */
  broadcast<TName extends keyof TPayloads & string>(
    roomId: string,
    route: TName,
    ...args: [...PayloadArguments<TPayloads[TName]>, options?: SendOptions | undefined]
  ): void;
}

/** The payloads of the outgoing routes under their wire names. */
export type OutgoingPayloads<TRoutes> = string extends keyof TRoutes
  ? Record<string, unknown>
  : { [TName in OutgoingName<TRoutes>]: OutgoingPayload<TRoutes, TName> };

type OutgoingName<TRoutes> = {
  [TKey in keyof TRoutes & (string | number)]: TRoutes[TKey] extends {
    readonly _direction: infer TDirection extends string;
  }
    ? TDirection extends "out"
      ? `${TKey}`
      : never
    : `${TKey}.${OutgoingName<TRoutes[TKey]>}`;
}[keyof TRoutes & (string | number)];

type OutgoingPayload<TRoutes, TName> = TName extends `${infer TKey}.${infer TRest}`
  ? OutgoingPayload<At<TRoutes, TKey>, TRest>
  : At<TRoutes, TName> extends MessageDef<infer TSchema, "out">
    ? Known<Sent<TSchema>>
    : never;

/** The type under a key. A numeric key is found by its text. */
type At<TRoutes, TKey> = TKey extends keyof TRoutes
  ? TRoutes[TKey]
  : TKey extends `${infer TNumber extends number}`
    ? TRoutes[TNumber & keyof TRoutes]
    : never;
