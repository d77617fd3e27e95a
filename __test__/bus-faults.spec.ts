// What happens to the bus, to the network and to processes: local delivery goes on, the counters explain each message, and
// everything comes back.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { describe, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { counters, EVERYBODY, heard, join, PREFIX, saidTo, settle, toldOf, watch } from "./_bus.ts";
import type { BusMetrics } from "@zocket/core/bus";

import { Child, portOf } from "./_child.ts";
import { Network } from "./_partition.ts";
import { needsRedis, Redis } from "./_redis.ts";
import { Client, type App } from "./_support.ts";
import { PATIENCE, soon, until } from "./_wait.ts";

/** Two servers with a client each, and counters that are looked at all the time. */
async function pair(t: TestContext, bus: { readonly url: string }) {
  const [one, two] = [await join(t, bus), await join(t, bus)];
  const [here, there] = [await Client.open(t, one.url), await Client.open(t, two.url)];
  watch(t, one, two);
  // From here on the other one knows the numbers.
  one.shout("first");
  await until("the first", () => heard(there, "first") === 1);
  return { one, two, here, there };
}

/** Sends numbers from one server until it is told to stop; returns how many. */
function talk(app: App, everyMs: number) {
  let count = 0;
  const timer = setInterval(() => app.shout(++count), everyMs);
  return () => {
    clearInterval(timer);
    return count;
  };
}

/** The numbers that a client got, in the order in which they came. */
const numbersOf = (client: Client) =>
  saidTo(client).filter((it): it is number => typeof it === "number");

/** Asserts that a client got each number once and in order, or at least none twice and none before an earlier one. */
function assertLocal(client: Client, count: number): void {
  assert.deepEqual(
    numbersOf(client),
    Array.from({ length: count }, (_, index) => index + 1),
  );
}

function assertRemote(client: Client): number {
  const numbers = numbersOf(client);
  for (const [index, number] of numbers.entries()) {
    assert.ok(index === 0 || number > (numbers[index - 1] as number), "in order, and none twice");
  }
  return numbers.length;
}

/** Each publication of one server came to the other or is missed. */
function assertBooks(t: TestContext, from: App, to: App): void {
  const [sent, got] = [counters(from), counters(to)];
  t.diagnostic(
    `${sent.published} published = ${sent.confirmed} confirmed + ${sent.unconfirmed} unconfirmed + ${sent.dropped} dropped = ${got.received} received + ${got.missed} missed`,
  );
  assert.equal(sent.queued, 0);
  assert.equal(got.received + got.missed, sent.published, JSON.stringify({ sent, got }));
  assert.ok(got.received <= sent.confirmed + sent.unconfirmed, JSON.stringify({ sent, got }));
}

