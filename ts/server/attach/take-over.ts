// Hands clients of another server to the engine. A plain TCP socket is taken over: from then on JavaScript never sees a byte of it.
// Everything else goes through a pump.
import { closeSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Socket, connect } from "node:net";
import { performance } from "node:perf_hooks";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

import { openDoor, type Arrival, type Link, type Native } from "../../border/native.js";
import { setImmediate } from "../../user-code/timers.js";
import { isOfTcp, release, type Inner } from "./http-server.js";
import { Pump } from "./pump.js";
import { headOf } from "./request-head.js";

/** How long a client may take to read an answer that JavaScript sends, in ms. */
const LINGER = 2_000;

/** Where the system lets two descriptors share a socket, and where it has socket pairs. */
const HAS_DESCRIPTORS = process.platform === "linux" || process.platform === "darwin";
const HAS_PAIRS = process.platform !== "win32";

/** So many clients are handed over at most before the engine is woken. */
const MOST_TAKEN = 32;
/** The first of them waits no longer than this, in ms, and a turn of the event loop. The application may make a turn long. */
const LONGEST_WAIT = 5;

const now = performance.now.bind(performance);

/** What was read from a socket, the head of the request first. */
type Chunks = [Buffer, ...Buffer[]];

/** Marks the sockets that one of our servers has had. A `WeakSet` of them would take a microsecond for each, and more at each garbage collection. */
const TAKEN = Symbol("taken by zocket");

/** A socket that may be marked. */
interface Marked extends Duplex {
  [TAKEN]?: true;
}

/** Whether a socket was handed to one of our servers. */
export const isTaken = (socket: Duplex): boolean => (socket as Marked)[TAKEN] === true;

/** The way of clients into one engine. */
export class TakeOver {
  readonly #native: Native;
  readonly #pumps = new Set<Pump>();
  #holds = true;
  /** Clients since the engine was woken last, and those of this turn. */
  #taken = 0;
  #fresh = 0;
  /** When the first of them came. */
  #since = 0;

  constructor(native: Native) {
    this.#native = native;
  }

