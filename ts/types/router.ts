// Handlers, and the router made of them and of routes.
import type { StandardSchemaV1 } from "@standard-schema/spec";

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
export type HandlerFn<TPayload = unknown, TContext = ZocketContext> = (message: {
  /** The payload, as the schema returned it. */
  readonly payload: TPayload;
  /** The client's context. Each message gets a fresh copy. */
  readonly ctx: TContext;
}) => void | Promise<void>;

/** The handlers of the incoming routes, in the shape of the routes. You may leave some out. */
export type Handlers<TRoutes, TUserContext = {}> = string extends keyof TRoutes
  ? object
  : {
      readonly [TKey in keyof TRoutes as KeyOf<TKey, TRoutes[TKey], "in">]?:
        HandlersAt<TRoutes[TKey], TUserContext, TRoutes> | undefined;
    };

/** The type of the handlers in the place of `TRoute` in the routes. */
type HandlersAt<TRoute, TUserContext, TRoutes> =
  TRoute extends IncomingMessage<infer TSchema, infer TAdditions>
    ? HandlerFn<
        StandardSchemaV1.InferOutput<TSchema>,
        ZocketContext<Merge<Added<TUserContext>, TAdditions>, TRoutes>
      >
    : {
        readonly [TKey in keyof TRoute as KeyOf<TKey, TRoute[TKey], "in">]?:
          HandlersAt<TRoute[TKey], TUserContext, TRoutes> | undefined;
      };
