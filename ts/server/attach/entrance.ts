// How clients of another server come in: attached to an HTTP server, or one by one through `handleUpgrade`.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

import type { Native } from "../../border/native.js";
import { isFunction, isObject, unexpected } from "../../faults/check.js";
import { attach, type Guest } from "./reception.js";
import type { HttpServer, Inner, OnUpgrade } from "./http-server.js";
import { TakeOver, isTaken } from "./take-over.js";

/** The way of clients of other servers into one of ours. */
export class Entrance implements Guest {
  readonly #takeOver: TakeOver;
  readonly #report: (error: unknown) => void;
  #detach: (() => void) | undefined;

  /** `report` is told what should never happen. */
  constructor(native: Native, report: (error: unknown) => void) {
    this.#takeOver = new TakeOver(native);
    this.#report = report;
  }

  /** Takes the upgrades of an HTTP server for a path, until {@link detach}. */
  attach(server: HttpServer, path: string): void {
    this.#detach = attach(server, path, this);
  }

  detach(): void {
    this.#detach?.();
    this.#detach = undefined;
  }

  /** Whether clients may keep Node alive. */
  hold(isHeld: boolean): void {
    this.#takeOver.hold(isHeld);
  }

  readonly take: OnUpgrade = (request, socket, head) => {
    this.#safely(socket, () => this.#takeOver.take(request, socket, head));
  };

  readonly refusePath: OnUpgrade = (request, socket) => {
    this.#safely(socket, () => this.#takeOver.refuse(request, socket, 404));
  };

  /** `server.handleUpgrade`. */
  handle(request: unknown, socket: unknown, head: unknown): void {
    const place = "server.handleUpgrade: ";
    if (!isRequest(request)) {
      throw unexpected(`${place}request`, 'the request of an "upgrade" event', request);
    }
    if (!isSocket(socket)) {
      throw unexpected(`${place}socket`, 'the socket of an "upgrade" event', socket);
    }
    if (!(head instanceof Uint8Array)) {
      throw unexpected(`${place}head`, 'the head of an "upgrade" event', head);
    }
    if (isTaken(socket)) {
      throw new TypeError(`${place}socket: expected a socket that was not handed over before`);
    }
    this.take(request, socket, Buffer.from(head));
  }

  #safely(socket: Duplex, work: () => void): void {
    try {
      work();
    } catch (error) {
      socket.destroy();
      this.#report(error);
    }
  }
}

function isRequest(value: unknown): value is IncomingMessage {
  if (!isObject(value)) return false;
  const { url, rawHeaders, socket } = value as IncomingMessage;
  // Node makes `headers` of `rawHeaders` when they are first read, and fails if somebody has taken fields out of these.
  const isComplete = "headers" in value && isObject(socket);
  return isComplete && typeof url === "string" && Array.isArray(rawHeaders);
}

/** Node still reads HTTP from the socket of an ordinary request. */
function isSocket(value: unknown): value is Duplex {
  if (!isObject(value)) return false;
  const { read, pipe, end, destroy } = value as Duplex;
  const { parser } = value as Inner;
  return [read, pipe, end, destroy].every(isFunction) && !parser;
}
