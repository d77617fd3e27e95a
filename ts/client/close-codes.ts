// The close codes that the client knows (RFC 6455, 7.4.1, and our own).

/** The connection has done what it was for. */
export const NORMAL = 1000;
/** The server is going away. */
export const GOING_AWAY = 1001;
/** There was no close frame. */
export const ABNORMAL = 1006;
/** The server closed the connection on purpose, and does not want this client. */
export const POLICY_VIOLATION = 1008;
/** A message was too large. */
export const TOO_LARGE = 1009;
/** The client gives a socket up. Our servers add the status of a refusal to it, because browsers hide the HTTP status. */
export const GIVEN_UP = 4000;
