// Owns the connection, and the next one when it is lost. Knows nothing of envelopes and routes.
import type { Envelope } from "../envelope.js";
import { Attempt, type Losses } from "./attempt.js";
import { ABNORMAL, NORMAL } from "./close-codes.js";
import { delayAfter, hinted, MAX_TIMER } from "./delay.js";
import { Haste, PROVEN_AFTER } from "./haste.js";
import { Network, type NetworkChange } from "./network.js";
import type { Order } from "./order.js";
import type { Settings } from "./settings.js";
import type { ClientCloseEvent, ClientState } from "./types.js";
import { verdict } from "./verdict.js";

/** Whom a connection tells what happens to it. Promises are those of asynchronous listeners, fulfilled when these are done. */
export interface ConnectionEvents {
  opened(): void;
  received(envelope: Envelope, data: unknown): void;
  /** Comes exactly once for each attempt, whether it was ever open or not. */
  ended(event: ClientCloseEvent, losses: Losses): readonly Promise<void>[];
  changed(state: ClientState, retryAt: number | undefined): readonly Promise<void>[];
  /** Whether any function of the application is called when an attempt ends. */
  isHeard(): boolean;
}

/** A WebSocket that connects again when it is lost, until it is closed. */
export class Connection {
  readonly #settings: Settings;
  readonly #events: ConnectionEvents;
  readonly #order: Order;
  readonly #network: Network;
  readonly #haste = new Haste();
  /** The current attempt or connection; missing while waiting for the next one, and at the end. */
  #attempt: Attempt | undefined;
  /** Says that a connection has proven itself, or starts the next attempt. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #state: ClientState = "closed";
  #retryAt: number | undefined;
  #isClosed: boolean;
  /** Whether `reconnect()` is to be carried out as soon as the connection has proven itself. */
  #isPostponed = false;
  /** Attempts since the first, since a connection proved itself or since `reconnect()`. */
  #retries = 0;
  /** Whether a 401 is worth another attempt, since the next headers may be better. */
  #mayRenew = true;
  /** When the server takes the next attempt, if it said so. */
  #notBefore = 0;
  /** Calls of `close()` and `reconnect()` that did something. */
  #calls = 0;

