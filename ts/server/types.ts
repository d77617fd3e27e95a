// The server as its owner sees it: options, counters, the running server.
import type { BusMetrics } from "../bus/metrics.js";
import type { Bus } from "../bus/settings.js";
import type { MessageErrorCode } from "../envelope.js";
import type { ErrorInfo } from "../faults/codes.js";
import type { OutgoingPayloads, Sender, SendOptions } from "../types/context.js";
import type { DisconnectOptions } from "../types/disconnect.js";
import type { RoutesOf } from "../types/routes.js";
import type { PayloadArguments } from "../types/shape.js";

/** A certificate and its key, as PEM. */
export interface TlsIdentity {
  /** The server's certificate, followed by the intermediate ones. */
  readonly cert: string | Uint8Array;
  /** The private key of the first certificate: RSA from 2,048 to 4,096 bits, ECDSA with P-256 or P-384, or Ed25519. */
  readonly key: string | Uint8Array;
  /**
   * The passphrase of an encrypted key. Such a key must be in PKCS#8.
   * @default none
   */
  readonly passphrase?: string | undefined;
}

/** The option `tls`. Names and meanings are those of Node's `tls`. */
export interface TlsOptions extends TlsIdentity {
  /**
   * Certificates of the authorities that issue the certificates of clients.
   * @default none
   */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
  /**
   * Asks clients for a certificate. Needs `ca`.
   * @default false
   */
  readonly requestCert?: boolean | undefined;
  /**
   * With `requestCert`: refuses clients without a certificate that an authority in `ca` issued. If `false`, it lets them in,
   * and does not show you their certificate.
   * @default true
   */
  readonly rejectUnauthorized?: boolean | undefined;
  /**
   * The oldest version of TLS that clients may use.
   * @default "TLSv1.2"
   */
  readonly minVersion?: "TLSv1.2" | "TLSv1.3" | undefined;
  /**
   * Other certificates, by the name of the server that a client asks for. `*.example.com` matches one label.
   * @default none
   */
  readonly sni?: { readonly [serverName: string]: TlsIdentity } | undefined;
}

/** What the HTTP servers of Node have in common. */
export interface AnyHttpServer {
  readonly listening: boolean;
  address(): string | object | null;
  closeAllConnections?(): void;
}

