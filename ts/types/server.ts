// The server as its owner sees it: options, counters, errors, the running server.
import type { MessageErrorCode } from "../envelope.js";
import type { OutgoingPayloads, Sender } from "./context.js";
import type { RoutesOf } from "./routes.js";
import type { PayloadArguments } from "./shape.js";

/** Options of `createServer`. */
export interface ServerOptions {
  /**
   * The TCP port, 0 to 65,535; 0 takes any free one, which {@link AnyServer.port} tells.
   * @default 3000
   */
  readonly port?: number | undefined;
  /**
   * The host name or address to listen on.
   * @default all interfaces
   */
  readonly hostname?: string | undefined;
  /**
   * Only upgrade requests for exactly this path are taken, the query aside; others get 404. It starts with `/`.
   * @default any path
   */
  readonly path?: string | undefined;
  /**
   * Exact origins that may connect, or a function of the origin's string. A request with another `Origin` gets 403.
   * Harmless headers hold nothing of the visitor: no `cookie`, no `authorization`, nothing that a proxy says of the visitor.
   * @default any origin, but requests from another site come with nothing except harmless headers
   */
  readonly allowedOrigins?: readonly string[] | ((origin: string) => boolean) | undefined;
  /**
   * Longest incoming message in bytes, 1 to 268,435,456; a longer one closes the connection with 1009.
   * @default 1_048_576
   */
  readonly maxPayload?: number | undefined;
  /**
   * Bytes that may wait for one slow client, from 0, measured before a message is added; past it `slowClient` applies.
   * The server counts the memory that it holds for them, so very small messages count for a little more than their length.
   * Beyond it, one message may wait of each route whose own `slowClient` is `"latest"`.
   * @default 1_048_576
   */
  readonly maxBackpressure?: number | undefined;
  /**
   * Bytes that the server may hold for all its clients together, outside JavaScript, from 1,048,576: messages that are not
   * complete, messages that the application has not taken yet, and what waits for clients. Past it the clients that hold the
   * most are not read; if it lasts for 1 s, they are disconnected, whatever `slowClient` says.
   * @default a quarter of the memory that the process may have
   */
  readonly maxBufferedBytes?: number | undefined;
  /**
   * What a client that reads too slowly gets: its connection ended, or new messages dropped and counted. An outgoing
   * message's own `slowClient` wins.
   * @default "disconnect"
   */
  readonly slowClient?: "disconnect" | "drop" | undefined;
  /**
   * Silence in ms after which a client is pinged; nothing read for twice as long ends the connection. 0 turns it off.
   * @default 30_000
   */
  readonly heartbeatInterval?: number | undefined;
  /**
   * Time in ms from TCP accept to upgrade, `onConnect` included; too slow a request gets 408, too slow an `onConnect` 503.
   * @default 10_000
   */
  readonly handshakeTimeout?: number | undefined;
  /**
   * How many connections there may be, from 1, pending ones included; further upgrades get 503. A connection counts until its
   * socket is closed. With this option, a quarter as many sockets (at least 64) may be pending; without it, 4,096.
   * @default none
   */
  readonly maxConnections?: number | undefined;
  /**
   * How many connections there may be from one address, from 1, pending ones included; further upgrades get 429. An IPv6
   * address counts by its first 64 bits. Behind a proxy all clients share its address: leave it out there.
   * @default none
   */
  readonly maxConnectionsPerAddress?: number | undefined;
  /**
   * How many upgrades a second one address may ask for, 0.001 to 1,000,000, with bursts of one second's worth; further ones
   * get 429 with `Retry-After`. Addresses count as for `maxConnectionsPerAddress`: leave it out behind a proxy.
   * @default none
   */
  readonly maxUpgradesPerSecondPerAddress?: number | undefined;
  /**
   * How many upgrades a second the whole server takes, 0.001 to 1,000,000, with bursts of one second's worth; further ones
   * get 503 with `Retry-After: 1`.
   * @default none
   */
  readonly maxUpgradesPerSecond?: number | undefined;
  /**
   * How many messages a second are taken from one client, 0.001 to 1,000,000, with bursts of one second's worth; further
   * ones get a `$error` with `RATE_LIMITED` and are dropped.
   * @default none
   */
  readonly maxMessagesPerSecond?: number | undefined;
  /**
   * How many handler calls of one client may be under way, from 1: while so many promises have not settled, its later
   * messages wait. They also wait while the messages of those calls hold more than `maxPayload` bytes of JSON together.
   * `onError` then gets `HANDLERS`, once for each client.
   * @default 256
   */
  readonly maxHandlersInFlight?: number | undefined;
  /**
   * How many rooms one client may be in, 1 to 16,777,216; a further `join` throws with the code `TOO_MANY_ROOMS`. So does one
   * with which the names of the client's rooms would have more than 1 MiB together, whatever this is.
   * @default 1_000
   */
  readonly maxRoomsPerClient?: number | undefined;
  /**
   * Threads for WebSocket I/O, 1 to 256.
   * @default the number of cores, at most 4
   */
  readonly ioThreads?: number | undefined;
  /**
   * Gets everything that went wrong and that no handler saw. `error` is whatever was thrown. What it throws itself is logged.
   * @default logs with `console.error`, at most ten lines a second of what clients can provoke
   */
  readonly onError?: ((error: unknown, info: ErrorInfo) => void) | undefined;
}

/**
 * Where an error came from: a code of a `$error`; `HEADERS` the headers schema threw, `CONNECT` and `DISCONNECT` the
 * callbacks failed, `ORIGIN` the `allowedOrigins` function threw, `HANDLERS` a client's messages wait or it was cut off because
 * too many of its handlers are busy, `SLOW_CLIENT` a client read too slowly, `STOP`
 * something outlasted `stop()`, `INTERNAL` a fault of the library.
 */
