// The client: what `createZocketClient` takes and returns.
import type { Issue, MessageErrorCode, RefusedPayload } from "../envelope.js";
import type { Accepted, Delivered } from "../types/bytes.js";
import type { CallsAt, SendKey, Signal } from "../types/call.js";
import type { MessageDef } from "../types/message.js";
import type { AnyRouter, AnyRoutes, HeadersOf, KeyOf, RoutesOf } from "../types/routes.js";
import type { Named, PayloadArguments } from "../types/shape.js";
import type { IsTransformed } from "../types/transformed.js";
import type { Transformer } from "../types/transformer.js";

/** Options of `createZocketClient`. With the type of a router, `headers` offers the names in the headers schema. */
export interface ClientOptions<TRouter = AnyRouter> {
  /**
   * The headers for the server's headers schema, or a function that returns them or a promise of them. The client calls the
   * function before each attempt to connect, so that it can return a fresh token. If it throws, rejects or takes longer than
   * 15 s, the attempt fails, and `onError` gets `HEADERS`. The client leaves out a header that is `undefined`.
   * @default {}
   */
  readonly headers?: HeadersOption<ClientHeaders<HeadersOf<TRouter>>> | undefined;
  /**
   * How the headers travel, because browsers cannot set headers on a WebSocket. `"protocol"`: in a subprotocol, which no URL
   * and no access log shows. `"query"`: as query parameters of the URL, which servers and proxies log. With `"query"` the
   * client does not learn its id, why the server refused it, or that the line is dead.
   * @default "protocol"
   */
  readonly headersIn?: "protocol" | "query" | undefined;
  /**
   * The longest time in ms between two attempts to connect, from 0.
   * @default 10_000
   */
  readonly maxReconnectionDelay?: number | undefined;
  /**
   * The time in ms before the first new attempt, from 0. A random ±25 % is added.
   * @default 1_000
   */
  readonly minReconnectionDelay?: number | undefined;
  /**
   * How much longer each delay is than the one before: a factor from 1.
   * @default 1.3
   */
  readonly reconnectionDelayGrowFactor?: number | undefined;
  /**
   * How many attempts may follow the first one. The count starts anew once a connection has been open for 5 s.
   * @default Infinity
   */
  readonly maxRetries?: number | undefined;
  /**
   * Decides after each end whether the client connects again, instead of the client's own rules. The client asks while
   * `maxRetries` allows another attempt, and never after `close()` and `reconnect()`. If the function throws, the rules apply.
   */
  readonly shouldReconnect?: ((event: ClientCloseEvent) => boolean) | undefined;
  /**
   * Whether the client connects at once. With `false` it connects at the first `reconnect()`, and needs no `WebSocket` before.
   * @default true
   */
  readonly autoConnect?: boolean | undefined;
  /**
   * After how many ms without a message from the server the client asks whether the line is alive, from 0. If the server does
   * not answer in 10 s, the client gives the connection up. 0 turns this off.
   * @default 25_000
   */
  readonly heartbeatInterval?: number | undefined;
  /**
   * How many bytes of messages may wait while the connection is not open, from 0.
   * @default 1_048_576
   */
  readonly maxQueuedBytes?: number | undefined;
  /**
   * The time in ms that a call waits for its answer, or for its next item, from 0. With 0 there is no limit.
   * @default 30_000
   */
  readonly callTimeout?: number | undefined;
  /**
   * The transformer that `zocket.create` was given. A router with a transformer requires it.
   * @default none
   */
  readonly transformer?: Transformer | undefined;
  /**
   * The routes themselves, or the router, and not only their type: of a module that the server and the client share. The client
   * then checks each payload before it sends it.
   * @default none
   */
  readonly routes?: AnyRouter | undefined;
  /**
   * Whether the client also checks what it receives. It needs `routes`. A message that does not fit goes to `onError`, and a call
   * with such an answer rejects with `BAD_REPLY`. The schemas have to accept their own output, as JSON carries it.
   * @default false
   */
  readonly validateIncoming?: boolean | undefined;
  /**
   * Logs attempts, ends, and each message's route and size to `console.debug`. Never logs the URL, headers or payloads.
   * @default false
   */
  readonly debug?: boolean | undefined;
  /** Called each time the connection opens. Its messages go out before those that wait. */
  readonly onOpen?: (() => void) | undefined;
  /** Called each time a connection or an attempt to connect ends. */
  readonly onClose?: ((event: ClientCloseEvent) => void) | undefined;
  /**
   * A class with the interface of a browser's WebSocket, such as the one of the package `ws`. You need it where there is no
   * global one, as on Node 20. Without any, `createZocketClient` throws a `TypeError`.
   * @default globalThis.WebSocket
   */
  readonly WebSocket?: WebSocketClass | undefined;
}

/** Any names, and those of the headers schema. All are optional, because a browser sends some of them itself. */
export type ClientHeaders<THeaders> = Readonly<Record<string, string | undefined>> & {
  readonly [TName in NamesIn<THeaders>]?: string | undefined;
};

type NamesIn<THeaders> = THeaders extends unknown ? keyof Named<THeaders> & string : never;