/** Options of `createServer`. */
export interface ServerOptions {
  /**
   * The TCP port, 0 to 65,535. 0 takes any free one: see {@link AnyServer.port}.
   * @default 3000
   */
  readonly port?: number | undefined;
  /**
   * The host name or address to listen on.
   * @default all interfaces
   */
  readonly hostname?: string | undefined;
  /**
   * Certificate and key for `wss://`. The port then takes TLS only.
   * @default none: `ws://`
   */
  readonly tls?: TlsOptions | undefined;
  /**
   * Whether other processes of the same user may listen on the port too, so that each worker of `node:cluster` or pm2 can have
   * a server. The system spreads the connections over them. On Linux only.
   * @default false
   */
  readonly reusePort?: boolean | undefined;
  /**
   * Joins the server with servers of other processes: `redis(…)` or `nats(…)` of `@zocket/core/bus`. Sends then reach clients
   * wherever they are connected.
   * @default none
   */
  readonly bus?: Bus | undefined;
  /**
   * The path of a Unix-domain socket to listen on, instead of `port` and `hostname`. If nobody listens on a socket file that
   * is there, the server replaces it.
   * @default none
   */
  readonly socketPath?: string | undefined;
  /**
   * An HTTP server of Node that takes the connections: an `http.Server`, an `https.Server`, or an `Http2SecureServer` with
   * `allowHTTP1`. The server takes the upgrade requests for `path`, which is then required, and leaves everything else.
   * @default none
   */
  readonly server?: AnyHttpServer | undefined;
  /**
   * Whether the server gets its connections through {@link AnyServer.handleUpgrade} alone.
   * @default false
   */
  readonly noServer?: boolean | undefined;
  /**
   * The path that clients must use, whatever the query. It starts with `/`. Requests for other paths get 404.
   * @default any path
   */
  readonly path?: string | undefined;
  /**
   * The exact origins that may connect, such as `https://example.com`, or a function that gets the origin and decides. A request with
   * another `Origin` gets 403. `createServer` throws for an entry that no browser sends, such as `*`, `https://Example.com` or one with
   * a path.
   *
   * Harmless headers hold nothing of the visitor: no `cookie`, no `authorization`, nothing that a proxy says of the visitor.
   * @default any origin, but requests from another site come with nothing except harmless headers
   */
  readonly allowedOrigins?: readonly string[] | ((origin: string) => boolean) | undefined;
  /**
   * Which proxies in front of the server it believes: all, so many of them, or those with these addresses. An address may be a
   * range such as `10.0.0.0/8`, or one of the words `loopback`, `linklocal` and `uniquelocal`. Believed are `X-Forwarded-For`,
   * `X-Forwarded-Proto` and `X-Forwarded-Host`.
   * @default false
   */
  readonly trustProxy?: boolean | number | readonly string[] | undefined;
  /**
   * Names of headers that come from real header fields alone, as `cookie` does: no client can name them in its URL. List each
   * header that a proxy in front sets and that your application relies on.
   * @default none
   */
  readonly trustedHeaders?: readonly string[] | undefined;
  /**
   * The WebSocket subprotocols that your server speaks, the preferred one first, for clients other than `createZocketClient`.
   * The server selects the first of them that a client offers. Each is a token that does not start with `zocket.`.
   * @default none
   */
  readonly protocols?: readonly string[] | undefined;
  /**
   * The longest incoming message in bytes, 1 to 268,435,456. A longer one closes the connection with 1009.
   * @default 1_048_576
   */
  readonly maxPayload?: number | undefined;
  /**
   * Bytes that may wait for one slow client, from 0. The server measures before it adds a message. Past it, `slowClient`
   * applies. The server counts the memory that it holds, so very small messages count for a little more than their length.
   * Of each route whose own `slowClient` is `"latest"`, one more message may wait.
   * @default 1_048_576
   */
  readonly maxBackpressure?: number | undefined;
  /**
   * Bytes that the server may hold for all its clients together, outside JavaScript, from 1,048,576. They hold incomplete
   * messages, messages that the application has not taken yet, and messages that wait for clients. Past it, the server stops
   * reading the clients that hold the most. After 1 s it disconnects them, whatever `slowClient` says.
   * @default a quarter of the memory that the process may have
   */
  readonly maxBufferedBytes?: number | undefined;
  /**
   * What the server does when a client reads too slowly: it ends the connection, or drops new messages and counts them. An
   * outgoing message can set its own `slowClient`, which overrides this.
   * @default "disconnect"
   */
  readonly slowClient?: "disconnect" | "drop" | undefined;
  /**
   * Compresses messages for clients that can read it: permessage-deflate, RFC 7692. `true` takes the defaults. Clients may then
   * send compressed messages too, and `maxPayload` limits what they inflate to. A message with `compress: false` is never
   * compressed.
   * @default false
   */
  readonly compression?:
    | boolean
    | {
        /**
         * The length in bytes from which the server compresses a message, 0 to 4,294,967,295.
         * @default 1_024
         */
        readonly threshold?: number | undefined;
        /**
         * How much work the server does: 1 is the fastest, 9 gives the shortest result.
         * @default 6
         */
        readonly level?: number | undefined;
        /**
         * How far back in a message a repetition is looked for: 2 to the power of this many bytes, 9 to 15.
         * @default 15
         */
        readonly maxWindowBits?: number | undefined;
      }
    | undefined;
  /**
   * Silence in ms after which the server pings a client. If it reads nothing for twice as long, it ends the connection.
   * 0 turns it off.
   * @default 30_000
   */
  readonly heartbeatInterval?: number | undefined;
  /**
   * Time in ms from TCP accept to the 101, `onConnect` included. If the request is too slow, the server answers 408. If
   * `onConnect` is too slow, it answers 503. `onOpen` has as much time again.
   * @default 10_000
   */
  readonly handshakeTimeout?: number | undefined;
  /**
   * How many connections there may be, from 1, pending ones included. Further upgrades get 503. A connection counts until its
   * socket is closed. With this option, a quarter as many sockets (at least 64) may be pending. Without it, 4,096 may.
   * @default none
   */
  readonly maxConnections?: number | undefined;
  /**
   * How many connections one address may have, from 1, pending ones included. Further upgrades get 429. An IPv6 address counts
   * by its first 64 bits. Behind a proxy all clients have the address of the proxy, unless `trustProxy` is set.
   * @default none
   */
  readonly maxConnectionsPerAddress?: number | undefined;
  /**
   * How many upgrades a second one address may ask for, 0.001 to 1,000,000, with bursts of one second's worth. Further ones
   * get 429 with `Retry-After`. Addresses count as for `maxConnectionsPerAddress`.
   * @default none
   */
  readonly maxUpgradesPerSecondPerAddress?: number | undefined;
  /**
   * How many upgrades a second the whole server takes, 0.001 to 1,000,000, with bursts of one second's worth. Further ones
   * get 503 with `Retry-After: 1`.
   * @default none
   */
  readonly maxUpgradesPerSecond?: number | undefined;
  /**
   * How many messages a second the server takes from one client, 0.001 to 1,000,000, with bursts of one second's worth. It
   * drops further ones and answers them with a `$error` with `RATE_LIMITED`.
   * @default none
   */
  readonly maxMessagesPerSecond?: number | undefined;
  /**
   * How many handler calls of one client may be pending, from 1. While so many promises have not settled, its later messages
   * wait. They also wait while the messages of those calls hold more than `maxPayload` bytes of JSON together. `onError` then
   * gets `HANDLERS`, once for each client.
   * @default 256
   */
  readonly maxHandlersInFlight?: number | undefined;
  /**
   * How many calls of one client may be open: messages with a `reply` or a `stream` whose handlers have not settled. The server refuses
   * a further one with the code `TOO_MANY_CALLS`. It also refuses one if the payloads of the client's open calls would have more than
   * `maxPayload` bytes of JSON together. Calls do not count for `maxHandlersInFlight`.
   * @default 256
   */
  readonly maxCallsPerClient?: number | undefined;
  /**
   * How many rooms one client may be in, 1 to 16,777,216. A further `join` throws with the code `TOO_MANY_ROOMS`. It also
   * throws if the names of the client's rooms would have more than 1 MiB together, whatever this option is.
   * @default 1_000
   */
  readonly maxRoomsPerClient?: number | undefined;
  /**
   * A name under which several threads of this process share one server. Each worker calls `createServer` with the same name, options and
   * routes. Each client belongs to one of them: the one with the fewest clients. A worker that has not answered for 1 s gets no
   * new ones. Rooms and sends are common to all. A call with other options or routes throws an `Error` with the code `SHARE`.
   * @default none
   */
  readonly share?: string | undefined;
  /**
   * Threads for WebSocket I/O, 1 to 256.
   * @default the number of cores, at most 4
   */
  readonly ioThreads?: number | undefined;
  /**
   * What the server tells of itself. `health` is a path for the probes of an orchestrator. `GET` and `HEAD` there get 200 `ok`.
   * They get 503 while the server drains, or if the JavaScript thread has not answered for 5 s. Probes stand outside all
   * limits, and no metric counts them.
   * @default none
   */
  readonly observe?:
    | {
        /**
         * The path that probes ask for. It starts with `/`.
         * @default none
         */
        readonly health?: string | undefined;
      }
    | undefined;
  /**
   * Runs outgoing payloads through their schemas. A payload that does not fit throws a `TypeError` at `send.chat.onMessage(payload)`,
   * whose `issues` are those of the schema. The payload goes out as given, not as the schema returns it. So this is for schemas
   * that accept their own output, and that are synchronous.
   * @default false
   */
  readonly validateOutgoing?: boolean | undefined;
  /**
   * Gets every error that your code did not catch, and mistakes of clients such as bad messages. `error` is whatever was
   * thrown. If `onError` itself throws, the server logs that error. While 10,000 of its promises are pending, the server logs
   * further errors instead of calling it.
   * @default logs with `console.error`, at most ten lines a second of what clients can provoke
   */
  readonly onError?: ((error: unknown, info: ErrorInfo) => void) | undefined;
}

