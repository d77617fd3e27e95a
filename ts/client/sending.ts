// Sends messages, or keeps them until there is a connection. Tells the application of each message that does not make it, as far as
// the client can know.
import { classFailed, type Attempt } from "./attempt.js";
import { TOO_LARGE } from "./close-codes.js";
import { sizeOf } from "./message.js";
import type { Order } from "./order.js";
import { Queue, type Fate, type Waiting } from "./queue.js";
import type { Settings } from "./settings.js";
import type { ClientError } from "./types.js";

/** How many bytes wait at most in the socket of an open connection whose server does not read. */
const MAX_IN_SOCKET = 16 * 1024 * 1024;

/** The messages of a client. */
export class Sending {
  readonly #settings: Settings;
  readonly #order: Order;
  readonly #tell: (error: ClientError) => void;
  readonly #queue: Queue;
  /** The longest message of the current connection: the one that is meant when one was too large on the way. */
  #longest = { route: "", length: 0 };

  constructor(settings: Settings, order: Order, tell: (error: ClientError) => void) {
    this.#settings = settings;
    this.#order = order;
    this.#tell = tell;
    this.#queue = new Queue(settings.maxQueuedBytes);
  }

  /** Sends a message, or keeps it for the next connection. */
  sendMessage(message: Waiting, connection: Attempt | undefined): void {
    if (!connection?.isOpen) {
      if (!this.#queue.push(message)) {
        this.lose(message, "QUEUE_FULL", "Too many messages wait for an open connection");
      }
      return;
    }
    const limit = Math.max(MAX_IN_SOCKET, this.#settings.maxQueuedBytes);
    if (this.#isTooLarge(message, connection)) this.#order.later(() => this.#tooLarge(message));
    else if (connection.buffered < limit) this.#sendNow(message, connection);
    else this.lose(message, "QUEUE_FULL", "Too many messages wait for a server that reads slowly");
  }

  /** Tells, once the method that causes it has returned, that a message will not be sent. */
  lose(message: Waiting, code: "QUEUE_FULL", why: string): void {
    this.#order.later(() => this.#lose(message, code, why));
  }

  /** Sends a message of our own if there is a connection; nobody is told what becomes of it. */
  sendOwn(text: string, connection: Attempt | undefined): void {
    try {
      if (connection?.isOpen) connection.send(text, "");
    } catch (error) {
      classFailed(error);
    }
  }

  /** Forgets a call that waits. */
  forget(call: Fate): void {
    this.#queue.remove(call);
  }

  /** A connection begins. */
  opened(): void {
    this.#longest = { route: "", length: 0 };
  }

  /** Sends what waits. */
  drain(connection: () => Attempt | undefined): void {
    this.#queue.drain((message) => {
      // A listener may have closed it by now.
      const current = connection();
      if (!current?.isOpen) return false;
      if (this.#isTooLarge(message, current)) {
        this.#tooLarge(message);
        return true;
      }
      // There is no caller to throw to here, and what could not be sent goes on to wait.
      try {
        this.#sendNow(message, current);
        return true;
      } catch (error) {
        classFailed(error);
        return false;
      }
    });
  }

  /** A connection ended, with these messages still in its socket. */
  ended(code: number, unsent: readonly string[]): void {
    for (const route of unsent) {
      const message = "The connection ended before the message had left the client";
      this.#tell({ code: "LOST", route, message });
    }
    if (code === TOO_LARGE && this.#longest.length > 0) {
      const message =
        "The server closed the connection, because a message was larger than its maxPayload";
      this.#tell({ code: "TOO_LARGE", route: this.#longest.route, message });
    }
  }

  #isTooLarge({ data }: Waiting, { maxPayload }: Attempt): boolean {
    // A unit of UTF-16 is three bytes at most, so that few texts have to be measured.
    return data.length * 3 > maxPayload && sizeOf(data) > maxPayload;
  }

  #tooLarge(message: Waiting): void {
    this.#lose(message, "TOO_LARGE", "The message is larger than the server takes");
  }

  #lose({ route, data, call }: Waiting, code: "QUEUE_FULL" | "TOO_LARGE", why: string): void {
    if (this.#settings.debug) this.#settings.log(`discards ${described(route, data)}`);
    if (call) call.lost(code, why);
    else this.#tell({ code, route, message: why });
  }

  #sendNow({ route, data, call }: Waiting, connection: Attempt): void {
    if (this.#settings.debug) this.#settings.log(`sends ${described(route, data)}`);
    // A call that does not make it is told to its caller alone.
    connection.send(data, call ? "" : route);
    call?.sent();
    if (data.length > this.#longest.length) this.#longest = { route, length: data.length };
  }
}

/** A message as the log names it: by its route, which a server may choose, and its size. */
export function described(route: string, data: unknown): string {
  return `${JSON.stringify(route.slice(0, 100))}, ${sizeOf(data)} bytes`;
}
