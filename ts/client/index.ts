// `createZocketClient`: puts messages into envelopes, takes them out, and hands them to those who listen.
import { makerIn, type Checks, type Refusal } from "../contract/checks.js";
import { ERROR_TYPE, type Envelope, type ErrorPayload } from "../envelope.js";
import type { AnyRouter } from "../types/routes.js";
import type { PlainRouter } from "../types/transformed.js";
import type { Transformer } from "../types/transformer.js";
import { Calls } from "./calls.js";
import { Connection } from "./connection.js";
import { Listeners } from "./listeners.js";
import { envelopeIn, messageOf, sizeOf } from "./message.js";
import { Order } from "./order.js";
import { isErrorPayload } from "./received.js";
import type { Waiting } from "./queue.js";
import { routes } from "./routes.js";
import { described, Sending } from "./sending.js";
import { settings } from "./settings.js";
import { Subscriptions } from "./subscriptions.js";
import { UNREADABLE, wireOf } from "./wire.js";
import type {
  ClientCloseEvent,
  ClientError,
  ClientOptions,
  ClientState,
  NoRouter,
  ZocketClient,
} from "./types.js";

export type { RefusedPayload } from "../envelope.js";
export type { Call, CallError, CallOptions, CallResult, StreamCall } from "../types/call.js";
export { ZocketError, type CallErrorCode } from "../zocket-error.js";
export type {
  ClientCall,
  ClientCloseEvent,
  ClientError,
  ClientOn,
  ClientOnce,
  ClientOptions,
  ClientSend,
  ClientState,
  MessageIterator,
  NoRouter,
  OnceOptions,
  Subscribe,
  Unsubscribe,
  WebSocketClass,
  WebSocketLike,
  ZocketClient,
} from "./types.js";

/** What TypeScript takes the type of the routes from, if nobody names it. */
interface Inferring<TRouter> {
  readonly routes?: TRouter | AnyRouter | undefined;
}

