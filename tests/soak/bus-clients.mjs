// The clients of the scenario "bus", on `ws`. Each notes every number it gets, of each sender in each row.
import { once } from "node:events";

import { WebSocket } from "ws";

import { ROOMS } from "./bus-application.mjs";
import { WS } from "./ws.mjs";

const counts = { received: 0, moves: 0, connections: 0, cut: 0 };
const problems = [];
const listeners = [];
/** The ports of the servers, by slot. One that is down has none. */
let ports = [];
/** For each server by its name: what its clients missed, with the moment when the first of them noticed. */
const missing = new Map();
/** The highest number in each row of each sender that the sender says it has used. */
let last;
let timer;

const pick = (list) => list[Math.floor(Math.random() * list.length)];

class Listener {
  /** Rooms that it may be in, and whether it surely is. The first is never left. */
  rooms = new Map();
  #numbers = new Map();
  #waiting = new Map();
  #nextId = 0;
  #isLeaving = false;
  id = "";
  server = "";
  isOpen = false;

  /** Connects to any server that is there, until one takes it. */
  async open() {
    for (;;) {
      const slots = ports.flatMap((port, slot) => (port === undefined ? [] : [slot]));
      if (slots.length > 0 && (await this.#tryOpen(pick(slots)))) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async #tryOpen(slot) {
    this.slot = slot;
    this.#isLeaving = false;
    const socket = new WebSocket(`ws://127.0.0.1:${ports[slot]}/`, WS);
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("message", (data) => this.#take(JSON.parse(String(data))));
    socket.on("close", (code) => this.#closed(socket, code));
    try {
      await once(socket, "open");
      const home = pick(ROOMS);
      const { id, server } = await this.join(home);
      Object.assign(this, { id, server, home });
      await this.join(pick(ROOMS));
      await this.join(pick(ROOMS));
      this.isOpen = true;
      counts.connections++;
      return true;
    } catch {
      socket.terminate();
      return false;
    }
  }

  #closed(socket, code) {
    if (socket !== this.socket) return;
    for (const { reject } of this.#waiting.values()) reject(new Error("closed"));
    this.#waiting.clear();
    this.rooms.clear();
    this.#numbers.clear();
    this.id = "";
    if (!this.isOpen) return;
    this.isOpen = false;
    if (!this.#isLeaving) {
      counts.cut++;
      if (ports[this.slot] !== undefined) {
        problems.push(`a client was closed with ${code} although its server is up`);
      }
    }
    void this.open();
  }

  #call(type, room) {
    const id = ++this.#nextId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ type, id, payload: { room } }));
    });
  }

  async join(room) {
    if (!this.rooms.has(room)) this.rooms.set(room, false);
    const answer = await this.#call("join", room);
    this.rooms.set(room, true);
    return answer;
  }

  async leave(room) {
    this.rooms.set(room, false);
    await this.#call("leave", room);
    this.rooms.delete(room);
    for (const key of this.#numbers.keys()) {
      if (key.endsWith(` in ${room}`)) this.#numbers.delete(key);
    }
  }

  /** Goes away without a word, and comes back to any server. */
  vanish() {
    this.#isLeaving = true;
    this.socket.terminate();
  }

  poke(ids) {
    this.socket.send(JSON.stringify({ type: "poke", payload: { ids } }));
  }

  #take({ type, id, payload }) {
    if (type === "$reply") {
      this.#waiting.get(id)?.resolve(payload);
      this.#waiting.delete(id);
      return;
    }
    if (type !== "said") {
      problems.push(`unexpected ${type}: ${JSON.stringify(payload)}`);
      return;
    }
    counts.received++;
    // Until the first answer it knows neither itself nor its server.
    if (this.id === "") return;
    const { from, rows } = payload;
    if (!rows.some(([row]) => this.#mayGet(row))) {
      problems.push(`a message for others: ${JSON.stringify(payload)}`);
    }
    for (const [row, number] of rows) {
      const isOneOfMany = row.startsWith("in ") && rows.length > 1;
      if (this.#gets(row)) this.#note(from, row, number, isOneOfMany);
    }
  }

  #mayGet(row) {
    return this.#gets(row) || (row.startsWith("in ") && this.rooms.has(row.slice(3)));
  }

  /** Whether it gets all of a row. Of a room that it is about to join or leave, it may get messages for several rooms alone. */
  #gets(row) {
    if (row === "all" || row === "many") return true;
    return row.startsWith("in ")
      ? this.rooms.get(row.slice(3)) === true
      : row === `client ${this.id}`;
  }

  #note(from, row, number, isOneOfMany) {
    const key = `${from} ${row}`;
    const before = this.#numbers.get(key);
    // A message for several rooms may come on the channel of another one, which says nothing of what its own channel brings.
    if (before === undefined && isOneOfMany) return;
    this.#numbers.set(key, number);
    if (before === undefined || number === before + 1) return;
    if (number <= before) {
      problems.push(`${number} of ${key} came after ${before}`);
      return;
    }
    if (from === this.server) {
      problems.push(`${number} of its own server came after ${before}, in ${row}`);
      return;
    }
    if (!missing.has(this.server)) missing.set(this.server, new Map());
    const ofServer = missing.get(this.server);
    for (let one = before + 1; one < number; one++) {
      const name = `${key} ${one}`;
      if (!ofServer.has(name)) ofServer.set(name, Date.now());
    }
  }

