// Handlers, and the router made of them and of routes.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import type { ZocketContext } from "./context.js";
import type { IncomingMessage } from "./message.js";
import type { AnyRoutes, KeyOf, RouteTable } from "./routes.js";
import type { Added, Merge } from "./shape.js";

/** What `zo.router` returns: routes with the handlers of the incoming ones. */
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
 * Handles one incoming message. Its promise is not waited for. What it throws or rejects with goes to `onError`, and the
 * sender gets a `$error` with `HANDLER_ERROR`.
 */
export type HandlerFn<TPayload = unknown, TContext = ZocketContext> = (message: {
  /** What the schema made of the payload. */
  readonly payload: TPayload;
  /** The client's context: a fresh copy for each message. */
  readonly ctx: TContext;
}) => void | Promise<void>;

/** The handlers of the incoming routes, in the shape of the routes; any may be left out. */
export type Handlers<TRoutes, TUserContext = {}> = string extends keyof TRoutes
  ? object
  : {
      readonly [TKey in keyof TRoutes as KeyOf<TKey, TRoutes[TKey], "in">]?:
        HandlersAt<TRoutes[TKey], TUserContext, TRoutes> | undefined;
    };

/** What stands in the handlers where `TRoute` stands in the routes. */
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