  /** Whether clients may keep Node alive. */
  hold(isHeld: boolean): void {
    this.#holds = isHeld;
    for (const pump of this.#pumps) pump.hold(isHeld);
  }

  /** Takes the socket of an upgrade request. */
  take(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    (socket as Marked)[TAKEN] = true;
    if (socket.destroyed || socket.writableEnded) {
      // The client has left.
      socket.destroy();
      return;
    }
    const read: Chunks = head.length > 0 ? [headOf(request), head] : [headOf(request)];
    const descriptor = descriptorOf(socket);
    if (descriptor === undefined) this.#pump(request, socket, joined(read));
    else if (this.#native.takeOver(descriptor, joined(drain(socket, read)))) {
      this.#wake();
      // Closes Node's descriptor, and sends nothing: the engine's duplicate stays connected.
      socket.destroy();
    } else this.refuse(request, socket, 503);
  }

  /**
   * Wakes the engine soon: at the end of a turn of the event loop without a new client. Node accepts one client in each turn, and waking
   * a thread for each takes a tenth of the work of an upgrade.
   */
  #wake(): void {
    this.#fresh += 1;
    if (this.#taken === 0) {
      this.#since = now();
      setImmediate(this.#look);
    }
    this.#taken += 1;
  }

  readonly #look = (): void => {
    const isEarly = this.#taken < MOST_TAKEN && now() - this.#since < LONGEST_WAIT;
    if (this.#fresh > 0 && isEarly) {
      this.#fresh = 0;
      setImmediate(this.#look);
      return;
    }
    this.#fresh = 0;
    this.#taken = 0;
    this.#native.wake();
  };

  /** Answers an upgrade that the engine does not get: 404, or 503 where there are no descriptors. */
  refuse(request: IncomingMessage, socket: Duplex, status: 404 | 503): void {
    const inner = request.socket as Inner;
    prepare(inner);
    socket.on("error", () => socket.destroy());
    const answer = this.#native.refuse(status);
    whenAnswered(inner, () => {
      socket.end(answer);
      // Closing a socket with unread bytes would reset it, and take the answer with it.
      socket.resume();
      const timer = setTimeout(() => socket.destroy(), LINGER).unref();
      socket.once("close", () => clearTimeout(timer));
    });
  }

  #pump(request: IncomingMessage, socket: Duplex, read: Buffer): void {
    const inner = request.socket as Inner;
    const { remoteAddress: address, remotePort: port } = inner;
    if (address === undefined && isOfTcp(inner)) {
      // The client has left, and the system has forgotten its address. Without one it would pass for a client of this machine.
      socket.destroy();
      return;
    }
    const arrival = { address, port, read, ...securityOf(inner) };
    prepare(inner);
    const begin = (end: Pair | undefined) => {
      if (!end) {
        this.refuse(request, socket, 503);
        return;
      }
      const pump: Pump = new Pump(socket, end.socket, end.link, () => this.#pumps.delete(pump));
      this.#pumps.add(pump);
      if (!this.#holds) pump.hold(false);
      // The engine's deadline ends with its answer, which waits here for an earlier response. That one may never end.
      const timer = setTimeout(() => socket.destroy(), this.#native.handshakeTimeout).unref();
      socket.once("close", () => clearTimeout(timer));
      whenAnswered(inner, () => {
        clearTimeout(timer);
        pump.answer();
      });
    };
    if (HAS_PAIRS) begin(pair(this.#native, arrival));
    else {
      // It may leave before there is a pump.
      socket.on("error", () => socket.destroy());
      connectPair(this.#native, arrival, begin);
    }
  }
}

/** Our end of a pair, and what tells whether the engine has closed its own. */
interface Pair {
  readonly socket: Socket;
  readonly link: Link;
}

/** Gives the engine one end of a pair; `undefined` if there are no descriptors left. */
function pair(native: Native, arrival: Arrival): Pair | undefined {
  const link = native.pair(arrival);
  const fd = link?.takeDescriptor() ?? -1;
  if (!link || fd < 0) return undefined;
  try {
    const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
    return { socket, link };
  } catch {
    closeSync(fd);
    return undefined;
  }
}

/** The same with a connection over the loopback address, where there are no pairs. */
function connectPair(
  native: Native,
  arrival: Arrival,
  begin: (pair: Pair | undefined) => void,
): void {
  const door = openDoor();
  if (!door) {
    begin(undefined);
    return;
  }
  const socket = connect({
    host: "127.0.0.1",
    port: door.port,
    allowHalfOpen: true,
    noDelay: true,
  });
  const fail = () => {
    door.close();
    begin(undefined);
  };
  socket.once("error", fail);
  socket.once("connect", () => {
    socket.removeListener("error", fail);
    const link = native.enter(door, socket.localPort ?? 0, arrival);
    if (!link) socket.destroy();
    begin(link ? { socket, link } : undefined);
  });
}

/** The descriptor of a socket that can be taken over; `undefined` for any other one. */
function descriptorOf(socket: Duplex): number | undefined {
  if (!HAS_DESCRIPTORS || !(socket instanceof Socket)) return undefined;
  // TLS has a descriptor too, and what the engine sent through it would be plaintext.
  if (socket instanceof TLSSocket) return undefined;
  const { _handle: handle, _httpMessage: response, writableLength } = socket as Inner;
  // Bytes that Node has not written yet would be lost, or come too late.
  if (!handle || response || writableLength > 0 || handle.writeQueueSize) return undefined;
  if (handle.constructor.name !== "TCP" || typeof handle.fd !== "number") return undefined;
  return handle.fd >= 0 ? handle.fd : undefined;
}

/** What TLS knows of a client. */
function securityOf(inner: Inner): Pick<Arrival, "secure" | "certificate"> {
  if (!(inner instanceof TLSSocket)) return {};
  const certificate = inner.authorized ? inner.getPeerX509Certificate()?.toString() : undefined;
  return { secure: true, certificate };
}

/** Adds what Node has read from a socket, and reads no more. */
function drain(socket: Duplex, read: Chunks): Chunks {
  for (;;) {
    const chunk = socket.read() as Buffer | string | null;
    if (chunk === null) break;
    read.push(typeof chunk === "string" ? Buffer.from(chunk, socket.readableEncoding!) : chunk);
  }
  (socket as Inner)._handle?.readStop?.();
  return read;
}

/** Nearly always there is one chunk. */
function joined(chunks: Chunks): Buffer {
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
}

/** Takes what the HTTP server has put on a socket away, deadlines among it. */
function prepare(inner: Inner): void {
  inner.setTimeout?.(0);
  release(inner);
}

/** Calls back when the responses to earlier requests of the same connection are written. */
function whenAnswered(inner: Inner, then: () => void): void {
  const response = inner._httpMessage;
  if (!response) {
    // Node starts the timer of an idle connection after each.
    inner.setTimeout?.(0);
    then();
    return;
  }
  response.once("finish", () => whenAnswered(inner, then));
}
