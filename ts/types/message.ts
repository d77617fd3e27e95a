// Message definitions, as the message builder makes them.
import type { StandardSchemaV1 } from "@standard-schema/spec";

/** Which way a message goes, as the server sees it. */
export type Direction = "in" | "out";

/** A message definition. */
export interface MessageDef<
  TSchema extends StandardSchemaV1 = StandardSchemaV1,
  TDirection extends Direction = Direction,
> {
  /** The schema of the payload. */
  readonly payload: TSchema;
  /** Which way the message goes, as the server sees it. */
  readonly _direction: TDirection;
}

/** The errors that a handler may answer with: the schema of each one's `data`, under its code. */
export interface ErrorSchemas {
  readonly [code: string]: StandardSchemaV1 & NotBytes;
}

/** Where `zo.bytes()` says that it is bytes. The compiler shows the text. */
interface NotBytes {
  readonly _kind?: "the data of an error is JSON, so it cannot be bytes";
}

/**
 * The definition of a message that clients send. `TAdditions` is what its middlewares add to the context. A message with a
 * `reply` or a `stream` is a call: its handler answers it.
 */
export interface IncomingMessage<
  TSchema extends StandardSchemaV1 = StandardSchemaV1,
  TAdditions = unknown,
  TReply extends StandardSchemaV1 | undefined = undefined,
  TStream extends StandardSchemaV1 | undefined = undefined,
  TErrors extends ErrorSchemas | undefined = undefined,
> extends MessageDef<TSchema, "in"> {
  /** The schema of what the handler returns. */
  readonly reply?: TReply;
  /** The schema of what the handler yields. */
  readonly stream?: TStream;
  /** The errors that the handler may answer with. */
  readonly errors?: TErrors;
  /** @internal The three types. There is no such value; of an optional property alone TypeScript could not tell that it is missing. */
  readonly _answer?: readonly [TReply, TStream, TErrors];
  /** The middlewares that run before the handler, in order. */
  readonly _middlewares: Middlewares<TAdditions>;
}

/**
 * The definition of any message that clients send. It says nothing of answers: TypeScript would infer them from here for a message that is
 * defined in the middle of a router.
 */
export interface AnyIncomingMessage extends MessageDef<StandardSchemaV1, "in"> {
  /** The middlewares that run before the handler, in order. */
  readonly _middlewares: Middlewares<unknown>;
}

/** The definition of a message that the server sends. */
export interface OutgoingMessage<
  TSchema extends StandardSchemaV1 = StandardSchemaV1,
> extends MessageDef<TSchema, "out"> {
  /** How the server treats the message when a client reads too slowly. It overrides the server's `slowClient`. */
  readonly slowClient?: "disconnect" | "drop" | "latest" | undefined;
  /** `false` if the server never compresses it, because it holds a secret. */
  readonly compress?: boolean | undefined;
}

/** Any message definition. */
export type AnyMessage = AnyIncomingMessage | OutgoingMessage;

declare const additions: unique symbol;

/** A list of middlewares. Its type also holds what all of them together add to the context. */
export interface Middlewares<TAdditions> extends ReadonlyArray<(message: never) => unknown> {
  readonly [additions]?: TAdditions;
}