describe("an outage", needsRedis, () => {
  test("of 20 s costs other processes the messages of that time, and nobody else anything", async (t) => {
    const bus = await Redis.start(t);
    const { one, two, here, there } = await pair(t, bus);
    bus.pause();
    t.after(() => bus.resume());
    const stop = talk(one, 25);
    const since = performance.now();
    while (performance.now() - since < 20_000) {
      await sleep(100);
      const { queued } = counters(one);
      // 5 s of 40 a second; a machine under load may be late.
      assert.ok(queued < 800, `${queued} wait`);
    }
    assert.ok(counters(one).dropped > 0);
    bus.resume();
    await until("the return of both", () => counters(one).connected && counters(two).connected);
    const count = stop();
    await settle(one, there);
    await until("the local ones", () => numbersOf(here).length >= count);
    assertLocal(here, count);
    assertRemote(there);
    assertBooks(t, one, two);
    for (const app of [one, two]) {
      await until("the news of both", () => toldOf(app).length >= 2);
      assert.deepEqual(
        toldOf(app).map((it) => it.connected),
        [false, true],
      );
      assert.match(toldOf(app)[0]?.text ?? "", /it has not answered for 3 s/);
    }
  });

  for (const [name, directions] of [
    ["what goes there", { there: true }],
    ["what comes back", { back: true }],
    ["both directions", { there: true, back: true }],
  ] as const) {
    test(`of the network, which swallows ${name}, is found and healed`, async (t) => {
      const bus = await Redis.start(t);
      const network = await Network.to(t, bus.port);
      const one = await join(t, network);
      const two = await join(t, bus);
      const [here, there] = [await Client.open(t, one.url), await Client.open(t, two.url)];
      watch(t, one, two);
      one.shout("first");
      two.shout("first");
      await until("the first", () => heard(there, "first") === 2 && heard(here, "first") === 2);
      const [stopOne, stopTwo] = [talk(one, 20), talk(two, 20)];
      await until("some", () => numbersOf(there).length > 10);
      network.cut(directions);
      await until("the outage", () => !counters(one).connected);
      // Attempts to connect are cut too.
      await sleep(1_000);
      assert.equal(counters(two).connected, true);
      network.heal();
      await until("the return", () => counters(one).connected);
      stopOne();
      stopTwo();
      await until("all confirmed", () => counters(one).queued + counters(two).queued === 0);
      await settle(one, there);
      await settle(two, here);
      assertBooks(t, one, two);
      assertBooks(t, two, one);
      await until("the news of both", () => toldOf(one).length >= 2);
      assert.deepEqual(
        toldOf(one).map((it) => it.connected),
        [false, true],
      );
      assert.deepEqual(toldOf(two), []);
      assert.equal(counters(one).reconnects, 1);
    });
  }

  test("ends while new rooms come all the time", async (t) => {
    const bus = await Redis.start(t);
    const one = await join(t, bus);
    const two = await join(t, bus, {
      say: (room, ctx) => {
        ctx.rooms.join(`room ${String(room)}`);
        ctx.rooms.leave(`room ${Number(room) - 200}`);
      },
    });
    const there = await Client.open(t, two.url);
    let room = 0;
    const timer = setInterval(() => {
      for (let turn = 0; turn < 20; turn += 1) there.say(room++);
    }, 5);
    t.after(() => clearInterval(timer));
    await bus.kill();
    await until("the outage", () => !counters(two).connected);
    await bus.again();
    await until("the return of both", () => counters(one).connected && counters(two).connected);
    await two.server.synced();
    one.shout("after");
    await until("what was sent after", () => heard(there, "after") === 1);
    assert.ok(room > 200);
  });

  test("leaves no descriptor and no thread behind, however often it happens", async (t) => {
    const bus = await Redis.start(t);
    const { one, two, here, there } = await pair(t, bus);
    const kept = () =>
      ["fd", "task"].map((folder) =>
        process.platform === "linux" ? readdirSync(`/proc/self/${folder}`).length : 0,
      ) as [number, number];
    let before = kept();
    for (let turn = 0; turn < 6; turn += 1) {
      const [last, other] = [counters(one).reconnects, counters(two).reconnects];
      await bus.command("CLIENT", "KILL", "TYPE", turn % 2 === 0 ? "pubsub" : "normal");
      await until("new connections", () => {
        one.shout("x".repeat(1_000));
        return counters(one).reconnects > last && counters(two).reconnects > other;
      });
      await until("both", () => counters(one).connected && counters(two).connected);
      if (turn === 0) before = kept();
    }
    await settle(one, there);
    await settle(two, here);
    assertBooks(t, one, two);
    await until("the descriptors", () => kept()[0] <= before[0]);
    await until("the threads", () => kept()[1] <= before[1]);
    assert.ok(counters(one).reconnects >= 6 && counters(two).reconnects >= 6);
    await until("the last news", () => toldOf(one).length >= 2 * counters(one).reconnects);
    const news = toldOf(one).map((it) => it.connected);
    assert.deepEqual(
      news,
      Array.from({ length: news.length }, (_, index) => index % 2 === 1),
    );
    assert.equal(news.length, 2 * counters(one).reconnects);
  });

  test("lets ten thousand rooms be joined, and reads all of them at its end", async (t) => {
    const bus = await Redis.start(t);
    const one = await join(t, bus);
    const two = await join(t, bus, { options: { maxRoomsPerClient: 10_000 } });
    const [there, other] = [await Client.open(t, two.url), await Client.open(t, two.url)];
    watch(t, one, two);
    await bus.kill();
    await until("the outage", () => !counters(two).connected);
    for (let room = 0; room < 10_000; room += 1) there.send("join", `room ${room}`);
    await until("the joins", () => saidTo(there).length === 10_000);
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    await bus.again();
    const since = performance.now();
    let worst = 0;
    while (!(counters(two).connected && (await channels(bus)) === 10_000)) {
      const before = performance.now();
      await other.roundTrip();
      worst = Math.max(worst, performance.now() - before);
      assert.ok(before - since < PATIENCE, "waited in vain for the rooms");
    }
    const took = performance.now() - since;
    delay.disable();
    t.diagnostic(
      `10,000 rooms were read ${took.toFixed(0)} ms after Redis was there again, with the wait before the attempt; the longest delay of the event loop was ${(delay.max / 1e6).toFixed(0)} ms, the longest round trip of another client ${worst.toFixed(0)} ms`,
    );
    await Promise.all([one.server.synced(), two.server.synced()]);
    assert.equal(counters(two).rooms, 10_000);
    for (let room = 0; room < 10_000; room += 1) one.server.send.said(room).toRoom(`room ${room}`);
    await until("all of them", () => saidTo(there).length === 20_000);
    assert.deepEqual([counters(two).missed, counters(two).received], [0, 10_000]);
  });
});

/** How many channels of rooms Redis reads to somebody. */
const channels = (bus: Redis) =>
  bus.script(`return #redis.call("PUBSUB", "CHANNELS", "${PREFIX}:r:*")`);

