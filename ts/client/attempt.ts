// Owns one WebSocket, from the question for its headers to its end. What comes after that is nobody's concern any more.
import {
  PING_TYPE,
  REFUSED_TYPE,
  WELCOME_TYPE,
  type Envelope,
  type RefusedPayload,
} from "../envelope.js";
import { withQuery } from "./address.js";
import { ABNORMAL, GIVEN_UP, NORMAL } from "./close-codes.js";
import { checkedHeaders, offered, PROTOCOL, type Headers } from "./headers.js";
import { Heartbeat, type Line } from "./heartbeat.js";
import { envelopeIn, sizeOf, type Data } from "./message.js";
import type { Order } from "./order.js";
import { isRefusedPayload, welcomeIn, type Welcome } from "./received.js";
import type { Settings } from "./settings.js";
import type { ClientCloseEvent, ClientError, WebSocketLike } from "./types.js";
import { Unsent } from "./unsent.js";

/** Longest time in ms for one step of an attempt: longer than the server's `handshakeTimeout` of 10 s, which decides before. */
const PATIENCE = 15_000;
const CONNECTING = 0;
const OPEN = 1;

/** What went wrong with an attempt besides its end. */
export interface Losses {
  /** The routes of the messages that were still in its socket, in their order. */
  readonly unsent: readonly string[];
  readonly error?: ClientError | undefined;
}

/** Whom an attempt tells what happens to it. */
export interface AttemptEvents {
  /** The server takes messages. */
  opened(): void;
  /** A message, as it came and as it was meant. */
  received(envelope: Envelope, data: unknown): void;
  /** Comes once, and last. Never comes after {@link Attempt.leave}. */
  ended(event: ClientCloseEvent, losses: Losses): void;
}

/** An attempt to connect and, if it succeeds, the connection. */
export class Attempt implements Line {
  readonly #settings: Settings;
  readonly #order: Order;
  readonly #events: AttemptEvents;
  #socket: WebSocketLike | undefined;
  /** What the server said when it opened. */
  #welcome: Welcome | undefined;
  #refused: RefusedPayload | undefined;
  #heartbeat: Heartbeat | undefined;
  readonly #unsent = new Unsent();
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #isClosing = false;
  #isOver = false;

  constructor(settings: Settings, order: Order, events: AttemptEvents) {
    this.#settings = settings;
    this.#order = order;
    this.#events = events;
  }

  /** Begins. Throws what the `WebSocket` class throws, unless it has to ask for headers first. */
  begin(): void {
    const { headers } = this.#settings;
    if (typeof headers !== "function") return this.#connect(headers);
    this.#limit(() => this.#withoutHeaders(new Error("it took longer than 15 s")));
    // Never before the caller has returned, as the function may use the client. Its promise may be of any class.
    void Promise.resolve()
      .then(() => headers())
      .then(
        this.#whileCurrent((given) => this.#answered(given)),
        this.#whileCurrent((cause) => this.#withoutHeaders(cause)),
      );
  }

