// `createZocketClient`: puts messages into envelopes, takes them out, and hands them to those who listen.
import { ERROR_TYPE, type Envelope, type ErrorPayload } from "../envelope.js";
import type { AnyRouter } from "../types/routes.js";
import { Connection } from "./connection.js";
import { Listeners } from "./listeners.js";
import { Order } from "./order.js";
import { byteLength, Queue, type Waiting } from "./queue.js";
import { routes } from "./routes.js";
import { settings } from "./settings.js";
import type {
  ClientCloseEvent,
  ClientError,
  ClientOptions,
  NoRouter,
  ZocketClient,
} from "./types.js";

/** The close code for a message that is too large (RFC 6455, 7.4.1). */
const TOO_LARGE = 1009;
/** How many bytes wait at most in the socket of an open connection whose server does not read. */
const MAX_IN_SOCKET = 16 * 1024 * 1024;

export type {
  ClientCloseEvent,
  ClientError,
  ClientOn,
  ClientOptions,
  ClientSend,
  NoRouter,
  Unsubscribe,
  WebSocketClass,
  WebSocketLike,
  ZocketClient,
} from "./types.js";

/**
 * Connects to a server and returns a client that is typed by the server's router. The client reconnects by itself until you
 * close it. `@zocket/core/client` exports the same function, without anything native.
 *
 * @example
 * ```ts
 * const client = createZocketClient<AppRouter>("ws://localhost:3000", {
 *   headers: { authorization: token },
 * });
 * client.on.chat.onMessage(({ text }) => console.log(text));
 * client.send.chat.message({ text: "Hello" });
 * ```
 *
 * @throws `TypeError` that names a wrong URL or option, or if there is no `WebSocket`.
 */
export function createZocketClient<TRouter extends AnyRouter = NoRouter>(
  url: string | URL,
  options: ClientOptions<NoInfer<TRouter>> = {},
): ZocketClient<TRouter> {
  const checked = settings(url, options);
  const { debug, log, maxQueuedBytes } = checked;
  const messages = new Map<string, Listeners<unknown>>();
  const opens = new Listeners<void>();
  const closes = new Listeners<ClientCloseEvent>();
  const errors = new Listeners<ClientError>();
  const queue = new Queue(maxQueuedBytes);
  const order = new Order();
  /** The longest message of the current connection: the one that a server means which finds a message too large. */
  let longest = { route: "", length: 0 };

  const { onOpen, onClose } = options;
  if (onOpen !== undefined) opens.add(onOpen, "createZocketClient: options.onOpen");
  if (onClose !== undefined) closes.add(onClose, "createZocketClient: options.onClose");

  const connection = order.run(
    () =>
      new Connection(checked, order, {
        opened() {
          longest = { route: "", length: 0 };
          // First: an application joins its rooms there, and what its user typed meanwhile is for these.
          opens.emit();
          queue.drain((message) => connection.isOpen && trySending(message));
        },
        received(data) {
          const envelope = parse(data);
          if (!envelope) return log("received a message that is not an envelope");
          if (debug) log(`received ${described(envelope.type, data as string)}`);
          if (envelope.type !== ERROR_TYPE) messages.get(envelope.type)?.emit(envelope.payload);
          else if (isErrorPayload(envelope.payload)) errors.emit(envelope.payload);
        },
        ended(event) {
          if (event.code === TOO_LARGE && longest.length > 0) {
            const message =
              "The server closed the connection, because a message was larger than its maxPayload";
            errors.emit({ code: "TOO_LARGE", route: longest.route, message });
          }
          return closes.emit(event);
        },
        hearsEnds: () => !closes.isEmpty,
      }),
  );

  function send(route: string, payload: unknown): void {
    const envelope: Envelope = { type: route, payload };
    const text = JSON.stringify(envelope);
    order.run(() => {
      const message = { route, text };
      if (!connection.isOpen)
        return queue.push(route, text) || refuse(message, "for an open connection");
      if (connection.buffered < Math.max(MAX_IN_SOCKET, maxQueuedBytes)) return sendNow(message);
      return refuse(message, "for a server that reads slowly");
    });
  }

  function sendNow({ route, text }: Waiting): boolean {
    if (debug) log(`sends ${described(route, text)}`);
    connection.send(text);
    if (text.length > longest.length) longest = { route, length: text.length };
    return true;
  }

  /** There is no caller to throw to here, and what could not be sent goes on to wait. */
  function trySending(message: Waiting): boolean {
    try {
      return sendNow(message);
    } catch (error) {
      console.error("zocket: the WebSocket class failed:", error);
      return false;
    }
  }

  function refuse({ route, text }: Waiting, why: string): void {
    if (debug) log(`discards ${described(route, text)}`);
    const message = `Too many messages wait ${why}`;
    order.later(() => errors.emit({ code: "QUEUE_FULL", route, message }));
  }

  function on(route: string, listener: unknown): () => void {
    const listeners = messages.get(route) ?? new Listeners<unknown>();
    const remove = listeners.add(listener as (payload: unknown) => unknown, `client.on.${route}`);
    messages.set(route, listeners);
    return () => {
      remove();
      // A later listener may have brought a list of its own.
      if (listeners.isEmpty && messages.get(route) === listeners) messages.delete(route);
    };
  }

  return {
    send: routes(send) as ZocketClient<TRouter>["send"],
    on: routes(on) as ZocketClient<TRouter>["on"],
    onOpen: (listener) => opens.add(listener, "client.onOpen"),
    onClose: (listener) => closes.add(listener, "client.onClose"),
    onError: (listener) => errors.add(listener, "client.onError"),
    close: () => order.run(() => connection.close()),
    reconnect: () => order.run(() => connection.reconnect()),
    get readyState() {
      return connection.readyState;
    },
  };
}

/** A message as the log names it: by its route, which a server may choose, and its size. */
function described(route: string, text: string): string {
  return `${JSON.stringify(route.slice(0, 100))}, ${byteLength(text)} bytes`;
}

/** What a server sends that is no envelope is passed over: there is nobody to tell. */
function parse(data: unknown): Envelope | undefined {
  if (typeof data !== "string") return undefined;
  try {
    const envelope: unknown = JSON.parse(data);
    return isObject(envelope) && typeof envelope["type"] === "string"
      ? (envelope as unknown as Envelope)
      : undefined;
  } catch {
    return undefined;
  }
}

function isErrorPayload(payload: unknown): payload is ErrorPayload {
  return isObject(payload) && typeof payload["code"] === "string";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
