// What handlers get as `ctx`: the sender, the rooms, and the user's own properties.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import type { MessageDef } from "./message.js";
import type { AnyRoutes, KeyOf, RoutesOf } from "./routes.js";
import type { Added, PayloadArguments, Simplify } from "./shape.js";

/** The context of one client: its user context, and what zocket adds. */
export type ZocketContext<TUserContext = {}, TRouter = AnyRoutes> = Simplify<
  Added<TUserContext> & {
    /** Identifies the client: a random UUID (version 4, in lower case). */
    readonly clientId: string;
    /** Sends messages to any clients. */
    readonly send: Sender<TRouter>;
    /** The rooms of this client. */
    readonly rooms: RoomOperations<TRouter>;
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

/** The outgoing routes as functions: `send.chat.onMessage(payload)` takes a payload and returns a {@link FluentSender}. */
export type Sender<TRouter = AnyRoutes> = SenderOf<RoutesOf<TRouter>>;

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

/** A sender where the routes are not known, as in a middleware: every name is there, and every payload fits. */
export interface UntypedSender {
  readonly [name: string]: UntypedSender & ((payload?: unknown) => FluentSender);
}

/** A message that only needs to be told for whom it is; it may be sent several times. */
export interface FluentSender {
  /** Sends to these clients. Unknown ids are no error. */
  to(clientIds: string | readonly string[]): void;
  /** Sends to everybody in these rooms, once to each client. Empty rooms are no error. */
  toRoom(roomIds: string | readonly string[]): void;
  /** Sends to every client. */
  broadcast(): void;
}

/** The rooms of one client. */
export interface RoomOperations<TRouter = AnyRoutes> {
  /** Joins a room, at once. */
  join(roomId: string): void;
  /** Leaves a room, at once. */
  leave(roomId: string): void;
  /** Whether the client is in the room. */
  has(roomId: string): boolean;
  /** The rooms the client is in: a live view. */
  readonly current: ReadonlySet<string>;
  /** Sends a message to everybody in a room: `broadcast("lobby", "chat.onMessage", payload)`. */
  broadcast<TName extends OutgoingName<RoutesOf<TRouter>>>(
    roomId: string,
    route: TName,
    ...args: OutgoingArguments<RoutesOf<TRouter>, TName>
  ): void;
}

/** The wire names of the outgoing routes. */
export type OutgoingName<TRoutes> = string extends keyof TRoutes
  ? string
  : { [TKey in keyof TRoutes]: OutgoingNameAt<TKey, TRoutes[TKey]> }[keyof TRoutes];

type OutgoingNameAt<TKey, TRoute> = TKey extends string | number
  ? TRoute extends { readonly _direction: infer TDirection extends string }
    ? TDirection extends "out"
      ? `${TKey}`
      : never
    : `${TKey}.${OutgoingName<TRoute>}`
  : never;

/** The payload argument of an outgoing route, found by its wire name. */
export type OutgoingArguments<TRoutes, TName> = string extends keyof TRoutes
  ? [payload?: unknown]
  : TName extends `${infer TKey}.${infer TRest}`
    ? OutgoingArguments<At<TRoutes, TKey>, TRest>
    : At<TRoutes, TName> extends MessageDef<infer TSchema, "out">
      ? PayloadArguments<StandardSchemaV1.InferOutput<TSchema>>
      : never;

/** What stands under a key; a numeric key is found by its text. */
type At<TRoutes, TKey> = {
  [TOwn in keyof TRoutes as `${TOwn & (string | number)}`]: TRoutes[TOwn];
} extends infer TByText
  ? TKey extends keyof TByText
    ? TByText[TKey]
    : never
  : never;
