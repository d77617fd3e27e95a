// Asks who is in a room. Every I/O thread answers for its own clients, and the bus for those of other processes, a long answer in parts.
import { MAX_QUESTIONS, MEMBERS } from "../border/codes.js";
import type { Commands } from "../border/commands.js";
import type { PartialError } from "../types/partial.js";

/** Most questions that the engine may have, and most that may wait beside those. */
const MAX_ASKED = 1_024;
const MAX_WAITING = 10_000;

/** A part of an I/O thread's answer: the number of the question, how many members it has, and ids of some. */
export type Part = readonly [question: number, size: number, ...ids: string[]];

/** A part of the bus's answer. It begins with the number of the question, and how many processes have not answered. */
export type PartElsewhere = readonly [
  question: number,
  missing: number,
  size: number,
  ...ids: string[],
];

/** One question. */
interface Question {
  readonly asks: number;
  readonly room: string;
  readonly settle: (ids: string[], size: number, isWhole: boolean) => void;
}

/** A question that is under way, and the answer so far. */
interface Asked extends Question {
  readonly ids: string[];
  size: number;
  isWhole: boolean;
  /** The I/O threads that have not answered in full, and the bus: how many ids each of them has told. */
  readonly open: Map<number, number>;
}

/** The questions of one server. */
export class Questions {
  readonly #commands: Commands;
  /** The I/O threads that have not stopped, and the bus. */
  readonly #parties = new Set<number>();
  /** Whether there are other processes, and whether they can be asked. */
  #bus: "none" | "there" | "over" = "none";
  /** Those under way, by their numbers. */
  readonly #asked = new Map<number, Asked>();
  /** How many of them some I/O thread has not answered. */
  #busy = 0;
  readonly #waiting: Question[] = [];
  #last = 0;

  constructor(commands: Commands) {
    this.#commands = commands;
  }

  /** Sets how many I/O threads there are, and whether there is a bus. */
  attach(shards: number, hasBus: boolean): void {
    for (let shard = 0; shard < shards; shard += 1) this.#parties.add(shard);
    if (!hasBus) return;
    this.#bus = "there";
    this.#parties.add(MEMBERS.BUS);
  }

  /** The ids of the members of a room. */
  members(room: string): Promise<string[]> {
    return this.#ask(MEMBERS.IDS, room, (ids) => ids);
  }

  /** How many members a room has. */
  size(room: string): Promise<number> {
    return this.#ask(MEMBERS.SIZE, room, (_, size) => size);
  }

  /** How many clients all processes have. `here` counts those of this one. */
  clients(here: () => number): Promise<number> {
    return this.#ask(MEMBERS.CLIENTS, "", (_, size) => here() + size);
  }

  /** Takes a part of an answer; whether it was the last one, so that its promise has resolved. */
  part(shard: number, [number, size, ...ids]: Part): boolean {
    return this.#part(shard, number, size, ids);
  }

  /** The same for other processes. */
  elsewhere([number, missing, size, ...ids]: PartElsewhere): boolean {
    return this.#part(MEMBERS.BUS, number, size, ids, missing === 0);
  }

  /** Notes that an I/O thread has stopped: it has no clients, and answers nothing. */
  stopped(shard: number): void {
    this.#parties.delete(shard);
    for (const [number, question] of this.#asked) this.#close(number, question, shard);
  }

  /** Notes that the bus is over: no other process can be asked. */
  busEnded(): void {
    if (this.#bus !== "there") return;
    this.#bus = "over";
    for (const question of this.#asked.values()) {
      if (question.open.has(MEMBERS.BUS)) question.isWhole = false;
    }
    this.stopped(MEMBERS.BUS);
  }

  #part(
    party: number,
    number: number,
    size: number,
    ids: readonly string[],
    isWhole = true,
  ): boolean {
    const question = this.#asked.get(number);
    const before = question?.open.get(party);
    if (question === undefined || before === undefined) return false;
    for (const id of ids) question.ids.push(id);
    const told = before + ids.length;
    if (question.asks === MEMBERS.IDS && told < size) {
      question.open.set(party, told);
      this.#commands.moreMembers(number, party);
      return false;
    }
    question.size += size;
    if (!isWhole) question.isWhole = false;
    return this.#close(number, question, party);
  }

  #ask<TAnswer>(
    asks: number,
    room: string,
    answer: (ids: string[], size: number) => TAnswer,
  ): Promise<TAnswer> {
    return new Promise((resolve, reject) => {
      const settle = (ids: string[], size: number, isWhole: boolean) => {
        const whole = answer(ids, size);
        if (isWhole) resolve(whole);
        else reject(partial(whole));
      };
      const question = { asks, room, settle };
      if (this.#hasRoom) this.#begin(question);
      else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(question);
      else reject(tooMany());
    });
  }

  get #hasRoom(): boolean {
    return this.#busy < MAX_QUESTIONS && this.#asked.size < MAX_ASKED;
  }

  #begin(question: Question): void {
    const { asks, room, settle } = question;
    // I/O threads are not asked for the number of clients, as this thread knows it.
    const parties = [...this.#parties].filter(
      (party) => party === MEMBERS.BUS || asks !== MEMBERS.CLIENTS,
    );
    const isWhole = this.#bus !== "over";
    if (parties.length === 0) {
      settle([], 0, isWhole);
      return;
    }
    const open = new Map(parties.map((party) => [party, 0]));
    // It wraps long after the question with that number was answered.
    this.#last = (this.#last + 1) % 2 ** 32;
    const asked = { ...question, ids: [], size: 0, isWhole, open };
    this.#asked.set(this.#last, asked);
    if (isBusy(asked)) this.#busy += 1;
    this.#commands.members(this.#last, asks, room);
  }

  /** Notes that somebody has answered in full; whether it was the last one. */
  #close(number: number, question: Asked, party: number): boolean {
    const { open, ids, size, isWhole, settle } = question;
    const wasBusy = isBusy(question);
    open.delete(party);
    if (wasBusy && !isBusy(question)) this.#busy -= 1;
    const isDone = open.size === 0 && this.#asked.delete(number);
    if (isDone) settle(ids, size, isWhole);
    while (this.#hasRoom) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#begin(next);
    }
    return isDone;
  }
}

/** Whether an I/O thread has not answered. */
function isBusy({ open }: Asked): boolean {
  return open.size > (open.has(MEMBERS.BUS) ? 1 : 0);
}

function tooMany(): Error {
  const error = new Error(`more than ${MAX_WAITING} questions about members of rooms are pending`);
  return Object.assign(error, { code: "TOO_MANY_QUESTIONS" });
}

/** The error for an answer that misses a process. */
function partial(answer: unknown): PartialError {
  const error = new Error("some other processes have not answered, so the answer is not whole");
  return Object.assign(error, { code: "PARTIAL" as const, partial: answer });
}
