// How a message says in its type that its payloads go through a transformer, and what that means for their types.
import type { BytesLike } from "../bytes.js";
import type { Carried } from "./carried.js";
import type { Jsonify } from "./json.js";
import type { AnyIncomingMessage, AnyMessage, OutgoingMessage } from "./message.js";
import type { AnyRoutes, RouteTable } from "./routes.js";
import type { Known } from "./shape.js";

/** The mark of a message whose payloads go through a transformer. */
export interface Transformed {
  /** Whether the payloads go through a transformer. */
  readonly _transformed: true;
}

/** What a builder adds to its messages. */
export type Mark<TTransformed> = TTransformed extends true ? Transformed : unknown;

/** Whether the payloads of a message go through a transformer. */
export type IsTransformed<TMessage> = TMessage extends Transformed ? true : false;

/** The routes that `zo.router` takes, with or without a transformer. */
export type RoutesFor<TTransformed> = TTransformed extends true ? TransformedRoutes : PlainRoutes;

/** Routes whose messages were made with a transformer. */
export interface TransformedRoutes extends AnyRoutes {
  readonly [name: string]: (AnyMessage & Transformed) | TransformedRoutes;
}

/** Routes whose messages were made without one. */
export interface PlainRoutes extends AnyRoutes {
  readonly [name: string]: PlainIncoming | PlainOutgoing | PlainRoutes;
}

/** Where the mark would stand. The compiler shows the text if it does. */
interface NotTransformed {
  readonly _transformed?: "the payloads of this message go through a transformer, and there is none";
}

interface PlainIncoming extends AnyIncomingMessage, NotTransformed {}

interface PlainOutgoing extends OutgoingMessage, NotTransformed {}

/** A router, or its routes, whose client needs no transformer. */
export type PlainRouter =
  | PlainRoutes
  | { readonly routes: PlainRoutes; readonly handlers: object; readonly _table: RouteTable };

/** What a client may send for a value. */
export type Sendable<TValue, TTransformed> = TTransformed extends true
  ? WithoutBytes<TValue>
  : Carried<TValue>;

/**
 * A value that is not bytes. The client sends bytes in a binary message, whatever the schema, and the server takes those for
 * `zo.bytes()` alone. `any` passes, because nothing is known of it.
 */
type WithoutBytes<TValue> = 0 extends 1 & TValue
  ? TValue
  : [Extract<TValue, BytesLike>] extends [never]
    ? TValue
    : Exclude<TValue, BytesLike> | "a payload that is bytes needs zo.bytes() as its schema";

/** What a client gets for a value. */
export type Received<TValue, TTransformed> = TTransformed extends true
  ? Known<TValue>
  : Jsonify<TValue>;