describe("credentials that change while a server is connected", needsRedis, () => {
  test("are an outage that says so, and end it when they are right again", async (t) => {
    const bus = await Redis.start(t);
    const { one, here } = await pair(t, bus);
    await bus.command("CONFIG", "SET", "requirepass", "new-secret");
    await bus.as("new-secret", "CLIENT", "KILL", "TYPE", "pubsub");
    await until("the reason", () => toldOf(one).some(({ text }) => /password/.test(text)));
    one.shout("meanwhile");
    await until("the local client", () => heard(here, "meanwhile") === 1);
    await bus.as("new-secret", "CONFIG", "SET", "requirepass", "");
    await until("the return", () => counters(one).connected);
    // It was closed first, and then refused.
    await until("the news of it", () => toldOf(one).at(-1)?.connected === true);
    const news = toldOf(one).map((it) => it.connected);
    assert.deepEqual(news, [false, false, true]);
  });

  test("a user who loses the channels is told so, and is back with them", async (t) => {
    const bus = await Redis.start(t);
    const all = ["on", ">pass", "resetchannels", `&${PREFIX}:*`, "+@all"];
    await bus.command("ACL", "SETUSER", "app", ...all);
    const app = await join(t, bus, {}, { username: "app", password: "pass" });
    await bus.command("ACL", "SETUSER", "app", "resetchannels", "&elsewhere");
    await until("the reason", () => toldOf(app).some(({ text }) => /permit/.test(text)));
    assert.equal(counters(app).connected, false);
    await bus.command("ACL", "SETUSER", "app", ...all);
    await until("the return", () => counters(app).connected);
    await until("the news of it", () => toldOf(app).at(-1)?.connected === true);
  });
});

describe("a process", needsRedis, () => {
  /** A server in a process of its own, which says what it counts when it is asked. */
  async function apart(t: TestContext, bus: { readonly url: string }) {
    const child = Child.node(
      t,
      `const { redis } = await import("@zocket/core/bus");
      const bus = redis({ url: "${bus.url}", prefix: "${PREFIX}", required: true });
      hooks.say = (payload, ctx) => ctx.send.said(payload).broadcast();
      const server = createServer(router, zo, { ...local, bus, onError() {} });
      await server.ready();
      process.stdin.on("data", () => console.log("counters " + JSON.stringify(server.metrics().bus) + ";"));
      tell(server);`,
    );
    const url = `ws://127.0.0.1:${await portOf(child)}`;
    const count = async () => {
      child.out = "";
      child.tell("counters");
      return JSON.parse(await child.printed(/counters (.*?);/)) as BusMetrics;
    };
    return { child, url, count };
  }

  test("of three that is killed takes its own clients with it, and no message of the others", async (t) => {
    const bus = await Redis.start(t);
    const { one, two, here, there } = await pair(t, bus);
    const third = await apart(t, bus);
    const far = await Client.open(t, third.url);
    const stop = [talk(one, 5), talk(two, 7)] as const;
    for (let number = 1; number <= 200; number += 1) far.say(`far ${number}`);
    await until("the far ones", () => heard(here, "far 200") + heard(there, "far 200") === 2);
    await until("some at the far client", () => numbersOf(far).length > 20);
    third.child.process.kill("SIGKILL");
    await soon("its end", third.child.exit);
    await sleep(200);
    const [first, second] = [stop[0](), stop[1]()];
    await until("the rest", () => numbersOf(here).length === first + second);
    await until("the rest there", () => numbersOf(there).length === first + second);
    await until("the confirmations", () => counters(one).queued + counters(two).queued === 0);
    for (const app of [one, two]) {
      assert.deepEqual([counters(app).missed, counters(app).dropped, app.errors.length], [0, 0, 0]);
      assert.equal(counters(app).unconfirmed, 0);
    }
    for (const client of [here, there]) {
      const farOnes = saidTo(client).filter((it) => String(it).startsWith("far"));
      assert.deepEqual(
        farOnes,
        Array.from({ length: 200 }, (_, index) => `far ${index + 1}`),
      );
    }
  });

  test("that reads too slowly is cut off by Redis, comes back, and knows what it has missed", async (t) => {
    const bus = await Redis.start(t);
    await bus.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0");
    const one = await join(t, bus);
    const slow = await apart(t, bus);
    const far = await Client.open(t, slow.url);
    watch(t, one);
    one.shout("first");
    await until("the first", () => heard(far, "first") === 1);
    slow.child.process.kill("SIGSTOP");
    const payload = "x".repeat(100_000);
    let sent = 0;
    const readers = async () =>
      Number(
        /^:(\d+)/.exec(
          (await bus.command("PUBSUB", "NUMSUB", EVERYBODY)).split("\r\n").at(-2) ?? "",
        )?.[1],
      );
    await until("the cut", async () => {
      for (let turn = 0; turn < 20 && counters(one).queued < 10; turn += 1, sent += 1) {
        one.shout(payload);
      }
      return (await readers()) === 1;
    });
    t.diagnostic(`Redis cut it off after ${sent} messages`);
    slow.child.process.kill("SIGCONT");
    await until("its return", async () => {
      const now = await slow.count();
      return now.connected && now.reconnects > 0;
    });
    one.shout("after");
    await until("what was sent after", () => heard(far, "after") === 1);
    await until("the confirmations", () => counters(one).queued === 0);
    const got = await slow.count();
    assert.ok(got.missed > 0);
    assert.equal(got.received + got.missed, counters(one).published);
    assert.deepEqual(one.errors, []);
  });
});
