// Asks the engine who is in a room. Every I/O thread answers for its own clients, a long answer in parts.
import { MAX_QUESTIONS, MEMBERS } from "../border/codes.js";
import type { Commands } from "../border/commands.js";

/** Most questions that may wait while so many are under way that the engine gets no more. */
const MAX_WAITING = 10_000;

/** A part of an answer: the number of the question, how many members the I/O thread has, and ids of some. */
export type Part = readonly [question: number, size: number, ...ids: string[]];

/** One question. */
interface Question {
  readonly asks: number;
  readonly room: string;
  readonly settle: (ids: string[], size: number) => void;
}

/** A question that is under way, and the answer so far. */
interface Asked extends Question {
  readonly ids: string[];
  size: number;
  /** The I/O threads that have not answered in full, and how many ids each of them has told. */
  readonly open: Map<number, number>;
}

/** The questions of one server. */
export class Questions {
  readonly #commands: Commands;
  /** The I/O threads that have not stopped. */
  readonly #shards = new Set<number>();
  /** Those under way, by their numbers. */
  readonly #asked = new Map<number, Asked>();
  readonly #waiting: Question[] = [];
  #last = 0;

  constructor(commands: Commands) {
    this.#commands = commands;
  }

  /** Sets how many I/O threads there are. */
  attach(shards: number): void {
    for (let shard = 0; shard < shards; shard += 1) this.#shards.add(shard);
  }

  /** The ids of the members of a room. */
  members(room: string): Promise<string[]> {
    return this.#ask(MEMBERS.IDS, room, (ids) => ids);
  }

  /** How many members a room has. */
  size(room: string): Promise<number> {
    return this.#ask(MEMBERS.SIZE, room, (_, size) => size);
  }

  /** Takes a part of an answer; whether it was the last one, so that its promise has resolved. */
  part(shard: number, [number, size, ...ids]: Part): boolean {
    const question = this.#asked.get(number);
    const before = question?.open.get(shard);
    if (question === undefined || before === undefined) return false;
    for (const id of ids) question.ids.push(id);
    const told = before + ids.length;
    if (question.asks === MEMBERS.IDS && told < size) {
      question.open.set(shard, told);
      this.#commands.moreMembers(number, shard);
      return false;
    }
    question.size += size;
    return this.#close(number, question, shard);
  }

  /** Notes that an I/O thread has stopped: it has no clients, and answers nothing. */
  stopped(shard: number): void {
    this.#shards.delete(shard);
    for (const [number, question] of this.#asked) this.#close(number, question, shard);
  }

  #ask<TAnswer>(
    asks: number,
    room: string,
    answer: (ids: string[], size: number) => TAnswer,
  ): Promise<TAnswer> {
    return new Promise((resolve, reject) => {
      const settle = (ids: string[], size: number) => resolve(answer(ids, size));
      if (this.#asked.size < MAX_QUESTIONS) this.#begin({ asks, room, settle });
      else if (this.#waiting.length < MAX_WAITING) this.#waiting.push({ asks, room, settle });
      else reject(tooMany());
    });
  }

  #begin(question: Question): void {
    const { asks, room, settle } = question;
    const open = new Map(Array.from(this.#shards, (shard) => [shard, 0]));
    if (open.size === 0) {
      settle([], 0);
      return;
    }
    // Of those under way there are few, so a number is free when its turn comes again.
    this.#last = (this.#last + 1) % 2 ** 32;
    this.#asked.set(this.#last, { ...question, ids: [], size: 0, open });
    this.#commands.members(this.#last, asks, room);
  }

  /** Notes that an I/O thread has answered in full; whether it was the last one. */
  #close(number: number, { open, ids, size, settle }: Asked, shard: number): boolean {
    open.delete(shard);
    if (open.size > 0) return false;
    this.#asked.delete(number);
    settle(ids, size);
    while (this.#asked.size < MAX_QUESTIONS) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#begin(next);
    }
    return true;
  }
}

function tooMany(): Error {
  const error = new Error(`more than ${MAX_WAITING} questions about members of rooms are pending`);
  return Object.assign(error, { code: "TOO_MANY_QUESTIONS" });
}
