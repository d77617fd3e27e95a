// The types of the end of a connection: how the server ends one, and how one ended.

/** How `disconnect` closes a connection. */
export interface DisconnectOptions {
  /**
   * The close code: 1000, 1008, 1011 to 1014, or 3000 to 4999.
   * @default 1008, after which our client does not connect again
   */
  readonly code?: number | undefined;
  /**
   * A text for the close frame, of at most 123 bytes of UTF-8.
   * @default ""
   */
  readonly reason?: string | undefined;
}

/** How the connection of a client ended: the third argument of `onDisconnect`. */
export interface DisconnectInfo {
  /**
   * The code of the first close frame that the client or the server sent. It is 1005 if the frame has no code, and 1006 if neither
   * sent a close frame.
   */
  readonly code: number;
  /** The reason in that close frame. Often empty. */
  readonly reason: string;
  /**
   * Who ended the connection:
   *
   * - `"client"`: the client sent a close frame
   * - `"server"`: the application called `disconnect`, `onOpen` failed, or the server closed the connection because of a fault
   * - `"network"`: the connection broke, or the client was silent for two heartbeats
   * - `"slow"`: the client read too slowly
   * - `"stop"`: the server stopped
   */
  readonly by: "client" | "server" | "network" | "slow" | "stop";
}