/** Connects to a server whose router has a transformer. The client needs the same one. */
export function createZocketClient<TRouter extends AnyRouter = NoRouter>(
  url: string | URL,
  options: ClientOptions<NoInfer<TRouter>> &
    Inferring<TRouter> & { readonly transformer: Transformer },
): ZocketClient<TRouter>;
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
export function createZocketClient<TRouter extends PlainRouter = NoRouter>(
  url: string | URL,
  options?: ClientOptions<NoInfer<TRouter>> & Inferring<TRouter>,
): ZocketClient<TRouter>;
export function createZocketClient<TRouter extends AnyRouter>(
  url: string | URL,
  options: ClientOptions<NoInfer<TRouter>> = {},
): ZocketClient<TRouter> {
  const checked = settings(url, options);
  const { debug, log } = checked;
  const messages = new Map<string, Listeners<[payload: unknown]>>();
  const opens = new Listeners<[]>();
  const closes = new Listeners<[event: ClientCloseEvent]>();
  const errors = new Listeners<[error: ClientError]>();
  const states = new Listeners<[state: ClientState, retryAt: number | undefined]>();
  const order = new Order();
  /** Whether it was closed. One that has not begun to connect was not. */
  let isOver = false;
  const wire = wireOf(checked.transformer);
  const sending = new Sending(checked, order, (error) => errors.emit(error));

  const checks = checksOf(options.routes);

  const { onOpen, onClose } = options;
  if (onOpen !== undefined) opens.add(onOpen, "createZocketClient: options.onOpen");
  if (onClose !== undefined) closes.add(onClose, "createZocketClient: options.onClose");

  const calls = new Calls(
    {
      send: dispatch,
      forget(call) {
        checks?.forget(call);
        sending.forget(call);
      },
      isClosed: () => connection.state === "closed",
      own: (text) => order.run(() => sending.sendOwn(text, connection.current)),
    },
    checked.callTimeout,
    wire,
    checked.validateIncoming ? checks : undefined,
  );
  const subscriptions = new Subscriptions({ on, isClosed });
  const connection = order.run(
    () =>
      new Connection(checked, order, {
        opened() {
          sending.opened();
          const drain = () => sending.drain(() => connection.current);
          // First: an application joins its rooms there, and what its user typed meanwhile is for these.
          if (checks) return checks.opened(() => opens.emit(), drain);
          opens.emit();
          drain();
        },
        received(envelope, data) {
          const { type, payload } = envelope;
          if (debug) log(`received ${described(type, data)}`);
          if (calls.received(envelope)) return;
          if (type !== ERROR_TYPE) receive(type, payload);
          else if (isErrorPayload(payload)) refused(payload);
        },
        ended(event, { unsent, error }) {
          calls.disconnected(connection.state === "closed");
          sending.ended(event.code, unsent);
          const pending = error ? errors.emit(error) : [];
          // It would be a riddle why nothing ever connects.
          if (error && errors.isEmpty) console.error(`zocket: ${error.message}:`, error.cause);
          return [...pending, ...closes.emit(event)];
        },
        changed: (state, retryAt) => {
          // It may connect again by now.
          closed(state === "closed" && connection.state === "closed");
          return states.emit(state, retryAt);
        },
        isHeard: () =>
          !closes.isEmpty ||
          !states.isEmpty ||
          checked.shouldReconnect !== undefined ||
          (typeof checked.headers === "function" && !errors.isEmpty),
      }),
  );

  function send(route: string, payload: unknown): void {
    const envelope: Envelope = { type: route, payload: wire.write(payload, "send", route) };
    dispatch({ route, data: messageOf(envelope) });
  }

  /** Sends a message, once its payload is known to fit. */
  function dispatch(message: Waiting): void {
    if (!checks) return pass(message);
    // The server sees what JSON and the transformer make of the payload.
    const { payload } = envelopeIn(message.data) as Envelope;
    wire.read(
      payload,
      (seen) => checks.enter(message, seen),
      (cause) => refuse(message, { cause }),
    );
  }

  function checksOf(given: unknown): Checks<Waiting> | undefined {
    if (given === undefined) return undefined;
    const place = "createZocketClient: options.routes";
    const make = makerIn(given);
    if (!make)
      throw new TypeError(`${place}: expected routes, with the definitions of a message builder`);
    const full = (message: Waiting) =>
      sending.lose(message, "QUEUE_FULL", "Too many messages wait for their schemas");
    const size = ({ data }: Waiting) => sizeOf(data);
    const isTransformed = checked.transformer !== undefined;
    return make(place, given, { pass, refuse, full, size, isTransformed }, checked.maxQueuedBytes);
  }

  function pass(message: Waiting): void {
    order.run(() => sending.sendMessage(message, connection.current));
  }

  function refuse({ route, call }: Waiting, refusal: Refusal): void {
    const why = "The payload does not fit the schema, so it was not sent";
    if (call) call.lost("INVALID_PAYLOAD", why, refusal.issues);
    else order.later(() => misfit(route, why, refusal));
  }

  function misfit(route: string, message: string, refusal: Refusal): void {
    // It would be a riddle why nothing ever arrives.
    if (errors.isEmpty) console.error(`zocket: ${JSON.stringify(route)}: ${message}:`, refusal);
    errors.emit({ code: "INVALID_PAYLOAD", route, message, ...refusal });
  }

  function receive(route: string, payload: unknown): void {
    const listeners = messages.get(route);
    if (!listeners) return;
    wire.read(
      payload,
      (read) => {
        const refusal = calls.answers?.received(route, read);
        if (refusal) misfit(route, "A message of the server does not fit its schema", refusal);
        else listeners.emit(read);
      },
      (cause) => misfit(route, UNREADABLE, { cause }),
    );
  }

  function refused(error: ErrorPayload): void {
    // A message that declares errors may bring its own codes.
    const tell = (told: unknown) => void errors.emit(told as ClientError);
    if (error.data === undefined) return tell(error);
    wire.read(
      error.data,
      (data) => tell({ ...error, data }),
      (cause) => tell({ ...error, data: undefined, cause }),
    );
  }

  function isClosed(): boolean {
    return isOver && connection.state === "closed";
  }

  function closed(isClosedNow: boolean): void {
    isOver = isClosedNow;
    calls.closed(isClosedNow);
    if (isClosedNow) subscriptions.closed();
  }

  function on(route: string, listener: unknown): () => void {
    const listeners = messages.get(route) ?? new Listeners<[payload: unknown]>();
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
    call: routes((route, payload, given) =>
      calls.call(route, payload, given),
    ) as ZocketClient<TRouter>["call"],
    on: routes(on, (route) => subscriptions.iterate(route)) as ZocketClient<TRouter>["on"],
    once: routes((route, given) =>
      subscriptions.once(route, given),
    ) as ZocketClient<TRouter>["once"],
    onOpen: (listener) => opens.add(listener, "client.onOpen"),
    onClose: (listener) => closes.add(listener, "client.onClose"),
    onError: (listener) => errors.add(listener, "client.onError"),
    close() {
      order.run(() => connection.close());
      closed(true);
    },
    reconnect: () => order.run(() => connection.reconnect()),
    get readyState() {
      return connection.readyState;
    },
    get state() {
      return connection.state;
    },
    get retryAt() {
      return connection.retryAt;
    },
    onState: (listener) => states.add(listener, "client.onState"),
    get id() {
      return connection.current?.id;
    },
  };
}
