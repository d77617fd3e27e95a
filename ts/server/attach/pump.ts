// Moves the bytes of a client that the engine cannot read itself: between the client's socket, which Node reads, and one end of a
// pair, whose other end the engine has. Backpressure goes both ways, so it holds no more than the buffers of the two sockets.
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

import type { Link } from "../../border/native.js";

/** How often a pump looks whether the engine is gone, while nothing else would tell, in ms. */
const LOOK = 1_000;
/** Looks that find it gone until the client's socket is closed: as long as the engine gives a client to read the last bytes. */
const PATIENCE = 2;

/** What one client needs. */
export class Pump {
  readonly #client: Duplex;
  readonly #pair: Socket;
  readonly #link: Link;
  #timer: NodeJS.Timeout | undefined;
  #looks = 0;

  /** Starts; `over` is called once, when both sockets are closed. */
  constructor(client: Duplex, pair: Socket, link: Link, over: () => void) {
    this.#client = client;
    this.#pair = pair;
    this.#link = link;
    let open = 2;
    for (const socket of [client, pair]) {
      // Either way the end of one is the end of both.
      socket.on("error", () => socket.destroy());
      socket.once("close", () => {
        open -= 1;
        if (open === 0) {
          clearInterval(this.#timer);
          over();
        }
      });
    }
    client.once("close", () => pair.destroy());
    // What has been read from it is still written.
    pair.once("close", () => {
      client.end();
      this.#watch();
    });
    // Only then do both ends know: the engine may close a socket that nobody reads here, as the client does not read.
    pair.on("pause", () => this.#watch());
    pair.once("end", () => this.#watch());
    // Nothing flows to a pipe beside such a listener, which the application may have put on it before it handed the socket over.
    client.removeAllListeners("readable");
    client.pipe(pair);
    if (client.destroyed) pair.destroy();
  }

  /** From now on the client gets what the engine writes. */
  answer(): void {
    this.#pair.pipe(this.#client);
  }

  /** Whether it may keep Node alive. */
  hold(isHeld: boolean): void {
    for (const socket of [this.#client as Socket, this.#pair]) {
      if (isHeld) socket.ref?.();
      else socket.unref?.();
    }
  }

  #watch(): void {
    this.#timer ??= setInterval(() => this.#look(), LOOK).unref();
  }

  #look(): void {
    if (!this.#link.isOver && !this.#pair.destroyed) {
      this.#looks = 0;
      if (!this.#pair.isPaused() && !this.#pair.readableEnded) {
        clearInterval(this.#timer);
        this.#timer = undefined;
      }
      return;
    }
    this.#looks += 1;
    if (this.#looks < PATIENCE) return;
    this.#client.destroy();
    this.#pair.destroy();
  }
}
