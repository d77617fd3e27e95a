// One ring of the bell: takes what happened, tells each event to whom it concerns, and hands over what the user's code
// sent meanwhile. Nothing that user code does gets out of here.
import type { Admissions, UpgradeRequest } from "./admissions.js";
import type { Client, Clients } from "./clients.js";
import type { CommandBuffer } from "./command-buffer.js";
import type { Commands } from "./commands.js";
import type { Disconnects } from "./disconnects.js";
import { ClientFault, type Faults } from "./faults.js";
import type { Messages } from "./messages.js";
import { EVENT, MAX_EVENTS, type Native } from "./native.js";
import type { Scope } from "./scope.js";
import type { Stop } from "./stop.js";
import type { ErrorCode } from "./types.js";

/** Those the events concern. */
export interface Parts {
  readonly buffer: CommandBuffer;
  readonly clients: Clients;
  readonly commands: Commands;
  readonly admissions: Admissions;
  readonly messages: Messages;
  readonly disconnects: Disconnects;
  readonly stop: Stop;
  readonly faults: Faults;
  readonly scope: Scope;
}

/** The value of a BAD event: what the engine has already answered. */
interface BadMessage {
  readonly code: ErrorCode;
  readonly route?: string;
  readonly message: string;
}

/** The value of a FAULT event. */
interface Fault {
  readonly code: ErrorCode;
  readonly message: string;
  readonly id?: string;
}

/** Dispatches the events of one server. */
export class Dispatch {
  readonly #parts: Parts;
  #ended = 0;
  /** How many shards there are, asked for once: a native getter is a call. */
  #shards = 0;
  /** Handle and code of each event that was taken last. */
  readonly #heads = Buffer.allocUnsafeSlow(8 * MAX_EVENTS);
  readonly #numbers = new Int32Array(this.#heads.buffer);

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** How many clients that had their 101 are gone, as far as `onDisconnect` was told. */
  get ended(): number {
    return this.#ended;
  }

  /** Answers the bell. Never throws. */
  ring(native: Native): void {
    const { buffer } = this.#parts;
    buffer.beginBatch();
    try {
      const shards = (this.#shards ||= native.shards);
      for (let shard = 0; shard < shards; shard += 1) {
        const text = native.take(shard, this.#heads);
        if (text !== null) this.#batch(text, shards);
      }
    } catch (error) {
      this.#report(error);
    }
    buffer.endBatch();
  }

  #batch(text: string, shards: number): void {
    const values = JSON.parse(text) as readonly unknown[];
    const { clients, messages, scope } = this.#parts;
    const numbers = this.#numbers;
    for (let at = 0; at < values.length; at += 1) {
      try {
        const handle = numbers[2 * at] as number;
        const code = numbers[2 * at + 1] as number;
        const value = values[at];
        if (code >= 0) {
          const client = clients.at(handle);
          if (client) scope.run(messages.take, messages, client, code, value);
        } else {
          scope.run(this.#rare, this, handle, code, value, shards);
        }
      } catch (error) {
        this.#report(error);
      }
    }
  }

  /** Everything but messages. */
  #rare(handle: number, code: number, value: unknown, shards: number): void {
    const { clients, admissions, commands, faults, stop } = this.#parts;
    switch (code) {
      case EVENT.UPGRADE: {
        const request = value as UpgradeRequest;
        void admissions.decide(clients.add(handle, request.id), request);
        break;
      }
      case EVENT.CLOSED: {
        const client = clients.at(handle);
        if (client) this.#end(client, value === 1);
        commands.release(handle);
        break;
      }
      case EVENT.BAD: {
        const { code, route, message } = value as BadMessage;
        const id = clients.at(handle)?.id;
        faults.reportClient(() => new ClientFault(message), code, id, route);
        break;
      }
      case EVENT.FAULT:
        this.#fault(value as Fault);
        break;
      case EVENT.STOPPED:
        stop.shardStopped(handle, shards);
        break;
      case EVENT.DIED:
        faults.report(new Error(`an I/O thread panicked: ${String(value)}`), "INTERNAL");
        for (const client of clients.ofShard(handle, shards)) {
          this.#end(client, client.phase === "open");
        }
        stop.shardStopped(handle, shards);
        break;
      default:
        throw new RangeError(`unknown event ${code}`);
    }
  }

  #end(client: Client, opened: boolean): void {
    const { clients, disconnects } = this.#parts;
    const admitted = client.phase === "open";
    clients.end(client);
    if (opened) this.#ended += 1;
    if (admitted) disconnects.run(client);
  }

  #report(error: unknown): void {
    const { faults, scope } = this.#parts;
    scope.run(faults.report, faults, error, "INTERNAL");
  }

  #fault({ code, message, id }: Fault): void {
    const { faults } = this.#parts;
    if (code === "INTERNAL") faults.report(new Error(message), code, id);
    else faults.reportClient(() => new ClientFault(message), code, id);
  }
}
