// What handlers get as `ctx`: the sender, the rooms, and the user's own properties.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import type { MessageDef } from "./message.js";
import type { AnyRouter, AnyRoutes, KeyOf, RoutesOf } from "./routes.js";
import type { Added, Known, PayloadArguments, Simplify } from "./shape.js";

/**
 * The context of one client: its user context, and what zocket adds. It is a copy of the own properties: an instance of a
 * class loses its methods, which its type cannot tell, unless it stands in a property of its own.
 *
 * The context of every handler is a `ZocketContext<User>`, so a helper can take any of them. To send, a helper names the routes:
 * `ZocketContext<User, typeof routes>`.
 */
export type ZocketContext<TUserContext = {}, TRouter = AnyRouter> = Simplify<
  Added<TUserContext> & {
    /** Identifies the client: a random UUID (version 4, in lower case). */
    readonly clientId: string;
    /** Sends messages to any clients. */
    readonly send: Sender<TRouter>;
    /** The rooms of this client. */
    readonly rooms: Rooms<OutgoingPayloads<RoutesOf<TRouter>>>;
  }
>;

/** The context that `onDisconnect` gets. */
export type DisconnectContext<TUserContext = {}> = Simplify<
  Added<TUserContext> & {
    /** Identifies the client that left. */
    readonly clientId: string;
    /** The rooms it was in at that moment. */
    readonly rooms: ReadonlySet<string>;
  }
>;

/**
 * The outgoing routes as functions: `send.chat.onMessage(payload)` serialises the payload at once and returns a
 * {@link FluentSender}. It throws the `TypeError` of `JSON.stringify` for what JSON cannot hold.
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
    ? (...args: PayloadArguments<StandardSchemaV1.InferOutput<TSchema>>) => FluentSender
    : SenderOf<TRoute>;

/** The sender of any router. What it sends depends on the routes, so their type has to be named: `ZocketContext<User, typeof routes>`. */
export interface AnySender {}

/** A sender where the routes are not known, as in a middleware: every name is there, and every payload fits. */
export interface UntypedSender {
  readonly [name: string]: UntypedSender & ((payload?: unknown) => FluentSender);
}

/**
 * A message that only needs to be told for whom it is; it may be sent several times. Its methods throw a `TypeError` for an
 * argument of another kind, a `RangeError` for more than 1 GiB of JSON.
 */
export interface FluentSender {
  /** Sends to these clients, once to each. Unknown ids are no error. */
  to(clientIds: string | readonly string[]): void;
  /** Sends to everybody in these rooms, once to each client. Empty rooms are no error. */
  toRoom(roomIds: string | readonly string[]): void;
  /** Sends to every client. */
  broadcast(): void;
}

/** The rooms of one client. A room's name is 1 to 4,096 bytes of UTF-8; another one is a `TypeError`. */
export type RoomOperations<TRouter = AnyRoutes> = Rooms<OutgoingPayloads<RoutesOf<TRouter>>>;

/** {@link RoomOperations} by the payloads that `broadcast` takes, under their wire names. */
export interface Rooms<TPayloads> {
  /**
   * Joins a room, at once; does nothing once the client is gone.
   *
   * @throws `Error` with the code `TOO_MANY_ROOMS` when the client is in `maxRoomsPerClient` rooms, or
   * the names of its rooms would have more than 1 MiB together.
   */
  join(roomId: string): void;
  /** Leaves a room, at once; a room it is not in is no error. */
  leave(roomId: string): void;
  /** Whether the client is in the room; `false` for a text that cannot be a room's name. */
  has(roomId: string): boolean;
  /** The rooms the client is in: a live view, which cannot be changed through. */
  readonly current: ReadonlySet<string>;
  /**
   * Sends a message to everybody in a room: `broadcast("lobby", "chat.onMessage", payload)`.
   *
   * @throws `TypeError` for a route that is no outgoing one.
   */
  broadcast<TName extends keyof TPayloads & string>(
    roomId: string,
    route: TName,
    ...args: PayloadArguments<TPayloads[TName]>
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
    ? Known<StandardSchemaV1.InferOutput<TSchema>>
    : never;

/** What stands under a key; a numeric key is found by its text. */
type At<TRoutes, TKey> = TKey extends keyof TRoutes
  ? TRoutes[TKey]
  : TKey extends `${infer TNumber extends number}`
    ? TRoutes[TNumber & keyof TRoutes]
    : never;
