// The message builder and its middlewares: what `zo.message` is.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import type { ZocketContext } from "./context.js";
import type { IncomingMessage, OutgoingMessage } from "./message.js";
import type { AnyRoutes } from "./routes.js";
import type { Added, Merge, Named } from "./shape.js";

/**
 * A step between validation and handler; what it returns is added to the context of the steps after it and of the
 * handler, and what it throws keeps the message from the handler.
 */
export type MiddlewareFn<TContext = ZocketContext, TAdditions = object | void> = (message: {
  /** The context with what earlier middlewares added. */
  readonly ctx: TContext;
  /** The validated payload, of any message that the middleware is used for. */
  readonly payload: unknown;
}) => TAdditions | Promise<TAdditions>;

/** What a middleware may return: an object without the names that zocket itself puts into the context, or nothing. */
export type MiddlewareResult<TResult = {}> =
  (object & (string extends keyof TResult ? Untaken<TResult> : NotTaken)) | void | undefined;

/** The names that zocket itself puts into the context, with what the compiler says where a middleware returns one. */
interface NotTaken {
  readonly clientId?: TakenText<"clientId">;
  readonly send?: TakenText<"send">;
  readonly rooms?: TakenText<"rooms">;
  /** A promise is no result: what it resolves to is. */
  readonly then?: never;
}

/** The same for a result with an index signature, which allows those names and does not say that they are there. */
type Untaken<TResult> = Pick<NotTaken, keyof Named<TResult> & keyof NotTaken>;

type TakenText<TName extends string> =
  `a middleware returns \`${TName}\`, a name that zocket itself puts into ctx`;

/** Makes message definitions. Its functions may be taken off it. */
export interface MessageBuilder<TUserContext = {}, TAdditions = {}> {
  /** Defines a message that clients send. Throws a `TypeError` for a payload that is no Standard Schema. */
  readonly incoming: <TSchema extends StandardSchemaV1>(definition: {
    readonly payload: TSchema;
  }) => IncomingMessage<TSchema, TAdditions>;
  /**
   * Defines a message that the server sends. Throws a `TypeError` for a payload that is no Standard Schema, and for a wrong
   * `slowClient`.
   */
  readonly outgoing: <TSchema extends StandardSchemaV1>(definition: {
    readonly payload: TSchema;
    /**
     * What becomes of this message for a client that reads too slowly. `"disconnect"` and `"drop"` apply past
     * `maxBackpressure`: the connection is ended, or the message dropped. `"latest"` applies as soon as the socket is full:
     * a newer message of this route supersedes the one that waits, so that one waits at most. What is dropped is counted.
     * @default the server's `slowClient`
     */
    readonly slowClient?: OutgoingMessage["slowClient"];
  }) => OutgoingMessage<TSchema>;
  /**
   * Returns a builder whose incoming messages go through one more middleware; this one stays as it is. Throws a `TypeError`
   * for a middleware that is no function.
   */
  readonly use: <TAdded extends MiddlewareResult<TAdded>>(
    middleware: MiddlewareFn<
      ZocketContext<Merge<Added<TUserContext>, TAdditions>, AnyRoutes>,
      TAdded
    >,
  ) => MessageBuilder<TUserContext, Merge<TAdditions, Added<TAdded>>>;
}
