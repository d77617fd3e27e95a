// Owns the wire shapes: the envelope around every message and what a `$error` carries. Shared with the browser, so it
// imports nothing and holds nothing but types and constants.

/** The JSON object around every message, in both directions. */
export interface Envelope {
  /** The number by which the sender of a call knows the answers to it. */
  readonly id?: number;
  /** The route's wire name. Names that start with `$` belong to the library. */
  readonly type: string;
  /** The value that the schema validates. It is missing if there is nothing to send. `null` is not missing. */
  readonly payload?: unknown;
}

/** The wire name of the reply that a bad message gets. */
export const ERROR_TYPE = "$error";
/** The wire name of the first message to a client that the server admits, if the client offered `zocket.1`. */
export const WELCOME_TYPE = "$welcome";
/** The wire name of the only message to a client that the server refuses, if the client offered `zocket.1`. */
export const REFUSED_TYPE = "$refused";
/** The wire name of the question whether the line is alive. The server answers with `$pong`. */
export const PING_TYPE = "$ping";

/**
 * Why the server refused a message:
 *
 * - `BAD_MESSAGE`: it is not an envelope
 * - `NO_ROUTE`: no handler has that name
 * - `INVALID_PAYLOAD`: the schema refused it
 * - `REJECTED`: a middleware threw
 * - `HANDLER_ERROR`: the handler threw
 * - `RATE_LIMITED`: the client sent more than `maxMessagesPerSecond`
 * - `TOO_MANY_CALLS`: the client has `maxCallsPerClient` calls open, or calls with `maxPayload` bytes
 */
export type MessageErrorCode =
  | "BAD_MESSAGE"
  | "NO_ROUTE"
  | "INVALID_PAYLOAD"
  | "REJECTED"
  | "HANDLER_ERROR"
  | "RATE_LIMITED"
  | "TOO_MANY_CALLS";

/** One complaint of a schema, as it comes through JSON. */
export interface Issue {
  /** The complaint, in the words of the schema. */
  readonly message: string;
  /** The place in the payload. Missing if the issue is about the whole payload. */
  readonly path?: readonly (string | number | { readonly key: string | number })[];
}

/** The payload of a `$error`. Test `code`, never `message`. */
export interface ErrorPayload {
  /** Why the server refused the message, or a code that the message declares. */
  readonly code: MessageErrorCode | (string & {});
  /** The wire name of the message, if it had one. */
  readonly route?: string;
  /** The reason, for people. */
  readonly message: string;
  /** The issues that the schema found, for `INVALID_PAYLOAD`. Missing if the schema threw. */
  readonly issues?: readonly Issue[];
  /** The time in ms until the server takes one more message, for `RATE_LIMITED`. */
  readonly retryAfterMs?: number;
  /** The data of a declared error. */
  readonly data?: unknown;
}

/** The payload of a `$refused`. Test `code` or `status`. */
export interface RefusedPayload {
  /** The HTTP status that a client without `zocket.1` would get, from 400 to 599. The close code is 4000 more. */
  readonly status: number;
  /** Who refused: the headers schema (`HEADERS`), `onConnect` (`CONNECT`), or one of them took too long (`TIMEOUT`). */
  readonly code: "HEADERS" | "CONNECT" | "TIMEOUT";
  /** The issues that the headers schema found. */
  readonly issues?: readonly Issue[];
  /** The time in ms before which the client should not connect again, if `onConnect` named one. */
  readonly retryAfterMs?: number;
}