export type ErrorCode =
  | MessageErrorCode
  | "HEADERS"
  | "CONNECT"
  | "DISCONNECT"
  | "ORIGIN"
  | "HANDLERS"
  | "SLOW_CLIENT"
  | "STOP"
  | "INTERNAL";

/** What `onError` is told about an error. */
export interface ErrorInfo {
  /** Where the error came from. */
  readonly code: ErrorCode;
  /** The client it is about, if it is about one. */
  readonly clientId?: string;
  /** The wire name of the message it is about, if it is about one. */
  readonly route?: string;
  /**
   * How many messages it stands for, if they are counted. Of the messages that the engine refuses, `onError` gets the first
   * of a client, code and second at once, and then one call with the count of the rest of that second.
   */
  readonly count?: number;
}

/**
 * Why an upgrade was refused: `HEADERS` and `CONNECT` by the headers schema and `onConnect` (400, 403, 500 or the error's
 * own status), `ORIGIN` by `allowedOrigins` (403), `STOP` the server is stopping (503), `NOT_UPGRADE` an ordinary request
 * (426), `VERSION` not version 13 (426), `MALFORMED` (400), `HEAD_TOO_LARGE` over 16 KiB or 100 fields (431), `PATH`
 * another path (404), `MAX_CONNECTIONS` (503), `TIMEOUT` a slow request (408, or dropped for others) or a slow admission (503), `ADDRESS` too many
 * connections from one address (429), `UPGRADE_RATE` too many upgrades within a second (503), `ADDRESS_RATE` too many upgrades
 * from one address within a second (429).
 */
export type RefusalReason =
  | "HEADERS"
  | "CONNECT"
  | "ORIGIN"
  | "STOP"
  | "NOT_UPGRADE"
  | "VERSION"
  | "MALFORMED"
  | "HEAD_TOO_LARGE"
  | "PATH"
  | "MAX_CONNECTIONS"
  | "TIMEOUT"
  | "ADDRESS"
  | "UPGRADE_RATE"
  | "ADDRESS_RATE";

/** Counters since the server started. `sent = written + queued + dropped` always holds. */
export interface ServerMetrics {
  /** Connections that are open now: `clientCount()`. */
  readonly connections: number;
  /** Upgrades that were answered with 101. */
  readonly accepted: number;
  /** Upgrades that were refused, by reason; zeros are left out. */
  readonly refused: Readonly<Partial<Record<RefusalReason, number>>>;
  /** Messages that came in, bad ones included. */
  readonly received: number;
  /** Messages that got a `$error`, by code; zeros are left out. */
  readonly bad: Readonly<Partial<Record<MessageErrorCode, number>>>;
  /** Messages sent, once per client each was meant for, `$error` included. */
  readonly sent: number;
  /** Of those: given to the operating system. */
  readonly written: number;
  /** Of those: waiting. */
  readonly queued: number;
  /** Of those: dropped or superseded for a slow client, or waiting when its connection ended. */
  readonly dropped: number;
  /** Bytes read from connections. */
  readonly bytesIn: number;
  /** Bytes written to connections. */
  readonly bytesOut: number;
  /** Rooms with at least one client now. */
  readonly rooms: number;
  /**
   * Bytes that the server holds for its clients now, outside JavaScript: messages that are not complete, messages that the
   * application has not taken yet, and what waits for clients. `maxBufferedBytes` bounds it.
   */
  readonly buffered: number;
}

/** A server that listens; without the routes it stands for any server, and has no `send` and no `publish`. */
export type ZocketServer<TRouter = never> = [TRouter] extends [never]
  ? AnyServer
  : RoutedServer<RoutesOf<TRouter>>;

/** What every server has. */
export interface AnyServer {
  /** The port it listens on. */
  readonly port: number;
  /** The address it listens on, such as `127.0.0.1`, also where a host name was asked for. */
  readonly hostname: string;
  /** The address for clients: `ws://host:port`, with `localhost` for all interfaces. */
  readonly url: string;
  /** How many clients are connected: it changes at the 101 and when `onDisconnect` begins. */
  clientCount(): number;
  /** The server's counters, as they are now. */
  metrics(): ServerMetrics;
  /**
   * Stops listening, sends what is queued, closes the connections with 1001, gives the closing handshake 5 s and
   * `onDisconnect` 10 s, then resolves; `true` cuts the clients off at once. Never rejects; calling it twice is fine.
   *
   * `stop({ drain })` refuses upgrades at once, and closes the connections spread evenly over so many ms, 0 to
   * 2,147,483,647, each with a hint when to connect again; the others go on meanwhile. A `stop()` closes those that are
   * left.
   *
   * @throws `TypeError` for a wrong `drain`, and for an option that does not exist.
   */
  stop(how?: boolean | { readonly drain?: number | undefined }): Promise<void>;
  /** Lets the server keep Node alive, as it does from the start. */
  ref(): void;
  /** Lets Node exit although the server listens. */
  unref(): void;
}

/** A server that can send the outgoing routes. */
export interface RoutedServer<TRoutes> extends AnyServer {
  /** Sends messages from outside a handler. */
  readonly send: Sender<TRoutes>;
  /**
   * Sends a message to everybody in a room: `publish("lobby", "chat.onMessage", payload)`.
   *
   * @throws `TypeError` for a room name that is none, or a route that is no outgoing one.
   */
  publish<TName extends keyof OutgoingPayloads<TRoutes> & string>(
    room: string,
    route: TName,
    ...args: PayloadArguments<OutgoingPayloads<TRoutes>[TName]>
  ): void;
}
