// The clients of the scenario "mixed" that keep to the rules, on `ws`: each checks all that it gets.
import { WebSocket } from "ws";

import { WS } from "./ws.mjs";

const ROOMS = 20;
const SIZES = [0, 0, 1, 30, 30, 64, 64, 125, 126, 300, 1_000, 4_096, 16_384, 65_535, 65_536];

/** What a client does that is wrong, or runs into something wrong, with the code of the `$error` it gets. */
const FAULTS = [
  ["no envelope", "BAD_MESSAGE"],
  ['{"payload":1}', "BAD_MESSAGE"],
  [Buffer.from([0x22, 0xff, 0xfe, 0x22]), "BAD_MESSAGE"],
  ['{"type":"nowhere","payload":null}', "NO_ROUTE"],
  ['{"type":"onEcho","payload":null}', "NO_ROUTE"],
  ['{"type":"echo","payload":{"n":"1"}}', "INVALID_PAYLOAD"],
  ['{"type":"echo"}', "INVALID_PAYLOAD"],
  ['{"type":"even","payload":{"n":1}}', "REJECTED"],
  ['{"type":"throws","payload":{"n":1}}', "HANDLER_ERROR"],
  ['{"type":"rejects","payload":{"n":1}}', "HANDLER_ERROR"],
];

const counts = { actions: 0, received: 0, pongs: 0, closed: 0 };
const problems = [];
let talkers = [];
let talking = false;
let random = () => 0;

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const below = (limit) => Math.floor(random() * limit);
const pick = (list) => list[below(list.length)];

class Talker {
  #next = 0;
  /** Who waits for an answer; they come in the order of the questions. */
  #waiting = [];
  /** For each room it is in, the latest number of each sender. */
  #rooms = new Map();
  /** How often it said something in each room. */
  #said = new Map();

  constructor(port) {
    this.socket = new WebSocket(`ws://127.0.0.1:${port}/?kind=talker`, WS);
    this.socket.on("message", (data) => this.#take(JSON.parse(String(data))));
    this.socket.on("error", (error) => problems.push(error.message));
    this.closed = new Promise((resolve) => this.socket.once("close", resolve));
    this.opened = new Promise((resolve) => this.socket.once("open", resolve));
  }

  /** Sends, and waits for the answer, which `isRight` looks at as it comes. */
  ask(data, isRight) {
    return new Promise((resolve) => {
      this.#waiting.push({ isRight, resolve, data });
      this.socket.send(data);
    });
  }

  #say(type, payload, then = () => {}) {
    const wanted = JSON.stringify(payload);
    return this.ask(JSON.stringify({ type, payload }), (answer) => {
      then();
      return answer.type === "onEcho" && JSON.stringify(answer.payload) === wanted;
    });
  }

  #take({ type, payload }) {
    counts.received++;
    if (type === "onSaid") this.#hear(payload);
    else if (type === "onEcho" || type === "$error") this.#answer({ type, payload });
    else if (type !== "onShout") problems.push(`unexpected ${type}`);
  }

  #answer(answer) {
    const question = this.#waiting.shift();
    if (!question?.isRight(answer)) {
      const got = JSON.stringify(answer).slice(0, 100);
      problems.push(`${got} for ${String(question?.data).slice(0, 100)}`);
    }
    question?.resolve();
  }

  /** A message to a room: none before the join, none after the leave, and no sender's is missing or doubled between. */
  #hear({ room, from, n }) {
    const latest = this.#rooms.get(room);
    if (latest === undefined) {
      problems.push(`a message to ${room}, where it is not`);
      return;
    }
    const before = latest.get(from);
    if (before !== undefined && n !== before + 1) problems.push(`${n} after ${before} in ${room}`);
    latest.set(from, n);
  }

  echo() {
    const size = pick(SIZES);
    const text = below(3) === 0 ? "ü€😀\u0000\n".repeat(size / 11) : "x".repeat(size);
    return this.#say("echo", { n: this.#next++, text });
  }

  /** A hundred messages at once. */
  async burst() {
    const all = Array.from({ length: 100 }, () =>
      this.#say("echo", { n: this.#next++, text: "b" }),
    );
    await Promise.all(all);
  }

  /** Moves to another room, and stays in at most three. */
  async move() {
    const room = `room ${below(ROOMS)}`;
    const leave = (name) => this.#say("leave", { room: name }, () => this.#rooms.delete(name));
    if (this.#rooms.has(room)) {
      await leave(room);
      return;
    }
    if (this.#rooms.size === 3) await leave(pick([...this.#rooms.keys()]));
    this.#rooms.set(room, new Map());
    await this.#say("join", { room });
  }

  async talkInRoom() {
    const room = pick([...this.#rooms.keys()]);
    if (room === undefined) return;
    const n = this.#said.get(room) ?? 0;
    this.#said.set(room, n + 1);
    await this.#say("say", { room, n });
  }

  shout() {
    return this.#say("shout", { n: this.#next++ });
  }

  late() {
    return this.#say("late", { n: this.#next++ });
  }

  fault() {
    const [data, code] = pick(FAULTS);
    return this.ask(data, ({ type, payload }) => type === "$error" && payload.code === code);
  }

  ping() {
    const data = String(this.#next++);
    return new Promise((resolve) => {
      this.socket.once("pong", (answer) => {
        if (String(answer) !== data) problems.push(`pong ${answer} for ${data}`);
        counts.pongs++;
        resolve();
      });
      this.socket.ping(data);
    });
  }

  /** One thing of all it can do, the cheap ones more often. */
  async act() {
    const dice = below(100);
    if (dice < 40) await this.echo();
    else if (dice < 65) await this.talkInRoom();
    else if (dice < 75) await this.move();
    else if (dice < 85) await this.fault();
    else if (dice < 92) await this.ping();
    else if (dice < 97) await this.late();
    else if (dice < 99) await this.burst();
    else await this.shout();
    counts.actions++;
  }
}

/** Opens so many. */
export async function open(port, count, seed) {
  random = seeded(seed);
  talkers = Array.from({ length: count }, () => new Talker(port));
  await Promise.all(talkers.map(({ opened }) => opened));
}

let loops = [];

/** Lets all talk, with pauses of so many ms on average. */
export function talk(pause) {
  talking = true;
  loops = talkers.map(async (talker) => {
    while (talking) {
      await talker.act();
      await new Promise((resolve) => setTimeout(resolve, 2 * pause * random()));
    }
  });
}

/** Lets all come to rest: afterwards everything that was sent to them is read, and counted. */
export async function quiet() {
  talking = false;
  await Promise.all(loops);
  // Answers come in order with everything else, and whoever is answered last has heard the last of all others.
  for (let round = 0; round < 2; round++) await Promise.all(talkers.map((talker) => talker.echo()));
  return counts;
}

/** What was counted, and went wrong since this was asked last. */
export function found() {
  return { counts, problems: problems.splice(0) };
}

/** What was counted until now. */
export function counted() {
  return counts;
}

/** The codes they were closed with, once all are. */
export async function closed() {
  return [...new Set(await Promise.all(talkers.map((talker) => talker.closed)))];
}
