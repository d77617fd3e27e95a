// The client: what `createZocketClient` takes and returns.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import type { Issue, MessageErrorCode } from "../envelope.js";
import type { Carried } from "../types/carried.js";
import type { Jsonify } from "../types/json.js";
import type { IncomingMessage, MessageDef } from "../types/message.js";
import type { AnyRouter, AnyRoutes, HeadersOf, KeyOf, RoutesOf } from "../types/routes.js";
import type { Named, PayloadArguments } from "../types/shape.js";

/** Options of `createZocketClient`. With the type of a router, `headers` offers the names in the headers schema. */
export interface ClientOptions<TRouter = AnyRouter> {
  /**
   * The headers for the server's headers schema. The client sends them as query parameters, because browsers cannot set
   * headers. It leaves out a header that is `undefined`.
   * @default {}
   */
  readonly headers?: ClientHeaders<HeadersOf<TRouter>> | undefined;
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
   * How many bytes of messages may wait while the connection is not open, from 0.
   * @default 1_048_576
   */
  readonly maxQueuedBytes?: number | undefined;
  /**
   * Logs attempts, ends, and each message's route and size to `console.debug`. Never logs the URL, headers or payloads.
   * @default false
   */
  readonly debug?: boolean | undefined;
  /** Called each time the connection opens. Its messages go out before those that wait. */
  readonly onOpen?: (() => void) | undefined;
  /** Called each time the connection ends. */
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

/** A class with the interface of a browser's WebSocket. */
export type WebSocketClass = new (url: string) => WebSocketLike;

/** What the client uses of a WebSocket. */
export interface WebSocketLike {
  /** How binary messages would arrive. The client does not set it. */
  binaryType: string;
  /** 0 connecting, 1 open, 2 closing, 3 closed. */
  readonly readyState: number;
  /** How many bytes of sent messages it still holds. A class may leave it out. The client then has no limit for them. */
  readonly bufferedAmount?: number | undefined;
  /** Sends a text message. */
  send(text: string): void;
  /** Starts the closing handshake. */
  close(code?: number, reason?: string): void;
  /** Calls the listener at each event of the type. */
  addEventListener(type: "open" | "error", listener: (event: unknown) => void): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: ClientCloseEvent) => void): void;
}

/** How a connection ended. */
export interface ClientCloseEvent {
  /** The close code (RFC 6455, 7.4.1). It is 1006 if the connection broke or never opened. */
  readonly code: number;
  /** The text that came with the code. It is `timeout` if an attempt took longer than 15 s. */
  readonly reason: string;
  /** Whether there was a closing handshake. */
  readonly wasClean: boolean;
}

/** A message that the server refused or that the client could not keep. Test `code`, never `message`. */
export interface ClientError {
  /**
   * The code of a `$error`, or one of two codes of the client. `QUEUE_FULL`: too many messages wait, and the client dropped
   * this one. `TOO_LARGE`: the server closed the connection, because a message was larger than its `maxPayload`.
   */
  readonly code: MessageErrorCode | "QUEUE_FULL" | "TOO_LARGE";
  /** The wire name of the message, if it had one. */
  readonly route?: string;
  /** The reason, for people. */
  readonly message: string;
  /** The issues that the schema found, for `INVALID_PAYLOAD`. */
  readonly issues?: readonly Issue[];
  /** The time in ms until the server takes one more message, for `RATE_LIMITED`. */
  readonly retryAfterMs?: number;
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
  "createZocketClient needs the type of the router: createZocketClient<typeof appRouter>(url)";

/**
 * The incoming routes as functions: `send.chat.message(payload)`. They throw the errors of `JSON.stringify`. A payload that JSON
 * cannot carry does not compile.
 */
export type ClientSend<TRouter> = [TRouter] extends [NoRouter]
  ? RouterIsMissing
  : ClientSendAt<RoutesOf<TRouter>>;

type ClientSendAt<TRoute> =
  TRoute extends IncomingMessage<infer TSchema, unknown>
    ? (...args: PayloadArguments<Carried<StandardSchemaV1.InferInput<TSchema>>>) => void
    : {
        readonly [
          TKey in keyof TRoute as Exclude<KeyOf<TKey, TRoute[TKey], "in">, Unroutable>
        ]: ClientSendAt<TRoute[TKey]>;
      };

/** The outgoing routes as functions: `on.chat.onMessage(listener)` returns a function that ends the subscription. */
export type ClientOn<TRouter> = [TRouter] extends [NoRouter]
  ? RouterIsMissing
  : ClientOnAt<RoutesOf<TRouter>>;

type ClientOnAt<TRoute> =
  TRoute extends MessageDef<infer TSchema, "out">
    ? (listener: (payload: Jsonify<StandardSchemaV1.InferOutput<TSchema>>) => void) => Unsubscribe
    : {
        readonly [
          TKey in keyof TRoute as Exclude<KeyOf<TKey, TRoute[TKey], "out">, Unroutable>
        ]: ClientOnAt<TRoute[TKey]>;
      };

/** A client. It connects again when the connection is lost, until you close it. */
export interface ZocketClient<TRouter> {
  /** Sends messages. While the connection is not open they wait, up to `maxQueuedBytes`, and go out in order. */
  readonly send: ClientSend<TRouter>;
  /** Subscribes to messages. */
  readonly on: ClientOn<TRouter>;
  /** Calls the listener each time the connection opens. Its messages go out before those that wait. */
  onOpen(listener: () => void): Unsubscribe;
  /** Calls the listener each time the connection ends. */
  onClose(listener: (event: ClientCloseEvent) => void): Unsubscribe;
  /** Calls the listener for each message that the server refused or that was lost on the way. */
  onError(listener: (error: ClientError) => void): Unsubscribe;
  /** Closes the connection with 1000 and ends reconnecting. */
  close(): void;
  /**
   * Connects at once, also after `close()`. It does not wait for the next attempt, and closes an open connection with 1000
   * first. While the client connects, it does nothing. If you call it in `onClose`, it never makes a loop.
   */
  reconnect(): void;
  /** 0 connecting, 1 open, 2 closing, 3 closed. */
  readonly readyState: 0 | 1 | 2 | 3;
}