  /** The rows of which it has not got the last number. */
  lacks() {
    return Object.entries(last).flatMap(([from, rows]) => {
      const mine = Object.entries(rows).filter(([row]) => this.#gets(row));
      return mine
        .filter(([row, number]) => this.#numbers.get(`${from} ${row}`) !== number)
        .map(([row, number]) => `${number} of ${from} ${row}`);
    });
  }
}

/** A server has come or, without a port, gone. */
export function setPort(slot, port) {
  ports[slot] = port;
}

export async function open(count) {
  for (let n = 0; n < count; n++) listeners.push(new Listener());
  await Promise.all(listeners.map((listener) => listener.open()));
}

/** Comes, goes, changes rooms and pokes, so often a second. */
export function move(perSecond) {
  clearInterval(timer);
  if (perSecond > 0) timer = setInterval(moveOne, 1_000 / perSecond);
}

function moveOne() {
  const listener = pick(listeners);
  if (!listener.isOpen || listener.socket.readyState !== WebSocket.OPEN) return;
  counts.moves++;
  const dice = Math.random();
  if (dice < 0.03) {
    listener.vanish();
  } else if (dice < 0.3) {
    const room = pick(ROOMS);
    // Whoever is closed meanwhile begins anew.
    const change = async () => {
      const isIn = listener.rooms.get(room);
      if (isIn === undefined) await listener.join(room);
      else if (isIn && room !== listener.home) await listener.leave(room);
    };
    change().catch(() => {});
  } else {
    listener.poke(someOfEach());
  }
}

/** The id of a client of each server. */
function someOfEach() {
  const open = listeners.filter(({ isOpen }) => isOpen);
  const ids = ports.flatMap((_, slot) => {
    const there = open.filter((listener) => listener.slot === slot);
    return there.length > 0 ? [pick(there).id] : [];
  });
  return ids.filter((id) => id !== "");
}

export const isSettled = () =>
  listeners.every(({ isOpen, id, socket }) => {
    return isOpen && id !== "" && socket.readyState === WebSocket.OPEN;
  });
/** What servers have to know of them. */
export const people = () => ({
  all: listeners.length,
  rooms: ROOMS.map((room) => listeners.filter(({ rooms }) => rooms.has(room)).length),
});
export const ids = () => listeners.map(({ id }) => id);

/** Sets the last numbers of all senders by their names. */
export function expect(numbers) {
  last = numbers;
}
/** What is still to come. */
export const lacking = () => listeners.flatMap((listener) => listener.lacks());

/** What was found so far. */
export function found() {
  return { counts, problems: problems.splice(0) };
}
/** By server: when something was noticed to be missing, and whether it was in a row that seldom has a message. */
export const missed = () =>
  Object.fromEntries(
    [...missing].map(([server, names]) => {
      const found = [...names].map(([name, at]) => ({ at, isRare: name.includes(" client ") }));
      return [server, found];
    }),
  );

export function close() {
  for (const listener of listeners) {
    listener.isOpen = false;
    listener.socket.terminate();
  }
}