  constructor(settings: Settings, order: Order, events: ConnectionEvents) {
    this.#settings = settings;
    this.#order = order;
    this.#events = events;
    this.#network = new Network(settings.url, (change) => order.now(() => this.#changed(change)));
    this.#isClosed = !settings.autoConnect;
    if (this.#isClosed) return;
    // Nobody listens yet who would have to be told of this.
    if (this.#network.isOffline) this.#enter("waiting");
    else this.#prepare().begin();
    if (this.#attempt) this.#enter("connecting");
  }

  /** 0 connecting or about to, 1 open, 2 closing, 3 closed for good. */
  get readyState(): 0 | 1 | 2 | 3 {
    return this.#attempt?.readyState ?? (this.#state === "closed" ? 3 : 0);
  }

  get state(): ClientState {
    return this.#state;
  }

  /** When the next attempt comes, in ms since 1970. */
  get retryAt(): number | undefined {
    return this.#retryAt;
  }

  /** The current attempt or connection. */
  get current(): Attempt | undefined {
    return this.#attempt;
  }

  close(): void {
    this.#calls += 1;
    this.#isClosed = true;
    this.#clearTimer();
    const attempt = this.#attempt;
    if (attempt && !attempt.close()) {
      // It only asked for headers, so that no socket tells of its end.
      this.#leave();
      this.#tellLater({ code: ABNORMAL, reason: "", wasClean: false });
    }
    this.#order.soon(this.#enter("closed"));
  }

  reconnect(): void {
    // Throws where there is none, before anything has changed.
    this.#settings.webSocket();
    const attempt = this.#attempt;
    const wasClosed = this.#isClosed;
    this.#isClosed = false;
    if (wasClosed) return this.#replace();
    if (attempt && !attempt.hasOpened) return;
    const decision = attempt ? this.#haste.whileOpen() : this.#haste.whileWaiting();
    this.#settings.log(`reconnect() is carried out ${decision}`);
    if (decision === "never") return;
    this.#renew();
    if (decision === "at once") {
      // Without listeners nothing can go round.
      if (this.#events.isHeard()) this.#haste.hurried();
      this.#replace();
    } else if (attempt) {
      this.#isPostponed = true;
    } else if (this.#timer === undefined) {
      this.#order.soon(this.#wait(0));
    }
  }

  /** The application wants a new start: what came of the last attempts does not count any more. */
  #renew(): void {
    this.#calls += 1;
    this.#retries = 0;
    this.#mayRenew = true;
    this.#notBefore = 0;
  }

  /** Connects anew, and leaves the connection if there is one. */
  #replace(): void {
    const attempt = this.#attempt;
    const event = attempt?.hasOpened
      ? { code: NORMAL, reason: "", wasClean: true }
      : { code: ABNORMAL, reason: "", wasClean: false };
    this.#leave();
    attempt?.close();
    this.#renew();
    if (attempt) this.#tellLater(event, this.#haste.replaced());
    this.#retry();
  }

  #retry(): void {
    this.#clearTimer();
    if (this.#network.isOffline) return this.#order.soon(this.#waitForNetwork());
    const attempt = this.#prepare();
    const tell = this.#enter("connecting");
    let failed: (() => void) | undefined;
    try {
      // The class may call its listeners meanwhile.
      this.#order.run(() => attempt.begin());
    } catch (error) {
      failed = () => attempt.broke(error);
    }
    this.#order.soon(tell);
    if (failed) this.#order.now(failed);
  }

  /** The next attempt, which is about to begin. */
  #prepare(): Attempt {
    this.#settings.log(`attempt ${this.#retries + 1} to connect`);
    this.#haste.began();
    this.#attempt = new Attempt(this.#settings, this.#order, {
      opened: () => this.#opened(),
      received: this.#events.received,
      ended: (event, losses) => this.#ended(event, losses),
    });
    return this.#attempt;
  }

  #opened(): void {
    this.#settings.log("open");
    const tell = this.#enter("open");
    this.#mayRenew = true;
    this.#startTimer(PROVEN_AFTER, () => {
      this.#timer = undefined;
      this.#retries = 0;
      this.#haste.proven(this.#isPostponed);
      if (this.#isPostponed) this.#order.run(() => this.#replace());
    });
    this.#events.opened();
    tell();
  }

  #ended(event: ClientCloseEvent, losses: Losses): void {
    this.#leave();
    this.#settings.log(`closed with ${event.code} ${JSON.stringify(event.reason)}`);
    let tell = (): void => {};
    if (!this.#isClosed) {
      this.#haste.failed();
      const calls = this.#calls;
      const isWorthIt = this.#isWorthIt(event);
      if (calls === this.#calls) {
        if (isWorthIt) this.#retries += 1;
        tell = isWorthIt ? this.#wait(hinted(event)) : this.#enter("closed");
      }
    }
    this.#haste.telling(() => this.#events.ended(event, losses));
    tell();
  }

  /** Whether another attempt is to follow. The application may say so; it may also close the client meanwhile, or reconnect. */
  #isWorthIt(event: ClientCloseEvent): boolean {
    const { maxRetries, shouldReconnect, isOurs, headers } = this.#settings;
    if (this.#retries >= maxRetries) return false;
    try {
      const answer = shouldReconnect?.(event);
      if (typeof answer === "boolean") return answer;
    } catch (error) {
      console.error("zocket: the option shouldReconnect failed:", error);
    }
    const said = !isOurs || verdict(event);
    if (said !== "with other headers") return said;
    const may = this.#mayRenew && typeof headers === "function";
    this.#mayRenew = false;
    return may;
  }

  /** Waits for the next attempt, so many ms at least. Returns what tells of it. */
  #wait(least: number): () => void {
    const delay = Math.max(delayAfter(this.#haste.failures, this.#settings), least);
    this.#notBefore = least > 0 ? Date.now() + least : 0;
    return this.#network.isOffline ? this.#waitForNetwork() : this.#waitFor(delay);
  }

  #waitFor(ms: number): () => void {
    const delay = Math.min(Math.round(ms), MAX_TIMER);
    this.#settings.log(`next attempt in ${delay} ms`);
    this.#startTimer(delay, () => this.#retry());
    return this.#enter("waiting", Date.now() + delay);
  }

  #waitForNetwork(): () => void {
    this.#settings.log("there is no network");
    this.#clearTimer();
    return this.#enter("waiting");
  }

  #changed(change: NetworkChange): void {
    if (change !== "offline") this.#attempt?.probe();
    if (this.#state !== "waiting") return;
    const { isOffline } = this.#network;
    if (isOffline) return this.#waitForNetwork()();
    // A page that is seen again may have slept while the network came back.
    if (change === "offline" || (change === "visible" && this.#timer !== undefined)) return;
    const least = this.#notBefore - Date.now();
    if (least > 0) this.#waitFor(least)();
    else this.#retry();
  }

  /** Goes over to a state. Returns what tells of it, for when everything else is done. */
  #enter(state: ClientState, retryAt?: number): () => void {
    if (state === this.#state && retryAt === this.#retryAt) return () => {};
    this.#state = state;
    this.#retryAt = retryAt;
    this.#network.isWatched = state !== "closed";
    return () => this.#haste.telling(() => this.#events.changed(state, retryAt));
  }

  #tellLater(event: ClientCloseEvent, echoes?: Set<Promise<void>>): void {
    this.#order.later(() =>
      this.#haste.telling(() => this.#events.ended(event, { unsent: [] }), echoes),
    );
  }

  /** Forgets the attempt and the timer. */
  #leave(): void {
    this.#clearTimer();
    this.#attempt?.leave();
    this.#attempt = undefined;
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
