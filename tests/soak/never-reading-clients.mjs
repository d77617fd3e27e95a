// The clients of the scenario "never-reading": some read all, and some nothing until they are told to.
import { setTimeout as sleep } from "node:timers/promises";

import { Raw } from "./raw.mjs";

/** A reader says how far it is every so many messages. */
const EVERY = 8;

const problems = [];
let readers = [];
let others = [];

async function join(port) {
  const client = await Raw.open(port);
  client.next = 0;
  client.count = 0;
  client.onEnd = (why) => (client.ended = why);
  await new Promise((resolve) => {
    client.onMessage = resolve;
    client.say("join", { room: "news" });
  });
  return client;
}

const all = (port, count) => Promise.all(Array.from({ length: count }, () => join(port)));

/** Opens so many that read, each of which says how far it is. */
export async function read(port, count) {
  readers = await all(port, count);
  for (const client of readers) {
    client.onMessage = (text) => {
      const { n } = JSON.parse(text).payload;
      if (n !== client.next) problems.push(`a reader got ${n} instead of ${client.next}`);
      client.next = n + 1;
      client.count++;
      if (client.next % EVERY === 0) client.say("read", { n: client.next });
    };
    client.say("read", { n: 0 });
  }
}

/** Opens so many that do not. */
export async function ignore(port, count) {
  others = await all(port, count);
  for (const client of others) client.socket.pause();
}

/** Lets those read what there is for them, too: some of it, in order. */
export function resume() {
  for (const client of others) {
    client.onMessage = (text) => {
      const { n } = JSON.parse(text).payload;
      if (n < client.next) problems.push(`${n} after ${client.next - 1}`);
      client.next = n + 1;
      client.count++;
    };
    client.socket.resume();
  }
}

/** How many messages each got once each has so many, or is gone; the first list those who read. */
export async function counted(readersWant) {
  while (readers.some(({ count, ended }) => count < readersWant && !ended)) await sleep(20);
  return { readers: readers.map(({ count }) => count), others: others.map(({ count }) => count) };
}

/** How many of those who did not read are gone by now. */
export function gone() {
  return others.filter(({ ended }) => ended !== undefined).length;
}

/** What went wrong, and how readers ended, if they did. */
export function found() {
  const ended = readers.filter((client) => client.ended !== undefined);
  return [...problems.splice(0), ...ended.map((client) => `a reader ended by ${client.ended}`)];
}
