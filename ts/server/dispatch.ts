// Answers the bell. It takes the events, passes each one to the part that handles it, and hands over the commands of user code. It
// stops when the turn of the event loop is over, and continues in the next one. It lets no error of user code out.
import { BATCH_EVENTS, EVENT, HEAD, MESSAGE } from "../border/codes.js";
import type { Commands } from "../border/commands.js";
import type { HandOver } from "../border/hand-over.js";
import type { Native } from "../border/native.js";
import type { Joined } from "../bus/joined.js";
import type { Admissions } from "../connections/admissions.js";
import type { Disconnects } from "../connections/disconnects.js";
import { brokenInfo, infoOf, type Ending } from "../connections/ending.js";
import type { Openings } from "../connections/openings.js";
import { AT, type Upgrade } from "../connections/upgrade.js";
import type { Client, Clients } from "../context/clients.js";
import { carryOut } from "../context/from-outside.js";
import type { Order, Ordered } from "../context/orders.js";
import type { Part, PartElsewhere } from "../context/questions.js";
import type { Outlet } from "../context/send.js";
import type { ErrorCode } from "../faults/codes.js";
import { ClientFault, type Faults } from "../faults/report.js";
import type { Calls } from "../messages/calls.js";
import type { Held } from "../messages/held.js";
import type { Messages } from "../messages/messages.js";
import type { DisconnectInfo } from "../types/disconnect.js";
import type { Scope } from "../user-code/scope.js";
import type { Turn } from "../user-code/turn.js";
import { Beside } from "./beside.js";
import type { Stop } from "./stop.js";

const { BESIDE, BYTES, CODE, FIRST, HANDLE, MORE, NUMBER, NUMBER_HIGH, WEIGHT, WORDS } = HEAD;

/** The parts that handle events. */
export interface Parts {
  readonly handOver: HandOver;
  readonly clients: Clients;
  readonly calls: Calls;
  readonly outlet: Outlet;
  readonly commands: Commands;
  readonly admissions: Admissions;
  readonly messages: Messages;
  readonly disconnects: Disconnects;
  readonly openings: Openings;
  readonly stop: Stop;
  readonly bus: Joined;
  readonly faults: Faults;
  readonly scope: Scope;
  readonly held: Held;
  readonly turn: Turn;
}

/** The value of a BAD event: a bad message that the engine has answered, or a count of them. */
interface BadMessage {
  readonly code: ErrorCode;
  readonly route?: string;
  readonly message: string;
  readonly count?: number;
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
  /** The words of the events that were taken last; see {@link HEAD}. */
  readonly #heads = Buffer.allocUnsafeSlow(4 * (FIRST + WORDS * BATCH_EVENTS));
  readonly #numbers = new Int32Array(this.#heads.buffer);
  /** The values of the events that were taken last, until all are dealt with, and which is next. */
  #values: readonly unknown[] | undefined = undefined;
  #at = 0;
  /** The payloads of those events that are bytes. */
  readonly #beside = new Beside();
  /** Which shard is next, in this round over all of them, and whether there is to be another round. */
  #shard = 0;
  #again = false;
  /** The rest waits for the next turn of the event loop. */
  #isPutOff = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** How many clients have gone after their 101, and their `onDisconnect` has begun. */
  get ended(): number {
    return this.#ended;
  }

