// Closes the connections of clients for the application: `server.disconnect`, `ctx.disconnect`, and after an `onOpen` that failed.
import { MAX_REASON } from "../border/codes.js";
import type { Commands } from "../border/commands.js";
import { isObject, isPlainObject, quote, unexpected } from "../faults/check.js";
import type { DisconnectOptions } from "../types/disconnect.js";
import { refuseUnknown } from "../unknown-options.js";
import type { Client, Clients } from "./clients.js";

/** The code that says that a client is not wanted. Our client then does not connect again. */
const POLICY_VIOLATION = 1008;

/** The codes that a server may close with: those of RFC 6455 and its registry that a server may send, and the free ones. */
const CODES = "1000, 1008, 1011 to 1014 or 3000 to 4999";

/** The content of a close frame. */
export interface CloseFrame {
  readonly code: number;
  readonly reason: string;
}

/** Closes the connections of one server. */
export class Closing {
  readonly #commands: Commands;
  readonly #clients: Clients;
  /** Called for a client that is being closed: its handlers learn that nobody waits for them any more. */
  onClosing: ((client: Client) => void) | undefined = undefined;

  constructor(commands: Commands, clients: Clients) {
    this.#commands = commands;
    this.#clients = clients;
  }

  /** The `ctx.disconnect` of a client. */
  of(client: Client): (options?: DisconnectOptions) => void {
    return (options) => this.close(client, closeFrame(options, "ctx.disconnect"));
  }

  /** Closes the connection of a client behind what was sent to it. Its messages reach no handler from now on. */
  close(client: Client, { code, reason }: CloseFrame): void {
    if (client.phase !== "open") return;
    this.#clients.startClosing(client);
    this.#commands.close(client.handle, code, reason);
    this.onClosing?.(client);
  }
}

/** The close frame that the options describe. */
export function closeFrame(options: unknown, place: string): CloseFrame {
  if (options === undefined) return { code: POLICY_VIOLATION, reason: "" };
  if (!isObject(options) || !isPlainObject(options)) {
    throw unexpected(`${place}: options`, "an object { code?, reason? }", options);
  }
  refuseUnknown(`${place}: options.`, options, ["code", "reason"]);
  const { code = POLICY_VIOLATION, reason = "" } = options as {
    readonly code?: unknown;
    readonly reason?: unknown;
  };
  if (!isCode(code)) throw unexpected(`${place}: options.code`, CODES, code);
  const expected = `a string of at most ${MAX_REASON} bytes`;
  if (typeof reason !== "string") throw unexpected(`${place}: options.reason`, expected, reason);
  const bytes = Buffer.byteLength(reason);
  if (bytes > MAX_REASON) {
    const got = `${bytes} bytes: ${quote(reason)}`;
    throw new TypeError(`${place}: options.reason: expected ${expected}, got ${got}`);
  }
  return { code, reason };
}

function isCode(code: unknown): code is number {
  if (!Number.isInteger(code)) return false;
  const number = code as number;
  return (
    number === 1000 ||
    number === POLICY_VIOLATION ||
    (number >= 1011 && number <= 1014) ||
    (number >= 3000 && number <= 4999)
  );
}
