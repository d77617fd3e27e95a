// Owns the WebSocket, and the next one when it is lost. Knows nothing of envelopes and routes.
import type { ClientCloseEvent, WebSocketLike } from "../types.js";
import type { Settings } from "./settings.js";

/** Longest time in ms for one attempt: longer than the server's `handshakeTimeout` of 10 s, which decides before. */
const CONNECT_TIMEOUT = 15_000;
/** Longest time in ms that timers can wait for; they take a longer one for none. */
const MAX_TIMER = 2 ** 31 - 1;
const NORMAL_CLOSURE = 1000;
const GOING_AWAY = 1001;
const ABNORMAL_CLOSURE = 1006;
/** Longest time in ms for which a server can make the client wait. */
const MAX_HINT = 600_000;
const OPEN = 1;

/** Whom a connection tells what happens to it. */
export interface ConnectionEvents {
  opened(): void;
  received(data: unknown): void;
  /** Comes exactly once for each attempt, whether it was ever open or not. */
  ended(event: ClientCloseEvent): void;
}

/** A WebSocket that connects again when it is lost, until it is closed. */
export class Connection {
  readonly #settings: Settings;
  readonly #events: ConnectionEvents;
  /** The current attempt or connection; missing while waiting for the next one, and at the end. */
  #socket: WebSocketLike | undefined;
  /** Ends the current attempt, or starts the next. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOpen = false;
  #isClosed = false;
  /** Attempts since the first, or since the last open. */
  #retries = 0;

  constructor(settings: Settings, events: ConnectionEvents) {
    this.#settings = settings;
    this.#events = events;
    this.#connect();
  }

  /** 0 connecting or about to, 1 open, 2 closing, 3 closed for good. */
  get readyState(): 0 | 1 | 2 | 3 {
    if (this.#socket) return this.#socket.readyState as 0 | 1 | 2 | 3;
    return this.#timer === undefined ? 3 : 0;
  }

  /** Sends a message if the connection is open; `false` if it is not. */
  send(text: string): boolean {
    // A socket that is closing takes messages and forgets them.
    if (!this.#isOpen || this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  close(): void {
    this.#isClosed = true;
    this.#clearTimer();
    this.#socket?.close(NORMAL_CLOSURE);
  }

  reconnect(): void {
    const socket = this.#socket;
    this.#leave();
    socket?.close(NORMAL_CLOSURE);
    this.#isClosed = false;
    this.#retries = 0;
    this.#connect();
    if (socket) this.#events.ended({ code: NORMAL_CLOSURE, reason: "", wasClean: true });
  }

  #connect(): void {
    this.#log(`attempt ${this.#retries + 1} to connect`);
    const socket = new this.#settings.WebSocket(this.#settings.url);
    this.#socket = socket;
    // What an earlier socket still has to say is nobody's concern any more.
    const whileCurrent =
      <TEvent>(listener: (event: TEvent) => void) =>
      (event: TEvent): void => {
        if (socket === this.#socket) listener(event);
      };
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
      whileCurrent(({ code, reason, wasClean }) => this.#ended(code, reason, wasClean)),
    );
    socket.addEventListener(
      "error",
      whileCurrent(() => {
        // A close event follows, but some versions of undici leave it out where there never was a connection.
        if (!this.#isOpen) setTimeout(failed, 0);
      }),
    );
    this.#timer = setTimeout(() => {
      this.#ended(ABNORMAL_CLOSURE, "timeout", false);
      socket.close();
    }, CONNECT_TIMEOUT);
  }

  /** Here, with no caller to throw to, a class that throws is an attempt that failed. */
  #retry(): void {
    try {
      this.#connect();
    } catch (error) {
      console.error("zocket: the WebSocket class failed:", error);
      this.#ended(ABNORMAL_CLOSURE, "", false);
    }
  }

  #opened(): void {
    this.#clearTimer();
    this.#isOpen = true;
    this.#retries = 0;
    this.#log("open");
    this.#events.opened();
  }

  #ended(code: number, reason: string, wasClean: boolean): void {
    this.#leave();
    this.#log(`closed with ${code} ${reason}`);
    if (!this.#isClosed && this.#retries < this.#settings.maxRetries) {
      this.#retries += 1;
      const delay = Math.max(this.#delay(), hinted(code, reason));
      this.#log(`next attempt in ${Math.round(delay)} ms`);
      this.#timer = setTimeout(() => this.#retry(), delay);
    }
    this.#events.ended({ code, reason, wasClean });
  }

  /** Jittered, so that the clients of a server that was restarted do not all come back at the same moment. */
  #delay(): number {
    const { minDelay, maxDelay, growFactor } = this.#settings;
    const grown = Math.min(minDelay * growFactor ** (this.#retries - 1), maxDelay);
    return Math.min(grown * (0.75 + Math.random() / 2), maxDelay, MAX_TIMER);
  }

  /** Forgets the socket and the timer. */
  #leave(): void {
    this.#clearTimer();
    this.#socket = undefined;
    this.#isOpen = false;
  }

  #clearTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #log(text: string): void {
    // Without the URL: its query holds the headers, and credentials among them.
    if (this.#settings.debug) console.debug(`zocket: ${text}`);
  }
}

/** How many ms a server that drains asks to wait for, so that its clients do not all come back at once; 0 if it does not. */
function hinted(code: number, reason: string): number {
  const hint = code === GOING_AWAY ? /^reconnect-after=(\d+)$/.exec(reason)?.[1] : undefined;
  return Math.min(Number(hint ?? 0), MAX_HINT);
}