/** The headers, or a function that returns them. */
export type HeadersOption<THeaders> = THeaders | (() => THeaders | PromiseLike<THeaders>);

/**
 * A class with the interface of a browser's WebSocket. With `headersIn: "query"` it gets the URL alone.
 */
export type WebSocketClass = new (url: string, protocols?: string[]) => WebSocketLike;

/** What the client uses of a WebSocket. */
export interface WebSocketLike {
  /** How binary messages arrive. The client sets it to `"arraybuffer"`. */
  binaryType: string;
  /** 0 connecting, 1 open, 2 closing, 3 closed. */
  readonly readyState: number;
  /** The subprotocol that the server chose. Without it, a class works with `headersIn: "query"` alone. */
  readonly protocol?: string | undefined;
  /** How many bytes of sent messages it still holds. A class may leave it out. The client then has no limit for them. */
  readonly bufferedAmount?: number | undefined;
  /** Sends a text message, or a binary one. */
  send(data: string | Uint8Array<ArrayBuffer>): void;
  /** Starts the closing handshake. */
  close(code?: number, reason?: string): void;
  /** Calls the listener at each event of the type. */
  addEventListener(type: "open" | "error", listener: (event: unknown) => void): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: ClientCloseEvent) => void): void;
}

/** How a connection, or an attempt to connect, ended. */
export interface ClientCloseEvent {
  /**
   * The close code (RFC 6455, 7.4.1). It is 1006 if the connection broke or never opened, and 4000 if the client gave it up. A
   * refusal has 4000 and the HTTP status, such as 4401.
   */
  readonly code: number;
  /**
   * The text that came with the code. If the client gave up, it says why. `timeout`: an attempt took longer than 15 s.
   * `headers`: the option `headers` failed. `protocol`: the server does not speak `zocket.1`. `silence`: the line is dead.
   */
  readonly reason: string;
  /** Whether there was a closing handshake. */
  readonly wasClean: boolean;
  /** Why the server refused the client. Missing if it did not. */
  readonly refused?: RefusedPayload;
}

/**
 * What a client is doing. `connecting`: an attempt is under way. `open`: the server takes messages. `waiting`: for the next
 * attempt, or for a network. `closed`: it does not connect again by itself.
 */
export type ClientState = "connecting" | "open" | "waiting" | "closed";

/** A message that did not reach its handler, or headers that the client could not get. Test `code`, never `message`. */
export interface ClientError {
  /**
   * The code of a `$error`, or one of the client. `QUEUE_FULL`: too many messages wait, and the client dropped this one.
   * `TOO_LARGE`: the message is larger than the server's `maxPayload`. `LOST`: the connection
   * ended before the message had left the client. `HEADERS`: the option `headers` failed. `INVALID_PAYLOAD` with a `cause`: the
   * client's transformer cannot read a message of the server, or the data of an error. With the option `routes` the client itself
   * tells of `INVALID_PAYLOAD` too. A message that declares errors may bring its own codes.
   */
  readonly code:
    Exclude<MessageErrorCode, "TOO_MANY_CALLS"> | "QUEUE_FULL" | "TOO_LARGE" | "LOST" | "HEADERS";
  /** The wire name of the message, if it had one. */
  readonly route?: string;
  /** The reason, for people. */
  readonly message: string;
  /** The issues that the schema found, for `INVALID_PAYLOAD`. */
  readonly issues?: readonly Issue[];
  /** The time in ms until the server takes one more message, for `RATE_LIMITED`. */
  readonly retryAfterMs?: number;
  /** The data of an error that the message declares. */
  readonly data?: unknown;
  /** What the option `headers` threw, for `HEADERS`, or a schema or the transformer, for `INVALID_PAYLOAD`. */
  readonly cause?: unknown;
}

/** Ends a subscription. Calling it twice is fine. */
export type Unsubscribe = () => void;

/** Names that JavaScript itself looks up on any value, so that no route on the client can have them. */
type Unroutable = "then" | "toJSON" | "toString" | "valueOf";

/** The router of a client without the type of one: `createZocketClient(url)`. */
export interface NoRouter extends AnyRoutes {
  readonly [none]: never;
}

declare const none: unique symbol;

/** What stands for the routes there, so that the compiler says it. */
type RouterIsMissing =
  "the type of the router is missing: createZocketClient<AppRouter>(url), useZocket<AppRouter>()";

/**
 * The incoming routes as functions: `send.chat.message(payload)`. They throw the errors of `JSON.stringify`. A payload that JSON
 * cannot carry does not compile.
 */
export type ClientSend<TRouter> = [TRouter] extends [NoRouter]
  ? RouterIsMissing
  : ClientSendAt<RoutesOf<TRouter>>;

type ClientSendAt<TRoute> =
  TRoute extends MessageDef<infer TSchema, "in">
    ? (...args: PayloadArguments<Accepted<TSchema, IsTransformed<TRoute>>>) => void
    : {
        readonly [
          TKey in keyof TRoute as Exclude<SendKey<TKey, TRoute[TKey]>, Unroutable>
        ]: ClientSendAt<TRoute[TKey]>;
      };

