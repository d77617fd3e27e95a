// Owns the messages that wait for an open connection.
import type { Issue } from "../envelope.js";
import { sizeOf, type Data } from "./message.js";

/** A message as it goes out, and the route it is of. */
export interface Waiting {
  readonly route: string;
  readonly data: Data;
  /** The call that it is. What becomes of a call, its caller hears, and nobody else. */
  readonly call?: Fate | undefined;
}

/** Hears what becomes of a message. */
export interface Fate {
  /** It has left. */
  sent(): void;
  /** It never will. */
  lost(
    code: "QUEUE_FULL" | "TOO_LARGE" | "INVALID_PAYLOAD",
    message: string,
    issues?: readonly Issue[],
  ): void;
}

/** Messages in the order they were sent. Bounded: one that does not fit any more is not taken. */
export class Queue {
  readonly #limit: number;
  readonly #messages: (Waiting & { readonly bytes: number })[] = [];
  #bytes = 0;

  /** `limit` is how many bytes of messages wait at most. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes a message; `false` when it does not fit. */
  push(message: Waiting): boolean {
    const bytes = sizeOf(message.data);
    if (this.#bytes + bytes > this.#limit) return false;
    this.#messages.push({ ...message, bytes });
    this.#bytes += bytes;
    return true;
  }

  /** Forgets a call. */
  remove(call: Fate): void {
    const at = this.#messages.findIndex((message) => message.call === call);
    const [removed] = at === -1 ? [] : this.#messages.splice(at, 1);
    this.#bytes -= removed?.bytes ?? 0;
  }

  /** Hands over the messages, oldest first, until one is refused: that one and those after it stay. */
  drain(send: (message: Waiting) => boolean): void {
    let sent = 0;
    try {
      for (const message of this.#messages) {
        if (!send(message)) break;
        sent += 1;
        this.#bytes -= message.bytes;
      }
    } finally {
      this.#messages.splice(0, sent);
    }
  }
}
