// The type of the result of `zocket.create`.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import type { MessageBuilder } from "./builder.js";
import type { BytesOptions, BytesSchema } from "./bytes.js";
import type { DisconnectContext, ZocketContext } from "./context.js";
import type { DisconnectInfo } from "./disconnect.js";
import type { HandlerBuilder } from "./guarded.js";
import type { AllHandlers, AppRouter, Handlers } from "./router.js";
import type { AnyRoutes } from "./routes.js";
import type { Named } from "./shape.js";
import type { RoutesFor } from "./transformed.js";
import type { Transformer } from "./transformer.js";
import type { UpgradeRequest } from "./upgrade-request.js";

/**
 * The result of `zocket.create`: the message builder and the router, with the headers schema and the callbacks as given.
 * `TTransformed` is `true` if it has a transformer.
 */
export interface Zocket<
  THeadersSchema extends StandardSchemaV1,
  TUserContext = {},
  TTransformed = false,
> {
  /** Makes message definitions. */
  readonly message: Checked<TUserContext, MessageBuilder<TUserContext, {}, TTransformed>>;
  /**
   * Makes the application router from nested routes and the handlers of the incoming ones. Throws a `TypeError` if a route or
   * a handler is wrong. The error names its path.
   */
  readonly router: Checked<
    TUserContext,
    RouterFunction<TUserContext, StandardSchemaV1.InferInput<THeadersSchema>, TTransformed>
  >;
  /**
   * Puts a middleware before one handler, instead of into its message: `zo.use(middleware).handle(handler)`. Throws a `TypeError` if the
   * middleware is not a function.
   */
  readonly use: Checked<TUserContext, HandlerBuilder<TUserContext>["use"]>;
  /** The transformer as given. The property is missing without one. */
  readonly transformer?: Transformer;
  /** Makes the schema of a payload that is bytes. The payload travels in a binary frame, without base64. */
  readonly bytes: (options?: BytesOptions) => BytesSchema;
  /** The headers schema as given. */
  readonly headersSchema: THeadersSchema;
  /** The callback as given. */
  readonly onConnect:
    | ((
        headers: StandardSchemaV1.InferOutput<THeadersSchema>,
        clientId: string,
        request: UpgradeRequest,
      ) => TUserContext | Promise<TUserContext>)
    | undefined;
  /** The callback as given. */
  readonly onOpen:
    | ((ctx: ZocketContext<TUserContext, AnyRoutes>, clientId: string) => void | Promise<void>)
    | undefined;
  /** The callback as given. */
  readonly onDisconnect:
    | ((
        ctx: DisconnectContext<TUserContext>,
        clientId: string,
        info: DisconnectInfo,
      ) => void | Promise<void>)
    | undefined;
}

/** Makes the application router from nested routes and the handlers of the incoming ones. */
export interface RouterFunction<TUserContext = {}, THeaders = unknown, TTransformed = false> {
  <TRoutes extends RoutesFor<TTransformed>>(
    routes: TRoutes,
    handlers: NoInfer<Handlers<TRoutes, TUserContext>>,
  ): AppRouter<TRoutes, TUserContext, THeaders>;
  /** The same for a router that has a handler for each incoming route. Throws a `TypeError` that names those without one. */
  readonly strict: <TRoutes extends RoutesFor<TTransformed>>(
    routes: TRoutes,
    handlers: NoInfer<AllHandlers<TRoutes, TUserContext>>,
  ) => AppRouter<TRoutes, TUserContext, THeaders>;
}

/** The names in a user context that zocket itself puts into `ctx`. */
type Taken<TUserContext> = TUserContext extends object
  ? keyof Named<TUserContext> & ("clientId" | "send" | "rooms" | "disconnect")
  : never;

/**
 * `TMember`, or the reason why this user context cannot be used. It stands in what `create` returns, because in `create`
 * it would be a constraint on a type parameter.
 */
type Checked<TUserContext, TMember> = 0 extends 1 & TUserContext
  ? TMember
  : [TUserContext] extends [object | void | undefined]
    ? [Taken<TUserContext>] extends [never]
      ? TMember
      : `onConnect returns \`${Taken<TUserContext>}\`, a name that zocket itself puts into ctx`
    : "onConnect returns a value that is not an object or undefined";
