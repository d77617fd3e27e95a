// The types of `zo.use`: middlewares before one handler.
import type { MiddlewareFn, MiddlewareResult } from "./builder.js";
import type { ZocketContext } from "./context.js";
import type { HandlerFn } from "./router.js";
import type { AnyRoutes } from "./routes.js";
import type { Added, Merge } from "./shape.js";

/** Middlewares that stand before a handler, as `zo.use` returns them. It may serve many handlers. */
export interface HandlerBuilder<TUserContext = {}, TAdditions = {}> {
  /** Returns a new builder with one more middleware. This builder does not change. */
  readonly use: <TAdded extends MiddlewareResult<TAdded>>(
    middleware: MiddlewareFn<
      ZocketContext<Merge<Added<TUserContext>, TAdditions>, AnyRoutes>,
      TAdded
    >,
  ) => HandlerBuilder<TUserContext, Merge<TAdditions, Added<TAdded>>>;
  /**
   * Puts the middlewares before a handler. They run after those of the message. Write the call in the handlers of
   * `zo.router`: TypeScript takes the type of the payload from there.
   */
  readonly handle: <
    TPayload = unknown,
    TContext = ZocketContext<TUserContext>,
    TResult = void | Promise<void>,
    TErrors = {},
  >(
    handler: HandlerFn<TPayload, Merge<TContext, TAdditions>, TResult, TErrors>,
  ) => HandlerFn<TPayload, TContext, TResult, TErrors>;
}
