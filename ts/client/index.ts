// `createZocketClient`: puts messages into envelopes, takes them out, and hands them to those who listen.
import { ERROR_TYPE, type Envelope, type ErrorPayload } from "../envelope.js";
import type {
  AnyRouter,
  ClientCloseEvent,
  ClientError,
  ClientOptions,
  ZocketClient,
} from "../types.js";
import { Connection } from "./connection.js";
import { Listeners } from "./listeners.js";
import { Queue } from "./queue.js";
import { routes } from "./routes.js";
import { settings } from "./settings.js";

export type {
  ClientCloseEvent,
  ClientError,
  ClientOn,
  ClientOptions,
  ClientSend,
  Unsubscribe,
  WebSocketClass,
  WebSocketLike,
  ZocketClient,
} from "../types.js";

/**
 * Connects to a server and returns a client typed by its router.
 *
 * @example
 * ```ts
 * import { createZocketClient } from "@zocket/core/client";
 * import type { AppRouter } from "./server.js";
 *
 * const client = createZocketClient<AppRouter>("ws://localhost:3000", {
 *   headers: { authorization: token },
 * });
 * client.on.chat.onMessage(({ text }) => console.log(text));
 * client.send.chat.message({ text: "Hello" });
 * ```
 */
export function createZocketClient<TRouter extends AnyRouter>(
  url: string | URL,
  options: ClientOptions = {},
): ZocketClient<TRouter> {
  const messages = new Map<string, Listeners<unknown>>();
  const opens = new Listeners<void>();
  const closes = new Listeners<ClientCloseEvent>();
  const errors = new Listeners<ClientError>();
  const queue = new Queue();

  if (options.onOpen) opens.add(options.onOpen, "createZocketClient: options.onOpen");
  if (options.onClose) closes.add(options.onClose, "createZocketClient: options.onClose");

  const connection = new Connection(settings(url, options), {
    opened() {
      queue.drain((text) => connection.send(text));
      opens.emit();
    },
    received(data) {
      const envelope = parse(data);
      if (!envelope) return;
      if (envelope.type !== ERROR_TYPE) messages.get(envelope.type)?.emit(envelope.payload);
      else if (isErrorPayload(envelope.payload)) errors.emit(envelope.payload);
    },
    ended: (event) => closes.emit(event),
  });

  function send(route: string, payload: unknown): void {
    const envelope: Envelope = { type: route, payload };
    const text = JSON.stringify(envelope);
    if (connection.send(text) || queue.push(text)) return;
    const message = "Too many messages wait for an open connection";
    errors.emit({ code: "QUEUE_FULL", route, message });
  }

  function on(route: string, listener: unknown): () => void {
    const listeners = messages.get(route) ?? new Listeners<unknown>();
    messages.set(route, listeners);
    return listeners.add(listener as (payload: unknown) => unknown, `client.on.${route}`);
  }

  return {
    send: routes(send) as ZocketClient<TRouter>["send"],
    on: routes(on) as ZocketClient<TRouter>["on"],
    onOpen: (listener) => opens.add(listener, "client.onOpen"),
    onClose: (listener) => closes.add(listener, "client.onClose"),
    onError: (listener) => errors.add(listener, "client.onError"),
    close: () => connection.close(),
    reconnect: () => connection.reconnect(),
    get readyState() {
      return connection.readyState;
    },
  };
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
