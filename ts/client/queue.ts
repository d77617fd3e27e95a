// Owns the messages that wait for an open connection.

/** How many bytes of messages wait at most. */
const LIMIT = 1024 * 1024;

const encoder = new TextEncoder();

/** Messages in the order they were sent. Bounded: one that does not fit any more is not taken. */
export class Queue {
  readonly #messages: { readonly text: string; readonly bytes: number }[] = [];
  #bytes = 0;

  /** Takes a message; `false` when it does not fit. */
  push(text: string): boolean {
    const bytes = encoder.encode(text).length;
    if (this.#bytes + bytes > LIMIT) return false;
    this.#messages.push({ text, bytes });
    this.#bytes += bytes;
    return true;
  }

  /** Hands over the messages, oldest first, until one is refused: that one and those after it stay. */
  drain(send: (text: string) => boolean): void {
    let sent = 0;
    for (const { text, bytes } of this.#messages) {
      if (!send(text)) break;
      sent += 1;
      this.#bytes -= bytes;
    }
    this.#messages.splice(0, sent);
  }
}
