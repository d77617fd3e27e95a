// Owns the WebSocket, and the next one when it is lost. Knows nothing of envelopes and routes.
import { delayAfter, hinted } from "./delay.js";
import { Haste, PROVEN_AFTER } from "./haste.js";
import type { Order } from "./order.js";
import type { Settings } from "./settings.js";
import type { ClientCloseEvent, WebSocketLike } from "./types.js";

/** Longest time in ms for one attempt: longer than the server's `handshakeTimeout` of 10 s, which decides before. */
const CONNECT_TIMEOUT = 15_000;
const NORMAL_CLOSURE = 1000;
const ABNORMAL_CLOSURE = 1006;
const OPEN = 1;

/** Whom a connection tells what happens to it. */
export interface ConnectionEvents {
  opened(): void;
  received(data: unknown): void;
  /**
   * Comes exactly once for each attempt, whether it was ever open or not. Returns a promise for each asynchronous listener,
   * which is fulfilled when that one is done.
   */
  ended(event: ClientCloseEvent): readonly Promise<void>[];
  /** Whether anybody is told of an end. */
  hearsEnds(): boolean;
}

/** A WebSocket that connects again when it is lost, until it is closed. */
export class Connection {
  readonly #settings: Settings;
  readonly #events: ConnectionEvents;
  readonly #order: Order;
  readonly #haste = new Haste();
  /** The current attempt or connection; missing while waiting for the next one, and at the end. */
  #socket: WebSocketLike | undefined;
  /** Ends the current attempt, says that a connection has proven itself, or starts the next attempt. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOpen = false;
  #isClosed = false;
  /** Whether `reconnect()` is to be carried out as soon as the connection has proven itself. */
  #isPostponed = false;
  /** Attempts since the first, since a connection proved itself or since `reconnect()`. */
  #retries = 0;

  constructor(settings: Settings, order: Order, events: ConnectionEvents) {
    this.#settings = settings;
    this.#order = order;
    this.#events = events;
    this.#connect();
  }

  /** 0 connecting or about to, 1 open, 2 closing, 3 closed for good. */
  get readyState(): 0 | 1 | 2 | 3 {
    if (this.#socket) return this.#socket.readyState as 0 | 1 | 2 | 3;
    return this.#timer === undefined ? 3 : 0;
  }

  /** Whether it takes messages. A socket that is closing would take them too, and forget them. */
  get isOpen(): boolean {
    return this.#isOpen && this.#socket?.readyState === OPEN;
  }

  /** Bytes that the socket has not passed on yet; 0 where the class does not say. */
  get buffered(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** Sends a message. Only for an open connection. */
  send(text: string): void {
    this.#socket?.send(text);
  }

  close(): void {
    this.#isClosed = true;
    this.#clearTimer();
    this.#socket?.close(NORMAL_CLOSURE);
  }

  reconnect(): void {
    const socket = this.#socket;
    const wasClosed = this.#isClosed;
    this.#isClosed = false;
    if (wasClosed) return this.#replace();
    if (socket && !this.#isOpen) return;
    const decision = socket ? this.#haste.whileOpen() : this.#haste.whileWaiting();
    this.#settings.log(`reconnect() is carried out ${decision}`);
    if (decision === "never") return;
    this.#retries = 0;
    if (decision === "at once") {
      // Without listeners nothing can go round.
      if (this.#events.hearsEnds()) this.#haste.hurried();
      this.#replace();
    } else if (socket) {
      this.#isPostponed = true;
    } else if (this.#timer === undefined) {
      this.#wait(0);
    }
  }

  /** Connects anew, and leaves the socket if there is one. */
  #replace(): void {
    const socket = this.#socket;
    const event = this.#isOpen
      ? { code: NORMAL_CLOSURE, reason: "", wasClean: true }
      : { code: ABNORMAL_CLOSURE, reason: "", wasClean: false };
    this.#leave();
    socket?.close(NORMAL_CLOSURE);
    this.#retries = 0;
    if (socket) {
      const echoes = this.#haste.replaced();
      this.#order.later(() => this.#haste.telling(() => this.#events.ended(event), echoes));
    }
    this.#retry();
  }

  #connect(): void {
    this.#settings.log(`attempt ${this.#retries + 1} to connect`);
    this.#haste.began();
    const socket = new this.#settings.WebSocket(this.#settings.url);
    this.#socket = socket;
    // What an earlier socket still has to say is nobody's concern any more.
    const whileCurrent =
      <TEvent>(listener: (event: TEvent) => void) =>
      (event: TEvent): void =>
        this.#order.now(() => {
          if (socket === this.#socket) listener(event);
        });
    const failed = whileCurrent(() => this.#ended(ABNORMAL_CLOSURE, "", false));
    socket.addEventListener(
      "open",
      whileCurrent(() => this.#opened()),
    );
    socket.addEventListener(
      "message",
      whileCurrent(({ data }) => this.#events.received(data)),
    );
    socket.addEventListener(
      "close",
      // React Native leaves fields out.
      whileCurrent(({ code = ABNORMAL_CLOSURE, reason, wasClean = code !== ABNORMAL_CLOSURE }) =>
        this.#ended(code, reason ?? "", wasClean),
      ),
    );
    socket.addEventListener(
      "error",
      whileCurrent(() => {
        // A close event follows, but some versions of undici leave it out where there never was a connection.
        if (!this.#isOpen) setTimeout(failed, 0);
      }),
    );
    this.#startTimer(CONNECT_TIMEOUT, () => {
      this.#ended(ABNORMAL_CLOSURE, "timeout", false);
      socket.close();
    });
  }

  /** Here, with no caller to throw to, a class that throws is an attempt that failed. */
  #retry(): void {
    try {
      this.#connect();
    } catch (error) {
      console.error("zocket: the WebSocket class failed:", error);
      this.#order.now(() => this.#ended(ABNORMAL_CLOSURE, "", false));
    }
  }

  #opened(): void {
    this.#isOpen = true;
    this.#settings.log("open");
    this.#startTimer(PROVEN_AFTER, () => {
      this.#timer = undefined;
      this.#retries = 0;
      this.#haste.proven(this.#isPostponed);
      if (this.#isPostponed) this.#order.run(() => this.#replace());
    });
    this.#events.opened();
  }

  #ended(code: number, reason: string, wasClean: boolean): void {
    this.#leave();
    this.#settings.log(`closed with ${code} ${JSON.stringify(reason)}`);
    if (!this.#isClosed) {
      this.#haste.failed();
      if (this.#retries < this.#settings.maxRetries) {
        this.#retries += 1;
        this.#wait(hinted(code, reason));
      }
    }
    this.#haste.telling(() => this.#events.ended({ code, reason, wasClean }));
  }

  /** Waits for the next attempt, so many ms at least. */
  #wait(least: number): void {
    const delay = Math.max(delayAfter(this.#haste.failures, this.#settings), least);
    this.#settings.log(`next attempt in ${Math.round(delay)} ms`);
    this.#startTimer(delay, () => this.#retry());
  }

  /** Forgets the socket and the timer. */
  #leave(): void {
    this.#clearTimer();
    this.#socket = undefined;
    this.#isOpen = false;
    this.#isPostponed = false;
    this.#haste.left();
  }

  #startTimer(ms: number, step: () => void): void {
    this.#clearTimer();
    this.#timer = setTimeout(() => this.#order.now(step), ms);
  }

  #clearTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