/**
 * The incoming routes with a `reply` or a `stream` as functions: `await call.chat.join(payload)` is the reply. Each returns a
 * promise that rejects with a `ZocketError`.
 */
export type ClientCall<TRouter> = [TRouter] extends [NoRouter]
  ? RouterIsMissing
  : CallsAt<RoutesOf<TRouter>, Unroutable>;

/**
 * The outgoing routes: `on.chat.onMessage(listener)` returns a function that ends the subscription. You may also loop over the
 * messages: `for await (const payload of on.chat.onMessage)`.
 */
export type ClientOn<TRouter> = [TRouter] extends [NoRouter]
  ? RouterIsMissing
  : ClientOnAt<RoutesOf<TRouter>>;

type ClientOnAt<TRoute> =
  TRoute extends MessageDef<infer TSchema, "out">
    ? Subscribe<Delivered<TSchema, IsTransformed<TRoute>>>
    : {
        readonly [
          TKey in keyof TRoute as Exclude<KeyOf<TKey, TRoute[TKey], "out">, Unroutable>
        ]: ClientOnAt<TRoute[TKey]>;
      };

/** Subscribes to the messages of one route. */
export interface Subscribe<TPayload> {
  /** Calls the listener for each message. Returns a function that ends the subscription. */
  (listener: (payload: TPayload) => void): Unsubscribe;
  /** Starts a loop over the messages that come from now on. */
  [Symbol.asyncIterator](): MessageIterator<TPayload>;
}

/**
 * The messages of one route, in their order, also those of later connections. Up to 1,024 wait for their reader; then the oldest
 * one is dropped. It ends when the loop is left, and when the client is closed.
 */
export interface MessageIterator<TPayload> {
  /** How many messages were dropped, because the reader was too slow. */
  readonly dropped: number;
  /** A promise of the next message, or of the end. */
  next(): Promise<IteratorResult<TPayload, undefined>>;
  /** Ends the subscription. */
  return(): Promise<IteratorResult<TPayload, undefined>>;
  [Symbol.asyncIterator](): MessageIterator<TPayload>;
}

/** The outgoing routes as functions: `await once.chat.onMessage()` is the payload of the next message. */
export type ClientOnce<TRouter> = [TRouter] extends [NoRouter]
  ? RouterIsMissing
  : ClientOnceAt<RoutesOf<TRouter>>;

type ClientOnceAt<TRoute> =
  TRoute extends MessageDef<infer TSchema, "out">
    ? (options?: OnceOptions) => Promise<Delivered<TSchema, IsTransformed<TRoute>>>
    : {
        readonly [
          TKey in keyof TRoute as Exclude<KeyOf<TKey, TRoute[TKey], "out">, Unroutable>
        ]: ClientOnceAt<TRoute[TKey]>;
      };

/** Options of `client.once.a.b`. */
export interface OnceOptions {
  /**
   * The time in ms until the promise rejects with `TIMEOUT`, from 0; 0 is no limit.
   * @default 0
   */
  readonly timeout?: number | undefined;
  /** Ends the wait. The promise then rejects with the reason of the signal. */
  readonly signal?: Signal | undefined;
}

/** A client. It connects again when the connection is lost, until you close it. */
export interface ZocketClient<TRouter> {
  /** Sends messages. While the connection is not open they wait, up to `maxQueuedBytes`, and go out in order. */
  readonly send: ClientSend<TRouter>;
  /**
   * Calls the messages that have a `reply` or a `stream`. While the connection is not open they wait with the others. The client never
   * sends a call twice.
   */
  readonly call: ClientCall<TRouter>;
  /** Subscribes to messages. */
  readonly on: ClientOn<TRouter>;
  /** Waits for the next message. The promise rejects with `CLOSED` when the client is closed. */
  readonly once: ClientOnce<TRouter>;
  /** Calls the listener each time the connection opens. Its messages go out before those that wait. */
  onOpen(listener: () => void): Unsubscribe;
  /** Calls the listener each time a connection or an attempt to connect ends. */
  onClose(listener: (event: ClientCloseEvent) => void): Unsubscribe;
  /** Calls the listener for each message that did not reach its handler, and when the option `headers` fails. */
  onError(listener: (error: ClientError) => void): Unsubscribe;
  /** Closes the connection with 1000 and ends reconnecting. */
  close(): void;
  /**
   * Connects at once, also after `close()`. It does not wait for the next attempt, and closes an open connection with 1000
   * first. While the client connects, it does nothing. If you call it in `onClose`, it never makes a loop.
   */
  reconnect(): void;
  /** 0 connecting or waiting to connect, 1 open, 2 closing, 3 closed. */
  readonly readyState: 0 | 1 | 2 | 3;
  /** What the client is doing. */
  readonly state: ClientState;
  /** When the next attempt comes, in ms since 1970. Missing unless the client is waiting, and while there is no network. */
  readonly retryAt: number | undefined;
  /** Calls the listener each time `state` or `retryAt` changes. */
  onState(listener: (state: ClientState, retryAt: number | undefined) => void): Unsubscribe;
  /** The id that the server gave the open connection: `ctx.clientId` there. Missing while it is not open. */
  readonly id: string | undefined;
}
