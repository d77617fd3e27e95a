// The types of `zo.message`: the message builder and its middlewares.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import type { ZocketContext } from "./context.js";
import type { ErrorSchemas, IncomingMessage, OutgoingMessage } from "./message.js";
import type { AnyRoutes } from "./routes.js";
import type { Added, Merge, Named } from "./shape.js";
import type { Mark } from "./transformed.js";

/**
 * A step between validation and handler. The server adds its result to the context of the later middlewares and of the
 * handler. If it throws, the handler does not run.
 */
export type MiddlewareFn<TContext = ZocketContext, TAdditions = object | void> = (message: {
  /** The context, with everything that earlier middlewares added. */
  readonly ctx: TContext;
  /** The validated payload. It is `unknown`, because one middleware serves many messages. */
  readonly payload: unknown;
}) => TAdditions | Promise<TAdditions>;

/** The result of a middleware: nothing, or an object without the names that zocket itself puts into the context. */
export type MiddlewareResult<TResult = {}> =
  (object & (string extends keyof TResult ? Untaken<TResult> : NotTaken)) | void | undefined;

/** The names that zocket itself puts into the context. Each has the text that the compiler shows if a middleware returns it. */
interface NotTaken {
  readonly clientId?: TakenText<"clientId">;
  readonly send?: TakenText<"send">;
  readonly rooms?: TakenText<"rooms">;
  readonly disconnect?: TakenText<"disconnect">;
  /** A promise counts as the value that it resolves to. */
  readonly then?: never;
}

/** The same for a result with an index signature. It allows those names, but does not say that they are there. */
type Untaken<TResult> = Pick<NotTaken, keyof Named<TResult> & keyof NotTaken>;

type TakenText<TName extends string> =
  `a middleware returns \`${TName}\`, a name that zocket itself puts into ctx`;

/**
 * Makes message definitions. You may take its functions off it, as in `const { incoming } = zo.message`. `TTransformed` says whether
 * their payloads go through a transformer.
 */
export interface MessageBuilder<TUserContext = {}, TAdditions = {}, TTransformed = false> {
  /**
   * Defines a message that clients send. With `reply` or `stream` it is a call, which the handler answers. Throws a `TypeError`
   * if `payload`, `reply`, `stream` or one of `errors` is not a Standard Schema.
   */
  readonly incoming: <
    TSchema extends StandardSchemaV1,
    TReply extends StandardSchemaV1 | undefined = undefined,
    TStream extends StandardSchemaV1 | undefined = undefined,
    const TErrors extends ErrorSchemas | undefined = undefined,
  >(definition: {
    /** The schema that checks the payload: Zod, Valibot, ArkType or any other Standard Schema. `z.undefined()` takes none. */
    readonly payload: TSchema;
    /** The schema of what the handler returns. The client gets what the schema makes of it. */
    readonly reply?: TReply;
    /** The schema of what the handler, a generator, yields. */
    readonly stream?: TStream;
    /** The errors that the handler may answer with: the schema of each one's `data`, under its code. */
    readonly errors?: TErrors;
  }) => IncomingMessage<TSchema, TAdditions, TReply, TStream, TErrors> & Mark<TTransformed>;
  /**
   * Defines a message that the server sends. Throws a `TypeError` if `payload` is not a Standard Schema, or if
   * `slowClient` or `compress` is wrong.
   */
  readonly outgoing: <TSchema extends StandardSchemaV1>(definition: {
    /** The schema of the payload. TypeScript checks against its output; the server checks only with `validateOutgoing`. */
    readonly payload: TSchema;
    /**
     * How the server treats this message when a client reads too slowly. Past `maxBackpressure`, `"disconnect"` ends the
     * connection, and `"drop"` drops the message. `"latest"` applies as soon as the socket is full: a newer message of this
     * route replaces the one that waits, so at most one waits. The server counts dropped messages.
     * @default the server's `slowClient`
     */
    readonly slowClient?: OutgoingMessage["slowClient"];
    /**
     * `false` keeps the server from compressing this message. Set it for a message that holds a secret beside text that an
     * attacker can choose: the length of a compressed message says how much the two have in common.
     * @default true: the server's `compression` applies
     */
    readonly compress?: OutgoingMessage["compress"];
  }) => OutgoingMessage<TSchema> & Mark<TTransformed>;
  /**
   * Returns a new builder, whose incoming messages go through one more middleware. This builder does not change. Throws a
   * `TypeError` if the middleware is not a function.
   */
  readonly use: <TAdded extends MiddlewareResult<TAdded>>(
    middleware: MiddlewareFn<
      ZocketContext<Merge<Added<TUserContext>, TAdditions>, AnyRoutes>,
      TAdded
    >,
  ) => MessageBuilder<TUserContext, Merge<TAdditions, Added<TAdded>>, TTransformed>;
}
