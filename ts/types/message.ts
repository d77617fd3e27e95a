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

/** The definition of a message that clients send. `TAdditions` is what its middlewares add to the context. */
export interface IncomingMessage<
  TSchema extends StandardSchemaV1 = StandardSchemaV1,
  TAdditions = unknown,
> extends MessageDef<TSchema, "in"> {
  /** The middlewares that run before the handler, in order. */
  readonly _middlewares: Middlewares<TAdditions>;
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
export type AnyMessage = IncomingMessage | OutgoingMessage;

declare const additions: unique symbol;

/** A list of middlewares. Its type also holds what all of them together add to the context. */
export interface Middlewares<TAdditions> extends ReadonlyArray<(message: never) => unknown> {
  readonly [additions]?: TAdditions;
}
