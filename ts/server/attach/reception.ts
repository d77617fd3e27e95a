// The upgrades of one HTTP server: which of them are whose, when several of our servers and other listeners share it.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

import type { HttpServer, OnUpgrade } from "./http-server.js";
import { isForWebSocket, pathOf } from "./request-head.js";

/** One of our servers, as the HTTP server sees it. */
export interface Guest {
  /** Takes an upgrade, and the socket with it. Never throws. */
  take: OnUpgrade;
  /** Answers 404. Never throws. */
  refusePath: OnUpgrade;
}

/** Those of all HTTP servers that have one of our servers now. */
const receptions = new WeakMap<HttpServer, Reception>();

/** Attaches a server to a path of an HTTP server; returns what detaches it. */
export function attach(server: HttpServer, path: string, guest: Guest): () => void {
  let reception = receptions.get(server);
  if (!reception) receptions.set(server, (reception = new Reception(server)));
  return reception.add(path, guest);
}

/** @throws `Error` with the code `EPATHINUSE` if one of our servers is attached there. */
export function checkPath(server: HttpServer, path: string): void {
  if (!receptions.get(server)?.has(path)) return;
  const message = `createServer: options.path: another server is attached to options.server at ${path}`;
  throw Object.assign(new Error(message), { code: "EPATHINUSE" });
}

class Reception {
  readonly #server: HttpServer;
  readonly #guests = new Map<string, Guest>();
  /** Undoes what was done to the server; those of it that somebody has covered since stay, and do nothing. */
  readonly #undo: (() => boolean)[] = [];

  constructor(server: HttpServer) {
    this.#server = server;
  }

  has(path: string): boolean {
    return this.#guests.has(path);
  }

  add(path: string, guest: Guest): () => void {
    this.#guests.set(path, guest);
    if (this.#guests.size === 1) this.#begin();
    return () => {
      if (this.#guests.get(path) !== guest) return;
      this.#guests.delete(path);
      if (this.#guests.size === 0) this.#end();
    };
  }

  #begin(): void {
    this.#server.prependListener("upgrade", this.#listener);
    // Covered by somebody, they are still there from the last time.
    if (this.#undo.length === 0) this.#undo.push(this.#emitFirst(), this.#chooseUpgrades());
  }

  #end(): void {
    this.#server.removeListener("upgrade", this.#listener);
    if (this.#undo.every((undo) => undo())) {
      this.#undo.length = 0;
      receptions.delete(this.#server);
    }
  }

  /** Only with it does Node emit upgrades. It gets those that are not ours. */
  readonly #listener: OnUpgrade = (request, socket, head) => {
    if (this.#take(request, socket, head) || this.#hasOthers()) return;
    const [guest] = this.#guests.values();
    guest?.refusePath(request, socket, head);
  };

  #take(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const guest = this.#guests.get(pathOf(request));
    if (!guest || !isForWebSocket(request)) return false;
    guest.take(request, socket, head);
    return true;
  }

  #hasOthers(): boolean {
    return this.#server.listenerCount("upgrade") > 1;
  }

  /** Keeps our upgrades from other listeners, which `ws` with a path of its own would answer with 400. */
  #emitFirst(): () => boolean {
    return cover(this.#server, "emit", (before) => (...given) => {
      if (given[0] !== "upgrade") return before(...given);
      const [, request, socket, head] = given as [unknown, IncomingMessage, Duplex, Buffer];
      return this.#take(request, socket, head) || before(...given);
    });
  }

  /** Where Node asks: without us, an upgrade to another protocol would be an ordinary request. */
  #chooseUpgrades(): () => boolean {
    if (!("shouldUpgradeCallback" in this.#server)) return () => true;
    return cover(this.#server, "shouldUpgradeCallback", (before) => (...given) => {
      const [request] = given as [IncomingMessage];
      const asks = isForWebSocket(request);
      if (asks && this.#guests.has(pathOf(request))) return true;
      return (asks || this.#guests.size === 0 || this.#hasOthers()) && before(...given) === true;
    });
  }
}

/** A method that takes anything. */
type Method = (...given: unknown[]) => unknown;

/** Replaces a method of one object; returns what takes the replacement away, and says whether it could. */
function cover<TName extends string>(
  object: object,
  name: TName,
  replace: (before: Method) => Method,
): () => boolean {
  const own = Object.getOwnPropertyDescriptor(object, name);
  const inherited = Object.getPrototypeOf(object) as Record<TName, Method>;
  // What is inherited can be instrumented at any time.
  const before: Method = (...given) =>
    Reflect.apply((own?.value as Method | undefined) ?? inherited[name], object, given);
  const value = replace(before);
  const enumerable = own?.enumerable ?? false;
  Object.defineProperty(object, name, { value, enumerable, configurable: true, writable: true });
  return () => {
    if (Object.getOwnPropertyDescriptor(object, name)?.value !== value) return false;
    if (own) Object.defineProperty(object, name, own);
    else Reflect.deleteProperty(object, name);
    return true;
  };
}
