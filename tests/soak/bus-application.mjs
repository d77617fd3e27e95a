// The application of the scenario "bus": rooms, and messages whose numbers tell what was lost, doubled or overtaken.
import { setTimeout as sleep } from "node:timers/promises";

import { zocket } from "@zocket/core";
import { nats, redis } from "@zocket/core/bus";
import { z } from "zod";

/** More than eight: a message for all of them travels on the channel for everybody. */
export const ROOMS = Array.from({ length: 12 }, (_, number) => `room ${number}`);

const room = z.object({ room: z.string() });
/** Rows that a message belongs to, each with the number that it has there, and who sent it. */
const numbered = z.object({ from: z.string(), rows: z.array(z.tuple([z.string(), z.number()])) });

export const zo = zocket.create({ headers: z.object({}) });

/** `handlers` are those of a server. */
export const routerOf = (handlers) =>
  zo.router(
    {
      join: zo.message.incoming({
        payload: room,
        reply: z.object({ id: z.string(), server: z.string() }),
      }),
      leave: zo.message.incoming({ payload: room, reply: z.null() }),
      poke: zo.message.incoming({ payload: z.object({ ids: z.array(z.string()) }) }),
      said: zo.message.outgoing({ payload: numbered }),
    },
    handlers,
  );

/** The option `bus`. */
export function busAt(kind, port) {
  const common = { prefix: "soak", required: true };
  return kind === "nats"
    ? nats({ ...common, servers: [`nats://127.0.0.1:${port}`] })
    : redis({ ...common, url: `redis://127.0.0.1:${port}` });
}

/** Sends numbered messages. Each row has numbers without a hole, so a client that sees one has missed something. */
export class Speaker {
  #send;
  #rows = new Map();
  #timer;

  /** `send` is a typed sender, and `name` no other speaker's. */
  constructor(send, name) {
    this.#send = send;
    this.name = name;
  }

  /** Says something so often a second, and now and then very much at once. */
  speak(perSecond) {
    clearInterval(this.#timer);
    if (perSecond === 0) return;
    this.#timer = setInterval(() => {
      const count = Math.random() < 0.005 ? 300 : 1;
      for (let n = 0; n < count; n++) this.#sayAnything();
    }, 1_000 / perSecond);
  }

  /** Says very much, turn after turn. */
  async burst() {
    for (let turn = 0; turn < 20; turn++) {
      for (let n = 0; n < 50; n++) this.#sayAnything();
      await sleep(1);
    }
  }

  #sayAnything() {
    const dice = Math.random();
    const [first, second] = [pick(ROOMS), pick(ROOMS)];
    if (dice < 0.6) this.#toRooms([first]);
    else if (dice < 0.75) this.#toRooms(first === second ? [first] : [first, second]);
    else if (dice < 0.8) this.#message(["many"]).toRoom(ROOMS);
    else this.#message(["all"]).broadcast();
  }

  /** Says something in every row there is, so that each hole before it shows. */
  sayLast(ids) {
    for (const room of ROOMS) this.#toRooms([room]);
    this.#message(["many"]).toRoom(ROOMS);
    this.#message(["all"]).broadcast();
    for (const id of ids) this.to([id]);
    return Object.fromEntries(this.#rows);
  }

  /** Says something to clients, each of another process. */
  to(ids) {
    this.#message(ids.map((id) => `client ${id}`)).to(ids);
  }

  #toRooms(rooms) {
    this.#message(rooms.map((name) => `in ${name}`)).toRoom(rooms);
  }

  #message(names) {
    const rows = names.map((name) => {
      const number = (this.#rows.get(name) ?? 0) + 1;
      this.#rows.set(name, number);
      return [name, number];
    });
    return this.#send({ from: this.name, rows });
  }
}

const pick = (list) => list[Math.floor(Math.random() * list.length)];
