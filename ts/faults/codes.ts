// The second argument of `onError`, which says where an error came from.
import type { MessageErrorCode } from "../envelope.js";

/**
 * Where an error came from: a code of a `$error`, or one of these:
 *
 * - `HEADERS`: the headers schema found issues, or threw
 * - `CONNECT`, `OPEN` and `DISCONNECT`: the callback failed
 * - `ORIGIN`: `allowedOrigins` refused the origin, its function threw, or the server withheld headers from a page of another site
 * - `HANDLERS`: too many handlers of a client are busy, so its messages wait or the server disconnected it
 * - `SLOW_CLIENT`: a client read too slowly, and the server disconnected it
 * - `NO_HANDLER`: incoming routes of the router have no handler. The server says so once, when it starts
 * - `UNSENT`: a message was made with `send` and never sent, because no receivers were named. Only in development
 * - `STOP`: an `onDisconnect` took longer than `stop()` waits
 * - `BUS`: the bus is away, or back, or did not take a publication, or carried a message that makes no sense
 * - `INTERNAL`: the system has no file descriptor left, or the library failed
 */
export type ErrorCode =
  | MessageErrorCode
  | "HEADERS"
  | "CONNECT"
  | "OPEN"
  | "DISCONNECT"
  | "ORIGIN"
  | "HANDLERS"
  | "SLOW_CLIENT"
  | "NO_HANDLER"
  | "UNSENT"
  | "STOP"
  | "BUS"
  | "INTERNAL";

/** The second argument of `onError`. */
export interface ErrorInfo {
  /** Where the error came from. */
  readonly code: ErrorCode;
  /** The id of the client, if the error is about one. */
  readonly clientId?: string;
  /** The wire name of the message, if the error is about one. */
  readonly route?: string;
  /**
   * How many messages this call stands for, if the server counted them. Of the messages that the engine refuses, `onError`
   * gets the first of a client and code at once. One call with the count stands for the others of that second.
   */
  readonly count?: number;
  /** With `BUS`: `false` if the bus is away from now on, `true` if it is back. */
  readonly connected?: boolean;
}