  /** Answers the bell. Never throws. */
  ring(native: Native): void {
    // A round may be under way, which has looked at the shard that rang already.
    if (this.#isPutOff) this.#again = true;
    else this.#goOn(native);
  }

  /** Deals with events until there are none, or the turn is over. */
  #goOn(native: Native): void {
    const { handOver, turn } = this.#parts;
    this.#isPutOff = true;
    if (!turn.isOver) {
      turn.begin(this.#values !== undefined);
      handOver.beginBatch();
      this.#isPutOff = !this.#all(native);
      handOver.endBatch();
      turn.end();
    }
    if (this.#isPutOff) turn.afterwards(() => this.#goOn(native));
  }

  /** Takes from the shards in turn; false when the turn is over before there is nothing left. */
  #all(native: Native): boolean {
    const { handOver, turn } = this.#parts;
    for (;;) {
      if (!this.#batch()) return false;
      try {
        const shards = (this.#shards ||= native.shards);
        if (this.#shard >= shards) {
          this.#shard = 0;
          if (!this.#again) return true;
          this.#again = false;
          // The I/O threads can work on what was sent while the next round goes on here.
          handOver.flush();
          if (turn.isOver) return false;
        }
        const text = native.take(this.#shard++, this.#heads);
        if (text === null) continue;
        if (this.#numbers[MORE] === 1) this.#again = true;
        this.#at = 0;
        const size = this.#numbers[BESIDE] as number;
        turn.enter(text.length + size);
        if (size > 0) this.#beside.take(native, size);
        this.#values = JSON.parse(text) as readonly unknown[];
      } catch (error) {
        this.#report(error);
      }
    }
  }

  /** Deals with the events that were taken last; false when the turn is over. */
  #batch(): boolean {
    const { scope } = this.#parts;
    while (this.#values !== undefined) {
      if (!scope.runMany(this.#some, this)) return false;
    }
    return true;
  }

  /** Deals with as many of them as may share a run; false when the turn is over. */
  #some(): boolean {
    const { clients, messages, scope, turn } = this.#parts;
    const { isShared } = scope;
    const numbers = this.#numbers;
    const values = this.#values ?? [];
    let { untilLook } = turn;
    let at = this.#at;
    let isOver = false;
    while (at < values.length && !isOver) {
      const head = FIRST + WORDS * at;
      try {
        const handle = numbers[head + HANDLE] as number;
        const code = numbers[head + CODE] as number;
        let value = values[at];
        if (code >= 0) {
          const client = clients.at(handle);
          const bytes = numbers[head + BYTES] as number;
          if ((code & MESSAGE.BYTES) !== 0) value = this.#beside.next(bytes);
          const weight = numbers[head + WEIGHT] as number;
          let number = 0;
          if ((code & MESSAGE.NUMBERED) !== 0) {
            number = (numbers[head + NUMBER] as number) >>> 0;
            const high = numbers[head + NUMBER_HIGH] as number;
            if (high !== 0) number += high * 2 ** 32;
          }
          if (client && isShared) messages.take(client, code, value, bytes, weight, number);
          else if (client) {
            scope.run(messages.take, messages, client, code, value, bytes, weight, number);
          }
        } else {
          scope.run(this.#rare, this, handle, code, value, this.#shards);
        }
      } catch (error) {
        this.#report(error);
      }
      at += 1;
      untilLook -= 1;
      if (untilLook <= 0) {
        isOver = turn.look();
        ({ untilLook } = turn);
      }
      if (isShared && !scope.isShared) break;
    }
    turn.untilLook = untilLook;
    this.#at = at;
    if (at === values.length) this.#values = undefined;
    return !isOver;
  }

  /** Everything but messages. */
  #rare(handle: number, code: number, value: unknown, shards: number): void {
    const { clients, admissions, calls, commands, faults, messages, openings, outlet, stop, turn } =
      this.#parts;
    switch (code) {
      case EVENT.UPGRADE: {
        const request = value as Upgrade;
        admissions.decide(clients.add(handle, request[AT.ID]), request);
        // Also one that is decided at once: `onConnect` may have begun something that nobody waits for.
        turn.count();
        break;
      }
      case EVENT.OPENED: {
        const client = clients.at(handle);
        const opening = client && openings.opened(client);
        if (opening) messages.waitFor(client, opening);
        break;
      }
      case EVENT.CLOSED: {
        const client = clients.at(handle);
        if (client) this.#end(client, typeof value === "object", infoOf(value as Ending));
        commands.release(handle);
        break;
      }
      case EVENT.ABORT: {
        const client = clients.at(handle);
        if (client) calls.abort(client, value as number);
        break;
      }
      case EVENT.MORE: {
        const client = clients.at(handle);
        const [number, items] = value as readonly [number: number, items: number];
        if (client) calls.more(client, number, items);
        break;
      }
      case EVENT.BAD: {
        const { code, route, message, count } = value as BadMessage;
        const id = clients.at(handle)?.id;
        faults.reportClient(() => new ClientFault(message), code, id, route, count);
        break;
      }
      case EVENT.FAULT:
        this.#fault(value as Fault);
        break;
      case EVENT.BUS:
        this.#parts.bus.hear(value as Parameters<Joined["hear"]>[0]);
        if (this.#parts.bus.isOver) outlet.questions.busEnded();
        break;
      case EVENT.MEMBERS:
        // Whoever waits for the answer goes on in a promise callback.
        if (outlet.questions.part(handle, value as Part)) turn.count();
        break;
      case EVENT.ELSEWHERE:
        if (outlet.questions.elsewhere(value as PartElsewhere)) turn.count();
        break;
      case EVENT.ORDER:
        carryOut(outlet, handle, value as Order);
        break;
      case EVENT.ORDERED:
        if (outlet.orders.ended(value as Ordered)) turn.count();
        break;
      case EVENT.STOPPED:
        outlet.questions.stopped(handle);
        stop.shardStopped(handle, shards);
        break;
      case EVENT.DIED:
        faults.report(new Error(`an I/O thread panicked: ${String(value)}`), "INTERNAL");
        for (const client of clients.ofShard(handle, shards)) {
          this.#end(client, client.phase !== "deciding", brokenInfo());
        }
        outlet.questions.stopped(handle);
        stop.shardStopped(handle, shards);
        break;
      default:
        throw new RangeError(`unknown event ${code}`);
    }
  }

  #end(client: Client, opened: boolean, info: DisconnectInfo): void {
    const { calls, clients, disconnects, held, openings } = this.#parts;
    const admitted = client.phase !== "deciding";
    clients.end(client);
    calls.ended(client);
    held.end(client);
    if (admitted) openings.ended(client, info, opened ? this.#countEnd : nothing);
    else disconnects.wentEarly(client, info);
  }

  readonly #countEnd = (): void => {
    this.#ended += 1;
  };

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

function nothing(): void {}
