// The honest clients of the scenario "hostile": some talk all the time, and one after the other comes, asks, and goes.
import { createHistogram } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

import { Raw } from "./raw.mjs";

/** In ms: slow enough for a server that takes ten upgrades a second of an address, and twenty messages of a client. */
const PAUSE = 200;
/** Messages of a client in one go. */
const IN_ONE_GO = 3;
/** No attack comes from here, where there is a choice. */
const ADDRESS = "127.0.0.1";

const problems = [];
const counts = { said: 0, heard: 0, visits: 0 };
/** In µs. */
const answers = createHistogram();
const visits = createHistogram();
let talkers = [];
let loops = [];
let talking = false;

const record = (histogram, since) =>
  histogram.record(Math.max(1, Math.round((performance.now() - since) * 1_000)));

class Talker {
  #said = 0;
  #heard = 0;
  /** When what is not answered was said. */
  #since = [];
  #answered = () => {};

  static async open(port) {
    const talker = new Talker();
    talker.raw = await Raw.open(port, "", ADDRESS);
    talker.raw.onMessage = (text) => talker.#hear(JSON.parse(text));
    talker.closed = new Promise((resolve) => (talker.raw.onEnd = resolve));
    void talker.closed.then((why) => {
      if (why !== 1001) problems.push(`an honest client ended by ${why}`);
      talker.#answered();
    });
    return talker;
  }

  /** Says some things; resolves when the last is answered. */
  async talk() {
    const answered = new Promise((resolve) => (this.#answered = resolve));
    for (let n = 0; n < IN_ONE_GO; n++) {
      this.#since.push(performance.now());
      this.raw.say("echo", { n: this.#said++, text: "x".repeat(30) });
      counts.said++;
    }
    await answered;
  }

  #hear({ type, payload }) {
    counts.heard++;
    if (type !== "onEcho" || payload.n !== this.#heard) {
      problems.push(`${type} ${payload.n ?? payload.code} instead of onEcho ${this.#heard}`);
    }
    this.#heard++;
    const since = this.#since.shift();
    if (since !== undefined) record(answers, since);
    if (this.#since.length === 0) this.#answered();
  }
}

/** Opens so many. */
export async function open(port, count) {
  for (let n = 0; n < count; n++) {
    talkers.push(await Talker.open(port));
    await sleep(PAUSE / 2);
  }
}

/** Lets all talk, and others come and go. */
export function talk(port) {
  talking = true;
  answers.reset();
  visits.reset();
  loops = talkers.map(async (talker) => {
    while (talking && typeof talker.raw.ending !== "number") {
      await talker.talk();
      await sleep(PAUSE);
    }
  });
  loops.push(visitAgain(port));
}

async function visitAgain(port) {
  while (talking) {
    const since = performance.now();
    const why = await visit(port);
    record(visits, since);
    counts.visits++;
    if (why !== 1000) problems.push(`an honest visitor ended by ${why}`);
    await sleep(PAUSE);
  }
}

/** Comes, asks, and goes after the answer; how it ended. */
function visit(port) {
  return new Promise((resolve) => {
    const raw = new Raw(port, "", ADDRESS);
    raw.onOpen = () => raw.say("echo", { n: 0, text: "visit" });
    raw.onMessage = () => raw.close();
    raw.onEnd = resolve;
  });
}

/** Lets all come to rest; what was counted. */
export async function quiet() {
  talking = false;
  await Promise.all(loops);
  return { ...counts, answers: figures(answers), visitors: figures(visits) };
}

const figures = (histogram) => ({
  p50: histogram.percentile(50) / 1_000,
  p99: histogram.percentile(99) / 1_000,
  max: histogram.max / 1_000,
});

/** What went wrong since this was asked last. */
export function found() {
  return problems.splice(0);
}