/**
 * Why the server refused an upgrade:
 *
 * - `HEADERS`: the headers schema refused it (400) or threw (500)
 * - `CONNECT`: `onConnect` threw (403, or the status of the error) or did not return an object (500)
 * - `ORIGIN`: `allowedOrigins` refused it (403)
 * - `STOP`: the server is stopping (503)
 * - `NOT_UPGRADE`: an ordinary HTTP request (426)
 * - `VERSION`: not version 13 of the protocol (426)
 * - `MALFORMED`: the request breaks the rules of HTTP or WebSocket (400)
 * - `HEAD_TOO_LARGE`: more than 16 KiB or 100 fields (431)
 * - `PATH`: another path (404)
 * - `MAX_CONNECTIONS`: too many connections (503)
 * - `TIMEOUT`: a slow request (408), a slow `onConnect` (503), or a pending socket that the server dropped for others
 * - `ADDRESS`: too many connections from one address (429)
 * - `UPGRADE_RATE`: too many upgrades within a second (503)
 * - `ADDRESS_RATE`: too many upgrades from one address within a second (429)
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

/** The counters of a server since its start. `sent = written + queued + dropped` always holds. */
export interface ServerMetrics {
  /** Connections that are open now: `clientCount()`. */
  readonly connections: number;
  /** Upgrades that the server admitted. A refusal in a `$refused` has a 101 too, and counts as refused. */
  readonly accepted: number;
  /** Upgrades that the server refused, by reason, without zeros. */
  readonly refused: Readonly<Partial<Record<RefusalReason, number>>>;
  /** Messages that came in, bad ones included. */
  readonly received: number;
  /** Messages that the server answered with `$error`, by code, without zeros. */
  readonly bad: Readonly<Partial<Record<MessageErrorCode, number>>>;
  /** Messages sent, `$error` included. A message to a hundred clients counts as a hundred. */
  readonly sent: number;
  /** Of those: given to the operating system. */
  readonly written: number;
  /** Of those: waiting for a client. */
  readonly queued: number;
  /** Of those: dropped or replaced because the client was slow, or waiting when the connection ended. */
  readonly dropped: number;
  /** Bytes read from connections. */
  readonly bytesIn: number;
  /** Bytes written to connections. */
  readonly bytesOut: number;
  /** Rooms with at least one client now. */
  readonly rooms: number;
  /**
   * Bytes that the server holds for its clients now, outside JavaScript: incomplete messages, messages that the application has
   * not taken yet, and messages that wait for clients. `maxBufferedBytes` limits it.
   */
  readonly buffered: number;
  /** With `share`: the threads that share the server, oldest first. */
  readonly workers?: readonly WorkerMetrics[];
  /**
   * With `share`: clients of workers that were terminated, and whose `onDisconnect` was not called. The server closed them with 1012
   * if they were still there.
   */
  readonly orphaned?: number;
  /** The counters of the bus, if the server has one. */
  readonly bus?: BusMetrics;
}

