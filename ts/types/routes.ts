// Routes: message definitions under their names, and types that follow from them.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import type { AnyMessage, Direction, ErrorSchemas, OutgoingMessage } from "./message.js";
import type { Transformer } from "./transformer.js";

/** Message definitions under their names, nested. */
export interface AnyRoutes {
  readonly [name: string]: AnyMessage | AnyRoutes;
}

/** The type parameter of clients and senders: the type of a router (`typeof appRouter`), or of its routes (`typeof routes`). */
export type AnyRouter =
  | AnyRoutes
  | { readonly routes: AnyRoutes; readonly handlers: object; readonly _table: RouteTable };

/** The routes of an {@link AnyRouter}. */
export type RoutesOf<TRouter> = TRouter extends {
  readonly routes: infer TRoutes;
  readonly _table: RouteTable;
}
  ? TRoutes
  : TRouter;

declare const headers: unique symbol;

/**
 * @internal The flat form of a router. A route's number is its place in its array. The type also holds the input of the headers
 * schema, for the client's `headers`.
 */
export interface RouteTable<THeaders = unknown> {
  /** The incoming routes that have a handler. */
  readonly incoming: readonly IncomingRoute[];
  /** The outgoing routes. */
  readonly outgoing: readonly OutgoingRoute[];
  /** The wire names of the incoming routes without a handler. */
  readonly missing: readonly string[];
  /** The transformer of all payloads. */
  readonly transformer?: Transformer;
  readonly [headers]?: THeaders;
}

/** The input of a router's headers schema. For routes alone it is `unknown`. */
export type HeadersOf<TRouter> = TRouter extends { readonly _table: RouteTable<infer THeaders> }
  ? THeaders
  : unknown;

/** @internal One outgoing route. */
export interface OutgoingRoute {
  readonly name: string;
  readonly schema: StandardSchemaV1;
  readonly slowClient?: NonNullable<OutgoingMessage["slowClient"]>;
  readonly compress?: boolean;
  /** Whether its payload is bytes. */
  readonly bytes?: boolean;
}

/** @internal One incoming route with everything the dispatcher calls for it. */
export interface IncomingRoute {
  readonly name: string;
  readonly schema: StandardSchemaV1;
  readonly reply?: StandardSchemaV1;
  readonly stream?: StandardSchemaV1;
  readonly errors?: ErrorSchemas;
  readonly middlewares: readonly ((message: { ctx: object; payload: unknown }) => unknown)[];
  readonly handler: (message: { payload: unknown; ctx: object }) => unknown;
}

/** Which ways the messages in a group go; of one message, its direction. */
type DirectionsOf<TRoute> = TRoute extends { readonly _direction: infer TDirection }
  ? TDirection
  : string extends keyof TRoute
    ? Direction
    : { [TKey in keyof TRoute]: DirectionsOf<TRoute[TKey]> }[keyof TRoute];

/** `TKey` if there are messages of that direction under it, so that it stays in a mapped type. */
export type KeyOf<TKey, TRoute, TDirection extends Direction> =
  TDirection extends DirectionsOf<TRoute> ? TKey : never;
