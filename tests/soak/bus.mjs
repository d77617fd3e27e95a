// Three servers and a publisher on one bus, while processes and the bus are killed.
import { setTimeout as sleep } from "node:timers/promises";

import { BUSES, freePort } from "../../scripts/buses.mjs";
import { BusProcess } from "./bus-process.mjs";
import { Actor, eventually } from "./processes.mjs";
import { mib } from "./report.mjs";

const SERVERS = 3;
/** After this long, what waited for the bus has left or was dropped, and what was written has its answer or none. */
const SETTLED = 7_000;
/** A hole shows at most so many ms after the fault of the bus that made it. */
const SHOWN = 20_000;
/** What memory of a process that lives on may grow by, in the second half. */
const GROWTH = 24 * 2 ** 20;
const SHORT = ["server", "bus", "pause", "cut", "server", "long"];

export const title = "several servers on a bus, while servers and the bus are killed";

export async function run(report, { short, minutes, bus: kind, isAlone }) {
  if (!BUSES[kind].installed()) {
    report.figure("skipped", `there is no server of ${kind}`);
    return;
  }
  const seconds = 60 * (isAlone ? minutes : Math.min(minutes, 10));
  const soak = new Soak(report, kind, short);
  await soak.start();
  const faults = (short ? SHORT : faultsFor(seconds, soak.every)).map((fault) => {
    return fault === "cut" && kind !== "redis" ? "pause" : fault;
  });
  for (const [n, fault] of faults.entries()) {
    await soak.watch(soak.every);
    // In the second half the first server is spared, so that its memory can be looked at.
    await soak.fault(fault, n * 2 >= faults.length);
    if (n * 2 >= faults.length) await soak.weigh();
    if (n % 6 === 5) await soak.tell(`${n + 1} of ${faults.length} faults`);
  }
  await soak.watch(soak.every);
  await soak.end();
}

/** Mostly kills; those of a server and of the bus as often. After a `long` absence of the bus, publications were dropped. */
function faultsFor(seconds, every) {
  const kinds = ["server", "server", "server", "bus", "bus", "long", "pause", "cut"];
  return Array.from({ length: Math.floor((seconds * 1000) / every) }, () => pick(kinds));
}

const pick = (list) => list[Math.floor(Math.random() * list.length)];
const between = (least, most) => least + Math.random() * (most - least);

class Soak {
  #servers = [];
  /** All servers that there were, by name: their last samples, and the first ones. */
  #known = new Map();
  /** When the bus was away, and until when. */
  #outages = [];
  #kills = { server: 0, bus: 0, long: 0, pause: 0, cut: 0 };
  /** What questions to all servers came to: `answered`, or a code. */
  #answers = {};
  #weights;

  constructor(report, kind, short) {
    this.report = report;
    this.kind = kind;
    this.short = short;
    this.every = short ? 3_500 : 20_000;
  }

  async start() {
    const { report, kind } = this;
    this.bus = new BusProcess(kind);
    await this.bus.start();
    this.clients = await Actor.start("./bus-clients.mjs");
    this.publisher = await Actor.start("./bus-publisher.mjs", "--expose-gc");
    this.publisherName = (await this.publisher.call("start", kind, this.bus.port)).name;
    for (let slot = 0; slot < SERVERS; slot++) await this.#startServer(slot);
    await this.clients.call("open", this.short ? 30 : 60);
    await this.publisher.call("speak", 40);
    await this.clients.call("move", 20);
    report.progress(`${SERVERS} servers, a publisher and their clients on ${kind}`);
  }

