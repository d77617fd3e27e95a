// Handlers, and the router made of them and of routes.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import type { Declared, Fail, HandlerResult, Signal } from "./call.js";
import type { ZocketContext } from "./context.js";
import type { IncomingMessage } from "./message.js";
import type { AnyRoutes, KeyOf, RouteTable } from "./routes.js";
import type { Added, Merge } from "./shape.js";

/** The application router, as `zo.router` returns it: the routes, and the handlers of the incoming ones. */
export interface AppRouter<
  TRoutes extends AnyRoutes = AnyRoutes,
  TUserContext = never,
  THeaders = unknown,
> {
  /** The routes as given. */
  readonly routes: TRoutes;
  /** The handlers as given. */
  readonly handlers: Handlers<TRoutes, TUserContext>;
  /** @internal The same, flat and numbered, as the engine and the dispatcher use it. */
  readonly _table: RouteTable<THeaders>;
}

/**
 * Handles one incoming message. The server does not wait for its promise before it handles the next message. If it throws or
 * rejects, `onError` gets the error, and the client gets a `$error` with `HANDLER_ERROR`.
 */
// An interface, because a compiler works out what stands in the brackets once. For a function type it would do so twice.
export interface HandlerFn<
  TPayload = unknown,
  TContext = ZocketContext,
  TResult = void | Promise<void>,
  TErrors = {},
> {
  (message: {
    /** The payload, as the schema returned it. */
    readonly payload: TPayload;
    /** The client's context. Each message gets a fresh copy. */
    readonly ctx: TContext;
    /** Fires when the caller aborts the call, or the connection ends, before the handler has settled. */
    readonly signal: Signal;
    /** Makes one of the declared errors, to be thrown. */
    readonly fail: Fail<TErrors>;
  }): TResult;
}

/** The handlers of the incoming routes, in the shape of the routes. You may leave some out. */
export type Handlers<TRoutes, TUserContext = {}> = string extends keyof TRoutes
  ? object
  : HandlersIn<TRoutes, TUserContext, TRoutes>;

/** The same with none left out. */
export type AllHandlers<TRoutes, TUserContext = {}> = string extends keyof TRoutes
  ? object
  : AllIn<TRoutes, TUserContext, TRoutes>;

type HandlersIn<TRoute, TUserContext, TRoutes> = {
  readonly [TKey in GroupKey<TRoute>]?:
    | (HandlerAt<TRoute[TKey], TUserContext, TRoutes> &
        HandlersIn<TRoute[TKey], TUserContext, TRoutes>)
    | undefined;
};

type AllIn<TRoute, TUserContext, TRoutes> = {
  readonly [TKey in GroupKey<TRoute>]: HandlerAt<TRoute[TKey], TUserContext, TRoutes> &
    AllIn<TRoute[TKey], TUserContext, TRoutes>;
};

/** The names in a group that lead to incoming messages. A message itself has none. */
type GroupKey<TRoute> = TRoute extends { readonly _direction: string }
  ? never
  : { [TKey in keyof TRoute]: KeyOf<TKey, TRoute[TKey], "in"> }[keyof TRoute];

/** The handler, where `TRoute` is a message. */
type HandlerAt<TRoute, TUserContext, TRoutes> =
  TRoute extends IncomingMessage<
    infer TSchema,
    infer TAdditions,
    infer TReply,
    infer TStream,
    infer TErrors
  >
    ? HandlerFn<
        StandardSchemaV1.InferOutput<TSchema>,
        ZocketContext<Merge<Added<TUserContext>, TAdditions>, TRoutes>,
        HandlerResult<TReply, TStream>,
        Declared<TErrors>
      >
    : unknown;
