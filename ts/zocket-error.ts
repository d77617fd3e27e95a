// The error of a call. Server and client share it.
import type { Issue, MessageErrorCode } from "./envelope.js";

/**
 * Why a call failed, beside the errors that its message declares: a code of a `$error`, or one of these:
 *
 * - `TIMEOUT`: no answer came in time
 * - `ABORTED`: the caller ended it
 * - `DISCONNECTED`: the connection ended after the call was sent, so its handler may have run
 * - `CLOSED`: the client was closed, or does not connect any more
 * - `QUEUE_FULL`: too many messages wait for the connection
 * - `TOO_LARGE`: the call is larger than the server's `maxPayload`
 * - `BAD_REPLY`: the answer cannot be read, does not fit its schema, or the server sent more items than it may
 */
export type CallErrorCode =
  | MessageErrorCode
  | "TIMEOUT"
  | "ABORTED"
  | "DISCONNECTED"
  | "CLOSED"
  | "QUEUE_FULL"
  | "TOO_LARGE"
  | "BAD_REPLY";

const CODES: { readonly [TCode in CallErrorCode]: true } = {
  BAD_MESSAGE: true,
  NO_ROUTE: true,
  INVALID_PAYLOAD: true,
  REJECTED: true,
  HANDLER_ERROR: true,
  RATE_LIMITED: true,
  TIMEOUT: true,
  ABORTED: true,
  DISCONNECTED: true,
  CLOSED: true,
  QUEUE_FULL: true,
  TOO_LARGE: true,
  TOO_MANY_CALLS: true,
  BAD_REPLY: true,
};

/** The library's codes. A message cannot declare an error with one of them. A bundle of the client leaves them out. */
export const CALL_ERROR_CODES: readonly string[] = /* @__PURE__ */ Object.keys(CODES);

/** What an error is made of. */
export interface ZocketErrorFields<TCode extends string, TData> {
  readonly code: TCode;
  readonly route: string;
  readonly message: string;
  readonly data?: TData;
  readonly issues?: readonly Issue[] | undefined;
  readonly retryAfterMs?: number | undefined;
  /** What was thrown. */
  readonly cause?: unknown;
}

/** Why a call failed. Test `code`, never `message`. */
export class ZocketError<TCode extends string = string, TData = unknown> extends Error {
  override readonly name: string = "ZocketError";
  /** A code that the message declares, or one of the library. */
  readonly code: TCode;
  /** The wire name of the call. */
  readonly route: string;
  /** The data of a declared error. */
  readonly data: TData;
  /** The issues that the schema found, for `INVALID_PAYLOAD`. */
  readonly issues: readonly Issue[] | undefined;
  /** The time in ms until the server takes one more message, for `RATE_LIMITED`. */
  readonly retryAfterMs: number | undefined;

  constructor({
    code,
    route,
    message,
    data,
    issues,
    retryAfterMs,
    cause,
  }: ZocketErrorFields<TCode, TData>) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.route = route;
    this.data = data as TData;
    this.issues = issues;
    this.retryAfterMs = retryAfterMs;
  }
}