  async #startServer(slot) {
    const port = this.#servers[slot]?.port ?? (await freePort());
    const actor = await Actor.start("./bus-server.mjs", "--expose-gc");
    const { name } = await actor.call("start", this.kind, this.bus.port, port);
    this.#servers[slot] = { actor, port, name, slot };
    await this.clients.call("setPort", slot, port);
    await actor.call("speak", 40);
  }

  /** Looks at everybody for so many ms. */
  async watch(ms) {
    for (let passed = 0; passed < ms; passed += 1_000) {
      await sleep(Math.min(1_000, ms - passed));
      await this.#look();
    }
  }

  async #look() {
    const { report } = this;
    for (const { actor, name } of this.#servers)
      this.#note(name, actor, await actor.call("sample"));
    this.#note(this.publisherName, this.publisher, await this.publisher.call("sample"));
    const { problems } = await this.clients.call("found");
    report.none("what clients saw", problems);
    void this.#ask(pick(this.#servers).actor);
  }

  /** A question to all servers. While some are gone, or the bus is, it may fail. */
  async #ask(actor) {
    // Its process may be killed meanwhile.
    const { code = "answered" } = await actor.call("ask").catch(() => ({ code: "killed" }));
    this.#answers[code] = (this.#answers[code] ?? 0) + 1;
    const known = ["answered", "killed", "PARTIAL", "BUS"].includes(code);
    this.report.check("questions are answered, or fail with a code", known, code);
  }

  /** What has to be so of one process at any moment. */
  #note(name, actor, { at, metrics, problems }) {
    const { report } = this;
    const { bus, sent, written, queued, dropped, connections = 0 } = metrics;
    report.none("what a server saw", problems);
    const { published, confirmed, unconfirmed, dropped: lost, queued: waiting } = bus;
    const sum = confirmed + unconfirmed + lost + waiting;
    report.equal("published = confirmed + unconfirmed + dropped + queued", published, sum);
    if (sent !== undefined) {
      report.equal("sent = written + queued + dropped", sent, written + queued + dropped);
    }
    const looks = { threads: actor.threads(), files: (actor.files() ?? 0) - connections };
    const known = this.#known.get(name);
    if (!known) {
      this.#known.set(name, { first: looks, at, bus });
      return;
    }
    for (const key of Object.keys(bus)) {
      const grows = typeof bus[key] === "number" && key !== "queued" && key !== "rooms";
      if (grows) report.check(`${key} never sinks`, bus[key] >= known.bus[key]);
    }
    // The system may start one for a moment. One that stays is seen three times in a row.
    known.grown = looks.threads > known.first.threads ? (known.grown ?? 0) + 1 : 0;
    report.check("threads stay", known.grown < 3, `${known.first.threads}, then ${looks.threads}`);
    // Clients come and go between the two looks, and so does the connection to the bus.
    report.check("files stay", looks.files <= known.first.files + 30, JSON.stringify(looks));
    Object.assign(known, { at, bus });
  }

  async fault(kind, spare) {
    this.#kills[kind]++;
    if (kind === "server")
      return this.#killServer(pick(spare ? this.#servers.slice(1) : this.#servers));
    const outage = { from: Date.now(), to: Infinity };
    this.#outages.push(outage);
    // Much is under way when it happens.
    for (const { actor } of this.#servers) void actor.call("burst");
    if (kind === "bus" || kind === "long") {
      await sleep(between(0, 20));
      await this.bus.kill();
      await this.watch(kind === "bus" ? between(100, 1_500) : between(6_000, 9_000));
      await this.bus.start();
    } else if (kind === "pause") {
      await this.bus.pause(between(1_000, this.short ? 4_500 : 8_000));
    } else {
      await this.bus.cut();
    }
    outage.to = Date.now();
    return undefined;
  }

  async #killServer({ slot, actor }) {
    // So fresh that little is not known of it.
    await this.#look();
    await this.clients.call("setPort", slot, undefined);
    await actor.end();
    await sleep(between(0, 1_000));
    await this.#startServer(slot);
  }

  /** Notes the memory of those who live on. */
  async weigh() {
    const now = await Promise.all(
      [this.#servers[0].actor, this.publisher].map((actor) => actor.call("memory")),
    );
    this.#weights ??= now;
    this.weight = now;
  }

  async tell(what) {
    const { counts } = await this.clients.call("found");
    const { received, connections } = counts;
    const rss = this.weight ? `, ${this.weight.map((it) => mib(it.rss)).join(" and ")}` : "";
    this.report.progress(`${what}, ${received} received, ${connections} connections${rss}`);
  }

  /** Lets it all settle, has everybody say something in each row, and counts. */
  async end() {
    const { report, clients, publisher } = this;
    await clients.call("move", 0);
    const speakers = [...this.#servers.map(({ actor }) => actor), publisher];
    for (const actor of speakers) await actor.call("speak", 0);
    await this.watch(SETTLED);
    const settled = await eventually(() => clients.call("isSettled"));
    report.check("all clients are connected at the end", settled);
    for (const { actor } of this.#servers) await actor.call("synced");
    const ids = await clients.call("ids");
    const people = JSON.stringify(await clients.call("people"));
    for (const { actor } of this.#servers) {
      await eventually(async () => JSON.stringify(await actor.call("ask")) === people, 10_000);
      report.equal("who is where", JSON.stringify(await actor.call("ask")), people);
    }
    const last = {};
    for (const { actor, name } of this.#servers) last[name] = await actor.call("sayLast", ids);
    last[this.publisherName] = await publisher.call("sayLast", ids);
    await publisher.call("flush").catch(() => {});
    await clients.call("expect", last);
    await eventually(async () => (await clients.call("lacking")).length === 0, 10_000);
    report.none("what was said last reaches everybody", await clients.call("lacking"));
    await this.#look();
    await this.#account();
    await clients.call("close");
    for (const { actor } of this.#servers) await actor.call("stop");
    await publisher.call("stop");
    for (const actor of speakers) await report.endsWell(actor);
    await clients.end();
    await this.bus.kill();
  }

  /** Each hole that a client of a server saw is in that server's `missed`, and was made by a fault of the bus. */
  async #account() {
    const { report } = this;
    const missed = await this.clients.call("missed");
    let holes = 0;
    const books = {
      published: 0,
      confirmed: 0,
      unconfirmed: 0,
      dropped: 0,
      received: 0,
      missed: 0,
    };
    for (const [name, { at, bus }] of this.#known) {
      for (const key of Object.keys(books)) books[key] += bus[key];
      // What clients saw after the last look at a server that was killed, nobody can compare.
      const seen = (missed[name] ?? []).filter((hole) => hole.at <= at);
      holes += seen.length;
      const counted = `${seen.length} seen by clients, ${bus.missed} counted`;
      report.check("what clients missed is counted as missed", seen.length <= bus.missed, counted);
      const strange = seen.filter(({ at: noticed, isRare }) => {
        const isOf = ({ from, to }) => noticed >= from && noticed <= to + SHOWN;
        return !isRare && !this.#outages.some(isOf);
      });
      report.equal("holes that no fault of the bus made", strange.length, 0);
    }
    const { counts } = await this.clients.call("found");
    const kills = Object.entries(this.#kills).map(([what, count]) => `${what} ${count}`);
    report.figure("faults", kills.join(", "));
    report.figure("questions to all servers", JSON.stringify(this.#answers));
    report.figure("servers that there were", this.#known.size - 1);
    report.figure(
      "connections of clients, cut off with their server",
      `${counts.connections}, ${counts.cut}`,
    );
    report.figure("messages that clients received and checked", counts.received);
    report.figure(
      "publications: confirmed, unconfirmed, dropped",
      [books.confirmed, books.unconfirmed, books.dropped].join(", "),
    );
    report.figure(
      "publications received; missed, as counted",
      `${books.received}; ${books.missed}`,
    );
    report.figure(
      "holes that clients saw, not explained",
      `${holes}, ${report.failures.length === 0 ? 0 : "some"}`,
    );
    if (this.#weights === undefined) return;
    for (const [n, who] of ["a server", "the publisher"].entries()) {
      const [before, after] = [this.#weights[n].rss, this.weight[n].rss];
      report.bytes(`memory of ${who} that lives on, in the second half`, after - before, GROWTH);
    }
  }
}
