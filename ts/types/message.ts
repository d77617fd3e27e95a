// Message definitions: what the message builder makes.
import type { StandardSchemaV1 } from "@standard-schema/spec";

/** Which way a message goes, as the server sees it. */
export type Direction = "in" | "out";

/** What every message definition has. */
export interface MessageDef<
  TSchema extends StandardSchemaV1 = StandardSchemaV1,
  TDirection extends Direction = Direction,
> {
  /** The schema of the payload. */
  readonly payload: TSchema;
  /** Which way the message goes, as the server sees it. */
  readonly _direction: TDirection;
}

/** A message that clients send, with what its middlewares add to the context. */
export interface IncomingMessage<
  TSchema extends StandardSchemaV1 = StandardSchemaV1,
  TAdditions = unknown,
> extends MessageDef<TSchema, "in"> {
  /** The middlewares that run before the handler, in order. */
  readonly _middlewares: Middlewares<TAdditions>;
}

/** A message that the server sends. */
export interface OutgoingMessage<
  TSchema extends StandardSchemaV1 = StandardSchemaV1,
> extends MessageDef<TSchema, "out"> {
  /** What becomes of it for a client that reads too slowly, whatever the server's `slowClient` says. */
  readonly slowClient?: "disconnect" | "drop" | "latest" | undefined;
}

/** Any message definition. */
export type AnyMessage = IncomingMessage | OutgoingMessage;

declare const additions: unique symbol;

/** A list of middlewares and, in types alone, what all of them together add to the context. */
export interface Middlewares<TAdditions> extends ReadonlyArray<(message: never) => unknown> {
  readonly [additions]?: TAdditions;
}
