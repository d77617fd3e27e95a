// The client: what `createZocketClient` takes and returns.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import type { Issue, MessageErrorCode } from "../envelope.js";
import type { Carried } from "./carried.js";
import type { Jsonify } from "./json.js";
import type { IncomingMessage, MessageDef } from "./message.js";
import type { AnyRouter, AnyRoutes, HeadersOf, KeyOf, RoutesOf } from "./routes.js";
import type { Named, PayloadArguments } from "./shape.js";

/** Options of `createZocketClient`. With the type of what `zo.router` returned, `headers` offers the names in the headers schema. */
export interface ClientOptions<TRouter = AnyRouter> {
  /**
   * What the server's headers schema gets. Sent as query parameters, as browsers cannot set headers; `undefined` is left
   * out.
   * @default {}
   */
  readonly headers?: ClientHeaders<HeadersOf<TRouter>> | undefined;
  /**
   * Longest time in ms between two attempts to connect, from 0.
   * @default 10_000
   */
  readonly maxReconnectionDelay?: number | undefined;
  /**
   * Time in ms before the first new attempt, from 0, give or take a quarter.
   * @default 1_000
   */
  readonly minReconnectionDelay?: number | undefined;
  /**
   * How much longer each wait is than the one before: a factor from 1.
   * @default 1.3
   */
  readonly reconnectionDelayGrowFactor?: number | undefined;
  /**
   * How many attempts follow the first one. The count starts anew once a connection has been open for 5 s.
   * @default Infinity
   */
  readonly maxRetries?: number | undefined;
  /**
   * How many bytes of messages wait at most while the connection is not open, from 0.
   * @default 1_048_576
   */
  readonly maxQueuedBytes?: number | undefined;
  /**
   * Logs attempts, ends, and each message's route and size to `console.debug`; never the URL, headers or payloads.
   * @default false
   */
  readonly debug?: boolean | undefined;
  /** Called each time the connection is open. What it sends goes out before the messages that wait. */
  readonly onOpen?: (() => void) | undefined;
  /** Called each time the connection ended. */
  readonly onClose?: ((event: ClientCloseEvent) => void) | undefined;
  /**
   * The class to use, with the interface of a browser's WebSocket, such as the one that the package `ws` exports. Needed
   * where there is no global one, as on Node 20; `createZocketClient` throws a `TypeError` where there is none at all.
   * @default globalThis.WebSocket
   */
  readonly WebSocket?: WebSocketClass | undefined;
}

/** Any names, and those of the headers schema: all optional, since a browser sends some of them itself. */
export type ClientHeaders<THeaders> = Readonly<Record<string, string | undefined>> & {
  readonly [TName in NamesIn<THeaders>]?: string | undefined;
};

type NamesIn<THeaders> = THeaders extends unknown ? keyof Named<THeaders> & string : never;

/** A class with the interface of a browser's WebSocket. */
export type WebSocketClass = new (url: string) => WebSocketLike;

/** What the client uses of a WebSocket. */
export interface WebSocketLike {
  /** How binary messages would come; the client does not set it. */
  binaryType: string;
  /** 0 connecting, 1 open, 2 closing, 3 closed. */
  readonly readyState: number;
  /** How many bytes of sent messages it still holds. A class may leave it out; nothing bounds them then. */
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
  /** The close code (RFC 6455, 7.4.1); 1006 where the connection broke or never came to be. */
  readonly code: number;
  /** The text that came with the code; `timeout` where an attempt took longer than 15 s. */
  readonly reason: string;
  /** Whether there was a closing handshake. */
  readonly wasClean: boolean;
}

/** Something the server refused, or that the client could not keep. Test `code`, never `message`. */
export interface ClientError {
  /**
   * The code of a `$error`; or `QUEUE_FULL`: too many messages wait, and this one was dropped; or `TOO_LARGE`: the server closed
   * the connection, as a message was larger than it takes.
   */
  readonly code: MessageErrorCode | "QUEUE_FULL" | "TOO_LARGE";
  /** The wire name of the message, if it had one. */
  readonly route?: string;
  /** The reason, for people. */
  readonly message: string;
  /** What the schema found, for `INVALID_PAYLOAD`. */
  readonly issues?: readonly Issue[];
  /** In how many ms the server takes one more message, for `RATE_LIMITED`. */
  readonly retryAfterMs?: number;
}

/** Ends a subscription; calling it twice is fine. */
export type Unsubscribe = () => void;

/** Names that JavaScript itself looks up on any value, so that no route on the client can have them. */
type Unroutable = "then" | "toJSON" | "toString" | "valueOf";

/** The router of a client that was made without the type of one. */
export interface NoRouter extends AnyRoutes {
  readonly [none]: never;
}

declare const none: unique symbol;

/** What stands for the routes there, so that the compiler says it. */
type RouterIsMissing =
  "the type of the router is missing: createZocketClient<typeof appRouter>(url)";

/**
 * The incoming routes as functions: `send.chat.message(payload)`. They throw what `JSON.stringify` throws. What JSON cannot carry
 * of a schema's input does not compile.
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

/** A client that connects, and connects again when the connection is lost, until it is closed. */
export interface ZocketClient<TRouter> {
  /** Sends messages. While the connection is not open they wait, up to `maxQueuedBytes`, and go out in order. */
  readonly send: ClientSend<TRouter>;
  /** Subscribes to messages. */
  readonly on: ClientOn<TRouter>;
  /** Calls the listener each time the connection is open. What it sends goes out before the messages that wait. */
  onOpen(listener: () => void): Unsubscribe;
  /** Calls the listener each time the connection ended. */
  onClose(listener: (event: ClientCloseEvent) => void): Unsubscribe;
  /** Calls the listener for each message that did not make it. */
  onError(listener: (error: ClientError) => void): Unsubscribe;
  /** Closes the connection with 1000 and ends reconnecting. */
  close(): void;
  /**
   * Connects at once: closes an open connection with 1000 first, ends the waiting for the next attempt, and comes back after
   * `close()`. While the client connects, it does nothing. Called in `onClose` it never makes a loop.
   */
  reconnect(): void;
  /** 0 connecting, 1 open, 2 closing, 3 closed. */
  readonly readyState: 0 | 1 | 2 | 3;
}
