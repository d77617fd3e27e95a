// The open calls of each client, as JavaScript knows them: which handler answers which number, and what an abort ends.
import { ANSWER } from "../border/codes.js";
import type { Commands } from "../border/commands.js";
import type { Payload } from "../border/payload.js";
import { openCallsOf, type Client } from "../context/clients.js";
import { ZocketError } from "../zocket-error.js";
import { disconnected, type Run } from "./run.js";
import type { Stream } from "./stream.js";

/** A message that is to be answered. */
export class Call {
  /** Set while its handler is pending. */
  run: Run | undefined = undefined;
  stream: Stream | undefined = undefined;
  /** The client has aborted it, or is gone: nothing is sent for it any more. */
  isAborted = false;
  /** An answer has ended it. */
  isAnswered = false;
  /** It was kept among the open ones of its client. */
  isKept = false;

  constructor(
    /** The engine's number for it; of a message that is no call, the client's `id`. */
    readonly number: number,
    /** Whether it is a call: open in the engine, and one that can be aborted. */
    readonly isCall: boolean,
  ) {}
}

/** The calls of all clients. */
export class Calls {
  readonly #commands: Commands;

  constructor(commands: Commands) {
    this.#commands = commands;
  }

  /** A call waits, or its handler is pending: from now on it can be aborted. Most calls are answered before. */
  keep(client: Client, call: Call): void {
    call.isKept = true;
    openCallsOf(client).open.set(call.number, call);
  }

  /** The client has aborted a call. */
  abort(client: Client, number: number): void {
    const call = client.openCalls?.open.get(number) as Call | undefined;
    if (call === undefined || call.isAborted) return;
    call.isAborted = true;
    // One that has not begun never does, and gives its place back at once.
    if (call.run === undefined) this.settled(client, call);
    else end(call, aborted());
  }

  /** The client has taken items of a call. */
  more(client: Client, number: number, items: number): void {
    (client.openCalls?.open.get(number) as Call | undefined)?.stream?.more(items);
  }

  /** The client is gone: its calls are over, and all its signals fire. */
  ended(client: Client): void {
    const { openCalls } = client;
    if (openCalls === undefined) return;
    const reason = disconnected();
    const calls = [...openCalls.open.values()] as Call[];
    const signals = [...openCalls.signals];
    openCalls.open.clear();
    openCalls.signals.clear();
    for (const call of calls) {
      call.isAborted = true;
      end(call, reason);
    }
    for (const run of signals) run.fire(reason);
  }

  /** Sends an item of a call that is open. */
  item(client: Client, call: Call, payload: Payload): void {
    this.#commands.answer(ANSWER.ITEM, client.handle, call.number, payload);
  }

  /** Answers a message, and ends the call that it was. */
  answer(client: Client, call: Call, how: number, payload: Payload): void {
    if (this.ends(client, call)) this.#commands.answer(how, client.handle, call.number, payload);
  }

  /** Ends a call, which the caller then answers. Returns whether there is anything to answer. */
  ends(client: Client, call: Call): boolean {
    if (call.isAnswered || call.isAborted || client.phase !== "open") return false;
    call.isAnswered = true;
    if (call.isKept) client.openCalls?.open.delete(call.number);
    return true;
  }

  /** The handler of an aborted call has settled. */
  settled(client: Client, call: Call): void {
    if (call.isKept && client.openCalls?.open.delete(call.number)) {
      this.#commands.settle(client.handle, call.number);
    }
  }
}

function aborted(): ZocketError {
  return new ZocketError({ code: "ABORTED", route: "", message: "the client aborted the call" });
}

function end(call: Call, reason: ZocketError): void {
  call.run?.fire(reason);
  call.stream?.end();
}
