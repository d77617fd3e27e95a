// Payloads of bytes: the schema, and what of a schema each side gives and gets.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import type { BytesLike } from "../bytes.js";
import type { Received, Sendable } from "./transformed.js";

export type { BytesLike };

/**
 * The schema of a payload that is bytes, as `zo.bytes()` makes it. The payload travels in a binary frame. Senders may give any
 * `ArrayBuffer`, or any view of one. Receivers get a `Uint8Array` that nobody else has.
 */
export interface BytesSchema extends StandardSchemaV1<BytesLike, Uint8Array<ArrayBuffer>> {
  /** @internal What it is, for the router. */
  readonly _kind: "bytes";
}

/** Options of `zo.bytes`. */
export interface BytesOptions {
  /**
   * The most bytes that a payload may have, from 0. Messages from clients are also limited by `maxPayload`.
   * @default no limit
   */
  readonly max?: number | undefined;
}

/** What a client may send for a schema. */
export type Accepted<TSchema extends StandardSchemaV1, TTransformed> = TSchema extends BytesSchema
  ? BytesLike
  : Sendable<StandardSchemaV1.InferInput<TSchema>, TTransformed>;

/** What a server may send for a schema. */
export type Sent<TSchema extends StandardSchemaV1> = TSchema extends BytesSchema
  ? BytesLike
  : StandardSchemaV1.InferOutput<TSchema>;

/** What a client gets for a schema. */
export type Delivered<TSchema extends StandardSchemaV1, TTransformed> = TSchema extends BytesSchema
  ? StandardSchemaV1.InferOutput<TSchema>
  : Received<StandardSchemaV1.InferOutput<TSchema>, TTransformed>;