/** One of the threads that share a server. */
export interface WorkerMetrics {
  /** Its open clients. */
  readonly connections: number;
  /** Whether it is the thread that asks. */
  readonly isThis: boolean;
}

/** A running server. Without its routes, the type stands for any server, and lacks `send` and `publish`. */
export type ZocketServer<TRouter = never> = [TRouter] extends [never]
  ? AnyServer
  : RoutedServer<RoutesOf<TRouter>>;

/** A server whose routes are not known. */
export interface AnyServer {
  /** The port it listens on. Of an HTTP server that does not listen yet, and of a Unix-domain socket, it is 0. */
  readonly port: number;
  /** The address that it listens on, such as `127.0.0.1`, even if the option `hostname` was a name. `""` if there is none. */
  readonly hostname: string;
  /**
   * The address for clients: `ws://host:port`, or `wss://host:port` with TLS. The host is `localhost` if the server listens on all interfaces. `ws+unix:` and
   * the path for a Unix-domain socket. `""` if clients cannot reach it.
   */
  readonly url: string;
  /**
   * How many clients are connected to this process and to all others on the bus. Without a bus, it is the same as `clientCount()`.
   *
   * @throws Rejects with a `PartialError` if another process has not answered within a second.
   */
  clientCount(options: { readonly everywhere: true }): Promise<number>;
  /** How many clients are connected. A client counts from its admission until its `onDisconnect` begins. */
  clientCount(options?: { readonly everywhere?: false | undefined }): number;
  /**
   * Puts clients into rooms at once: a `toRoom` on the next line reaches them. Unknown ids are not an error. The promise resolves when
   * all of them have joined. Clients of another process or worker join a little later. Once the promise has resolved, a `toRoom` of
   * any process reaches them.
   *
   * The promise rejects with the code `BUS` if another process has not answered within 5 s. Its clients may still join. It rejects with
   * `TOO_MANY_ROOMS` if such a client may not be in another room, and with `TOO_MANY_ORDERS` if more than 10,000 such calls are pending.
   *
   * @throws `TypeError` for a wrong id or name. `Error` with the code `TOO_MANY_ROOMS` if a client may not be in another room; see
   *   `ctx.rooms.join`. The other clients join all the same, and `clientIds` of the error has those that could not.
   */
  join(clientIds: string | readonly string[], roomIds: string | readonly string[]): Promise<void>;
  /**
   * Takes clients out of rooms at once. Does nothing for unknown ids, and for clients that are not in the room. The promise resolves
   * when all of them have left. For clients of another process or worker it rejects as that of `join` does.
   *
   * @throws `TypeError` for a wrong id or name.
   */
  leave(clientIds: string | readonly string[], roomIds: string | readonly string[]): Promise<void>;
  /**
   * The ids of the clients in a room, in no particular order. They are of a moment between the call and the answer. Joins and
   * leaves before the call are in it. After the end of the server nobody is in a room. With a bus, they are of all processes.
   *
   * It rejects with a `PartialError`, which has the answer so far, if another process has not answered within a second, if the bus is
   * away, or if the server has a bus and has ended.
   * It rejects with the code `TOO_MANY_QUESTIONS` if more than 10,000 such questions are pending.
   *
   * @throws `TypeError` for a wrong name.
   */
  members(roomId: string): Promise<string[]>;
  /** How many clients are in a room. The rest is as with {@link AnyServer.members}. */
  roomSize(roomId: string): Promise<number>;
  /**
   * Resolves once the server listens, which it does from the start. If the bus has the option `required`, it waits until the bus
   * is connected.
   *
   * @throws Rejects with an `Error` with the code `BUS` after 10 s.
   */
  ready(): Promise<void>;
  /**
   * Resolves when the bus has confirmed the rooms of all clients that joined before. What another process publishes from then on
   * arrives. Without a bus, it resolves at once.
   *
   * @throws Rejects with an `Error` with the code `BUS` after 10 s.
   */
  synced(): Promise<void>;
  /** The server's counters, as they are now. */
  metrics(): ServerMetrics;
  /**
   * Closes the connections of these clients. Messages that were sent to them before arrive first. No message of theirs that has
   * not reached its handler yet is handled any more. Unknown ids are not an error. `onDisconnect` runs as for every client. The promise
   * resolves when the connections of all the clients are closing. For clients of another process or worker it rejects as that of
   * `join` does.
   *
   * @throws `TypeError` for a code that a server may not send, a reason longer than 123 bytes, or another wrong argument.
   */
  disconnect(clientIds: string | readonly string[], how?: DisconnectOptions): Promise<void>;
  /**
   * Replaces the option `tls`. New handshakes use the new certificates and keys. Open connections stay. If it throws, the old
   * ones stay.
   *
   * @throws `TypeError` for a wrong option, or if the server was created without `tls`. `Error` with the code `ETLS` for a
   *   certificate or key that cannot be used.
   */
  setTls(tls: TlsOptions): void;
  /**
   * Stops the server. It stops listening, sends the messages that wait, and closes the connections with 1001. It gives the
   * closing handshakes 5 s and `onDisconnect` 10 s, and then resolves. It never rejects. Calling it twice is fine.
   *
   * `stop(true)` cuts the clients off at once.
   *
   * `stop({ drain })` refuses upgrades at once. It closes the connections one by one, spread evenly over so many ms, 0 to
   * 2,147,483,647. Each client gets a hint when to connect again. The other clients work as before. A `stop()` closes
   * the remaining connections.
   *
   * With `share` it ends the part of this thread: it closes its clients with 1012, and the others go on. The last one stops the server.
   * `stop({ share: true })` stops the server for all.
   *
   * You may also give the function to an event: the name of a signal and an event object mean `stop()`.
   *
   * @throws `TypeError` for a wrong `drain`, an unknown option or another argument.
   */
  stop(
    how?:
      | boolean
      | {
          /**
           * Over how many ms the server closes the connections one by one, 0 to 2,147,483,647.
           * @default 0
           */
          readonly drain?: number | undefined;
          /**
           * With the option `share` of `createServer`: whether the server stops for all threads.
           * @default false
           */
          readonly share?: boolean | undefined;
        },
  ): Promise<void>;
  /**
   * Takes an upgrade request of another server: the arguments of Node's `"upgrade"` event, at once or later. For servers with
   * `noServer`.
   *
   * @throws `TypeError` without `noServer`, or for something that is not from that event.
   */
  handleUpgrade(
    request: { readonly url?: string | undefined; readonly rawHeaders: readonly string[] },
    socket: { destroy(): unknown },
    head: Uint8Array,
  ): void;
  /** Lets the server keep Node alive. It does so from the start. */
  ref(): void;
  /** Lets Node exit although the server listens. */
  unref(): void;
}

/** A server that can send the outgoing routes. */
export interface RoutedServer<TRoutes> extends AnyServer {
  /** Sends messages from outside a handler. */
  readonly send: Sender<TRoutes>;
  /**
   * Sends a message to everybody in a room: `publish("lobby", "chat.onMessage", payload)`. The last argument may be
   * `{ except }`.
   *
   * @throws `TypeError` if `room` is not a valid name, or if the route is not an outgoing one.
   */
  publish<TName extends keyof OutgoingPayloads<TRoutes> & string>(
    room: string,
    route: TName,
    ...args: [
      ...PayloadArguments<OutgoingPayloads<TRoutes>[TName]>,
      options?: SendOptions | undefined,
    ]
  ): void;
}