  get readyState(): 0 | 1 | 2 | 3 {
    const state = (this.#socket?.readyState ?? CONNECTING) as 0 | 1 | 2 | 3;
    return state === OPEN && !this.#welcome ? CONNECTING : state;
  }

  /** Whether it takes messages. A socket that is closing would take them too, and forget them. */
  get isOpen(): boolean {
    return this.readyState === OPEN;
  }

  /** Whether it was ever open. */
  get hasOpened(): boolean {
    return this.#welcome !== undefined;
  }

  get id(): string | undefined {
    return this.isOpen ? this.#welcome?.clientId : undefined;
  }

  /** How many bytes a message may have, as far as the server says it. */
  get maxPayload(): number {
    return this.#welcome?.maxPayload ?? Infinity;
  }

  /** Bytes that the socket has not passed on yet; 0 where the class does not say. */
  get buffered(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** Sends a message of a route. Only if it is open. */
  send(data: Data, route: string): void {
    const { buffered } = this;
    this.#socket?.send(data);
    this.#unsent.add(route, sizeOf(data), buffered);
  }

  /** Asks whether the line is alive. */
  probe(): void {
    if (this.isOpen) this.#heartbeat?.probe();
  }

  /** Takes a step after so many ms, unless the attempt is over by then. */
  after(ms: number, step: () => void): ReturnType<typeof setTimeout> {
    return setTimeout(this.#whileCurrent(step), ms);
  }

  /** Asks the server for an answer. */
  ping(): void {
    try {
      if (this.isOpen) this.send(JSON.stringify({ type: PING_TYPE }), "");
    } catch {
      // Its deadline decides.
    }
  }

  /** The server did not answer. */
  died(): void {
    this.#giveUp("silence");
  }

  /** Starts the closing handshake, whose end is told. Returns whether there is a socket for it. */
  close(): boolean {
    this.#isClosing = true;
    this.#rest();
    this.#socket?.close(NORMAL);
    return this.#socket !== undefined;
  }

  /** Ends without a word. */
  leave(): void {
    this.#isOver = true;
    this.#rest();
  }

  #answered(given: unknown): void {
    let headers: Headers;
    try {
      headers = checkedHeaders(given, "createZocketClient: options.headers()");
    } catch (cause) {
      return this.#withoutHeaders(cause);
    }
    try {
      this.#connect(headers);
    } catch (error) {
      this.broke(error);
    }
  }

  /** The `WebSocket` class threw, with no caller to throw to. */
  broke(error: unknown): void {
    classFailed(error);
    if (!this.#isOver) this.#end(ABNORMAL, "", false);
  }

  /** The application's function did not give headers. */
  #withoutHeaders(cause: unknown): void {
    const message = "The option headers failed, so the client could not connect";
    this.#end(ABNORMAL, "headers", false, { code: "HEADERS", message, cause });
  }

  #connect(headers: Headers): void {
    const { url, isOurs, webSocket } = this.#settings;
    const WebSocket = webSocket();
    const socket = isOurs
      ? new WebSocket(url, offered(headers))
      : new WebSocket(withQuery(url, headers));
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    let hasConnected = false;
    socket.addEventListener(
      "open",
      this.#whileCurrent(() => {
        hasConnected = true;
        if (!isOurs) this.#open({ clientId: undefined, maxPayload: Infinity });
        else if (socket.protocol !== PROTOCOL) this.#giveUp("protocol");
      }),
    );
    socket.addEventListener(
      "message",
      this.#whileCurrent(({ data }) => this.#received(data)),
    );
    socket.addEventListener(
      "close",
      // React Native leaves fields out.
      this.#whileCurrent(({ code = ABNORMAL, reason, wasClean = code !== ABNORMAL }) =>
        this.#end(code, reason ?? "", wasClean),
      ),
    );
    socket.addEventListener(
      "error",
      this.#whileCurrent(() => {
        // A close event follows, but some versions of undici leave it out where there never was a connection.
        if (!hasConnected) this.after(0, () => this.#end(ABNORMAL, "", false));
      }),
    );
    this.#limit(() => this.#giveUp("timeout", hasConnected ? GIVEN_UP : ABNORMAL));
  }

  #received(data: unknown): void {
    this.#heartbeat?.heard();
    const envelope = envelopeIn(data);
    if (!envelope) return this.#settings.log("received a message that is not an envelope");
    if (this.#welcome) return this.#events.received(envelope, data);
    const { type, payload } = envelope;
    if (type === WELCOME_TYPE) this.#open(welcomeIn(payload));
    else if (type === REFUSED_TYPE && isRefusedPayload(payload)) this.#refused = payload;
  }

  #open(welcome: Welcome): void {
    if (this.#isClosing) return;
    this.#rest();
    this.#welcome = welcome;
    const { isOurs, heartbeatInterval } = this.#settings;
    if (isOurs && heartbeatInterval > 0) {
      this.#heartbeat = new Heartbeat(heartbeatInterval, this);
    }
    this.#events.opened();
  }

  /** Does not wait for the closing handshake, to which nobody may answer. */
  #giveUp(reason: string, code = GIVEN_UP): void {
    const socket = this.#socket;
    this.#end(code, reason, false);
    socket?.close(GIVEN_UP);
  }

  #end(code: number, reason: string, wasClean: boolean, error?: ClientError): void {
    this.leave();
    const refused = this.#refused;
    const event = { code, reason, wasClean, ...(refused && { refused }) };
    this.#events.ended(event, { unsent: this.#unsent.routes(this.buffered), error });
  }

  /** Ends all that its timers are for. */
  #rest(): void {
    clearTimeout(this.#deadline);
    this.#heartbeat?.end();
  }

  #limit(step: () => void): void {
    this.#rest();
    this.#deadline = this.after(PATIENCE, step);
  }

  #whileCurrent<TEvent>(listener: (event: TEvent) => void): (event: TEvent) => void {
    return (event) =>
      this.#order.now(() => {
        if (!this.#isOver) listener(event);
      });
  }
}

/** Says that the `WebSocket` class threw where there is no caller to throw to. */
export function classFailed(error: unknown): void {
  console.error("zocket: the WebSocket class failed:", error);
}
