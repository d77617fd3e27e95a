// Several servers that share a bus: sends reach clients wherever they are connected, and the counters add up.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { zocket } from "@zocket/core";
import { createPublisher, redis } from "@zocket/core/bus";

import {
  counters,
  heard,
  join,
  PREFIX,
  restless,
  saidTo,
  secondsSince,
  textsOf,
  toldOf,
  type MoreOptions,
} from "./_bus.ts";
import { onEachBus, type AnyBus } from "./_buses.ts";
import { Child, portOf } from "./_child.ts";
import { blocksOf, readPage } from "./_pages.ts";
import { findProgram, needsRedis, REDIS, Redis } from "./_redis.ts";
import { Client, anything, serve, type App } from "./_support.ts";
import { soon, until } from "./_wait.ts";

onEachBus("two servers", (Bus) => {
  test("a broadcast reaches the clients of both, once each", async (t) => {
    const bus = await Bus.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const [here, there] = [await Client.open(t, one.url), await Client.open(t, two.url)];
    one.shout("hello");
    await until("the broadcast", () => heard(there, "hello") > 0 && heard(here, "hello") > 0);
    assert.equal(heard(here, "hello"), 1);
    assert.equal(heard(there, "hello"), 1);
    await until("the confirmation", () => counters(one).confirmed === 1);
    assert.equal(counters(two).received, 1);
  });

  test("a room has members in both, and a member of two rooms gets one copy", async (t) => {
    const bus = await Bus.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const here = await Client.open(t, one.url);
    const both = await Client.open(t, two.url);
    const neither = await Client.open(t, two.url);
    await here.join("a");
    await both.join("a");
    await both.join("b");
    await Promise.all([one.server.synced(), two.server.synced()]);
    one.server.send.said("to a").toRoom("a");
    one.server.send.said("to both").toRoom(["a", "b"]);
    one.server.send.said("to nobody").toRoom("c");
    one.shout("last");
    await until("the last", () => heard(both, "last") && heard(neither, "last"));
    await until("both", () => heard(both, "to both") > 0 && heard(here, "to both") > 0);
    assert.deepEqual(saidTo(both).slice(2, 4), ["to a", "to both"]);
    assert.equal(heard(both, "to both"), 1);
    assert.equal(heard(here, "to both"), 1);
    assert.deepEqual(saidTo(neither), ["last"]);
  });

  test("ids of clients lead to their process, and several ids of one client give one copy", async (t) => {
    const bus = await Bus.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const here = await Client.open(t, one.url);
    const there = await Client.open(t, two.url);
    const other = await Client.open(t, two.url);
    const ids = [...one.connects, ...two.connects].map(({ clientId }) => clientId);
    const [first, second] = ids as [string, string, string];
    for (const id of ids) assert.match(id, /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab]/);
    assert.equal(first.slice(0, 13) === second.slice(0, 13), false);
    one.server.send.said("one").to(second);
    one.server.send.said("some").to([first, second, second, "nobody"]);
    await until("both", () => heard(there, "some") > 0 && heard(here, "some") > 0);
    assert.deepEqual(saidTo(there), ["one", "some"]);
    assert.deepEqual(saidTo(here), ["some"]);
    assert.deepEqual(saidTo(other), []);
    assert.equal(counters(one).published, 2);
  });

  test("clients that a send leaves out do not get it, wherever they are", async (t) => {
    const bus = await Bus.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const here = await Client.open(t, one.url);
    const there = await Client.open(t, two.url);
    const other = await Client.open(t, two.url);
    const except = [...one.connects, ...two.connects].slice(0, 2).map(({ clientId }) => clientId);
    for (const client of [here, there, other]) await client.join("a");
    await two.server.synced();
    one.server.send.said("room").toRoom(["a", "b"], { except });
    one.server.send.said("one room").toRoom("a", { except });
    one.server.send.said("all").broadcast({ except });
    one.shout("last");
    await until("the last", () => heard(there, "last") === 1 && heard(here, "last") === 1);
    await until("the others", () => saidTo(other).length === 5);
    assert.deepEqual(saidTo(here), ["in a", "last"]);
    assert.deepEqual(saidTo(there), ["in a", "last"]);
    assert.deepEqual(new Set(saidTo(other)), new Set(["in a", "room", "one room", "all", "last"]));
  });

  test("messages of one sender to one room arrive in order, whatever their number", async (t) => {
    const bus = await Bus.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const there = await Client.open(t, two.url);
    await there.join("a");
    await two.server.synced();
    const all = Array.from({ length: 5_000 }, (_, number) => number);
    for (const number of all) one.server.send.said(number).toRoom("a");
    try {
      await until("all of them", () => saidTo(there).length === 1 + all.length);
    } finally {
      const [sender, receiver] = [counters(one), counters(two)].map((it) => JSON.stringify(it));
      t.diagnostic(`${saidTo(there).length - 1} came; sender ${sender}; receiver ${receiver}`);
    }
    assert.deepEqual(saidTo(there).slice(1), all);
    assert.deepEqual([counters(two).received, counters(two).missed], [all.length, 0]);
    await until("the confirmations", () => counters(one).confirmed === all.length);
  });

  test("a message for two rooms keeps its place among those for one of them", async (t) => {
    const bus = await Bus.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const there = await Client.open(t, two.url);
    for (const room of ["a", "b"]) await there.join(room);
    await two.server.synced();
    const all = Array.from({ length: 5_000 }, (_, number) => number);
    // The one for both comes on the channel of "a" first, where nothing else waits.
    for (const number of all) {
      one.server.send.said(number).toRoom(number % 50 === 49 ? ["a", "b"] : "b");
    }
    await until("all of them", () => saidTo(there).length === 2 + all.length);
    assert.deepEqual(saidTo(there).slice(2), all);
    assert.equal(counters(two).missed, 0);
  });

  test("a room that nobody here is in does not reach this process", async (t) => {
    const bus = await Bus.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    await Client.open(t, two.url);
    one.server.send.said("x").toRoom("elsewhere");
    one.shout("mark");
    await until("the mark", () => counters(two).received === 1);
    assert.equal(counters(one).published, 2);
  });

  test("servers with another prefix hear nothing", async (t) => {
    const bus = await Bus.start(t);
    const one = await join(t, bus);
    const other = await join(t, bus, {}, { prefix: "spec-2" });
    const third = await join(t, bus);
    one.shout("x");
    await until("the third", () => counters(third).received === 1);
    assert.equal(counters(other).received, 0);
  });

  test("what onDisconnect sends while the server stops still leaves", async (t) => {
    const bus = await Bus.start(t);
    const one: App = await join(t, bus, { onDisconnect: () => one.shout("gone") });
    const two = await join(t, bus);
    await Client.open(t, one.url);
    const there = await Client.open(t, two.url);
    await one.server.stop();
    await until("the farewell", () => heard(there, "gone") === 1);
    assert.deepEqual([counters(one).confirmed, counters(one).connected], [1, false]);
  });
});

test(
  "joins and leaves of one room a thousand times do not change what Redis is asked for",
  needsRedis,
  async (t) => {
    const bus = await Redis.start(t);
    const { app, turns } = await restless(t, bus);
    const name = "spec:r:ca978112ca1bbdcafac231b39a23dc4d";
    assert.match(await bus.command("PUBSUB", "NUMSUB", name), /:1\r\n$/);
    await turns();
    assert.equal(await bus.calls("unsubscribe"), 0);
    assert.equal(counters(app).rooms, 1);
    await until("the room to be let go", async () =>
      (await bus.command("PUBSUB", "NUMSUB", name)).endsWith(":0\r\n"),
    );
    assert.equal(counters(app).rooms, 0);
  },
);

onEachBus("a bus that goes away", (Bus) => {
  test("local members hear at once, the rest is accounted for, and onError hears of it once each way", async (t) => {
    const bus = await Bus.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const [here, there] = [await Client.open(t, one.url), await Client.open(t, two.url)];
    await Promise.all([here.join("a"), there.join("a")]);
    await Promise.all([one.server.synced(), two.server.synced()]);
    const told = () => one.errors.filter(({ code }) => code === "BUS");
    one.server.send.said("before").toRoom("a");
    await until("what was sent before", () => heard(there, "before") === 1);
    await until("its confirmation", () => counters(one).confirmed === 1);
    await bus.kill();
    await until("the outage", () => told().length === 1);
    assert.equal((told()[0] as unknown as { connected: boolean }).connected, false);
    assert.equal(counters(one).connected, false);
    one.server.send.said("lost").toRoom("a");
    await until("the local member", () => heard(here, "lost") === 1);
    await until("the drop", () => counters(one).dropped === 1);
    one.server.send.said("late").toRoom("a");
    await bus.again();
    await until("the confirmation", () => counters(one).confirmed === 2);
    await until("the return of both", () => counters(one).connected && counters(two).connected);
    one.server.send.said("after").toRoom("a");
    await until("what was sent after", () => heard(there, "after") === 1);
    assert.equal(heard(there, "lost"), 0);
    await until("the local member", () => heard(here, "after") === 1);
    assert.equal(heard(here, "late"), 1);
    // The other server may have come back after the late one was published.
    assert.equal(counters(two).missed, 2 - heard(there, "late"));
    await until("the news of the return", () => told().length === 2);
    assert.deepEqual(
      told().map((it) => (it as unknown as { connected: boolean }).connected),
      [false, true],
    );
    assert.equal(counters(one).reconnects, 1);
  });

  test("what waited leaves half a second after the return, so that others are back too", async (t) => {
    const bus = await Bus.start(t);
    const one = await join(t, bus);
    await bus.kill();
    await until("the outage", () => !counters(one).connected);
    await bus.again();
    one.shout("waits");
    // Before the return, however late the test sees it.
    let away = performance.now();
    await until("the return", () => {
      const now = performance.now();
      const { connected } = counters(one);
      if (!connected) away = now;
      return connected;
    });
    await until("the confirmation", () => counters(one).confirmed === 1);
    assert.ok(performance.now() - away > 490, "it left at once");
  });

  test("a bus that answers nothing is away within seconds, and back when it goes on", async (t) => {
    const bus = await Bus.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const there = await Client.open(t, two.url);
    bus.pause();
    t.after(() => bus.resume());
    one.shout("under way");
    await until("the outage", () => !counters(one).connected && !counters(two).connected);
    assert.equal(counters(one).unconfirmed, 1);
    bus.resume();
    await until("the return", () => counters(one).connected && counters(two).connected);
    one.shout("after");
    await until("what was sent after", () => heard(there, "after") === 1);
    await until("all confirmed", () => counters(one).queued === 0);
  });

  test("four megabytes wait, and what is more is dropped and counted", async (t) => {
    const bus = await Bus.start(t);
    const one = await join(t, bus);
    await bus.kill();
    await until("the outage", () => !counters(one).connected);
    const payload = "x".repeat(100_000);
    for (let number = 0; number < 60; number += 1) one.shout(payload);
    await until("the drops", () => counters(one).published === 60);
    const { queued, dropped } = counters(one);
    assert.ok(queued <= 42, `${queued} wait`);
    assert.ok(dropped >= 18, `${dropped} were dropped`);
  });

  test("what is too much at once for a bus that is there is dropped, and told", async (t) => {
    const bus = await Bus.start(t);
    const one = await join(t, bus);
    bus.pause();
    t.after(() => bus.resume());
    const payload = "x".repeat(100_000);
    const since = performance.now();
    for (let number = 0; number < 80; number += 1) one.shout(payload);
    await until("the drops", () => counters(one).published === 80);
    const { dropped } = counters(one);
    bus.resume();
    assert.ok(dropped >= 20, `${dropped} were dropped`);
    const full = () =>
      textsOf(one).filter((text) => /stayed in this process, as too many others waited/.test(text));
    await until("the report", () => full().length > 0);
    await until("the others", () => counters(one).queued === 0);
    assert.ok(full().length <= 1 + secondsSince(since), "once a second");
    // A machine that needs seconds for this takes the bus for one that is away, and drops more of them.
    if (toldOf(one).every(({ connected }) => connected === undefined)) {
      assert.equal(counters(one).dropped, dropped);
    }
  });

  test("two thousand rooms that were joined meanwhile are read after its return", async (t) => {
    const bus = await Bus.start(t);
    const [one, two] = [
      await join(t, bus),
      await join(t, bus, { options: { maxRoomsPerClient: 2_000 } }),
    ];
    const there = await Client.open(t, two.url);
    await bus.kill();
    await until("the outage", () => !counters(two).connected);
    for (let room = 0; room < 2_000; room += 1) there.send("join", `room ${room}`);
    await until("the joins", () => saidTo(there).length === 2_000);
    await bus.again();
    await Promise.all([one.server.synced(), two.server.synced()]);
    assert.equal(counters(two).rooms, 2_000);
    for (let room = 0; room < 2_000; room += 1) one.server.send.said(room).toRoom(`room ${room}`);
    await until("all of them", () => saidTo(there).length === 4_000);
    assert.equal(counters(two).missed, 0);
  });
});

onEachBus("a publisher", (Bus) => {
  const publisherOn = (bus: AnyBus, more: MoreOptions = {}) =>
    createPublisher<App["router"]>(bus.on(more));

  test("reaches rooms, clients and everybody, and knows what the bus has", async (t) => {
    const bus = await Bus.start(t);
    const app = await join(t, bus);
    const [first, second] = [await Client.open(t, app.url), await Client.open(t, app.url)];
    const [one, two] = app.connects.map(({ clientId }) => clientId) as [string, string];
    await first.join("a");
    await app.server.synced();
    const publisher = publisherOn(bus);
    publisher.send.said("room").toRoom("a");
    publisher.send.said("one").to(two);
    publisher.send.said("all").broadcast({ except: one });
    publisher.send.said("last").broadcast();
    await publisher.flush();
    const { published, confirmed } = publisher.metrics();
    assert.deepEqual([published, confirmed], [4, 4]);
    await until("the last", () => heard(first, "last") && heard(second, "last"));
    assert.deepEqual(saidTo(first), ["in a", "room", "last"]);
    assert.deepEqual(saidTo(second), ["one", "all", "last"]);
    await publisher.close();
    await assert.rejects(publisher.flush(), { code: "BUS" });
  });

  test("refuses options that it does not have", () => {
    const bus = redis({ url: "redis://localhost", prefix: PREFIX });
    for (const [options, message] of [
      [{ onErorr() {} }, /options\.onErorr: unknown option; did you mean onError\?$/],
      [{ onError: 1 }, /options\.onError: expected a function, got number$/],
      [null, /options: expected an object, got null$/],
      [[], /options: expected an object, got an array$/],
    ] as const) {
      assert.throws(() => createPublisher(bus, options as object), { name: "TypeError", message });
    }
  });

  test("says which argument is the bus, and that the router is none", () => {
    const bus = redis({ url: "redis://localhost", prefix: PREFIX });
    const router = zocket.create({ headers: anything() }).router({}, {});
    const isNoBus = "bus: expected what redis(…) or nats(…) of @zocket/core/bus returned, got ";
    const isBehind =
      "options: expected an object of options, got a bus; the bus is the first argument, and the router is only a type: createPublisher<typeof app>(bus, options)";
    for (const [text, ...given] of [
      [isBehind, router, bus],
      [isBehind, router, bus, { onError() {} }],
      [isBehind, bus, bus],
      [`${isNoBus}an object`, router],
      [`${isNoBus}an object`, router, { onErorr() {} }],
      [`${isNoBus}an object`, { bus }, null],
      [`${isNoBus}undefined`],
    ] as const) {
      const message = `createPublisher: ${text}`;
      const create = createPublisher as (...given: unknown[]) => unknown;
      assert.throws(() => create(...given), { name: "TypeError", message });
    }
  });

  test("is told by flush what the bus does not have, once", async (t) => {
    const bus = await Bus.start(t);
    const publisher = publisherOn(bus, { maxMessage: 1_024 });
    t.after(() => publisher.close());
    publisher.send.said("x".repeat(2_000)).broadcast();
    await assert.rejects(publisher.flush(), {
      code: "BUS",
      message: /^publisher\.flush: .* has not confirmed 1 pub/,
    });
    publisher.send.said("short").broadcast();
    await publisher.flush();
  });

  test("lets a program end that closes it, also while the bus is away", async (t) => {
    const bus = await Bus.start(t);
    const program = (end: string) => `
      const { createPublisher, nats, redis } = await import("@zocket/core/bus");
      const publisher = createPublisher(${bus.code}, { onError() {} });
      publisher.send.said(1).broadcast();
      ${end}
      await publisher.close();`;
    await Child.node(t, program("await publisher.flush();")).endsWell();
    await bus.kill();
    await Child.node(t, program("")).endsWell();
  });
});

const PYTHON = process.env["ZOCKET_PYTHON"] ?? findProgram("python3");

test(
  "the Python program of the page publishes to a room",
  { skip: REDIS && PYTHON ? false : "there is no redis-server, or no Python" },
  async (t) => {
    const bus = await Redis.start(t);
    const page = blocksOf(readPage("docs/bus-format.md"));
    const program = page.find(({ info }) => info[0] === "python")?.code.replace("onText", "said");
    const app = await join(t, bus);
    const client = await Client.open(t, app.url);
    await client.join("a room, é");
    await app.server.synced();
    const where = ["127.0.0.1", String(bus.port), PREFIX, "a room, é"];
    const child = new Child(t, PYTHON as string, ["-c", program as string, ...where]);
    assert.equal((await soon("the program's end", child.exit)).code, 0, child.err);
    await until("its message", () => heard(client, "from Python") === 1);
    assert.deepEqual([counters(app).received, counters(app).malformed], [1, 0]);
  },
);

onEachBus("three server processes", (Bus) => {
  test("one that is killed leaves the others as they are, and its clients out", async (t) => {
    const bus = await Bus.start(t);
    const program = `
      const { nats, redis } = await import("@zocket/core/bus");
      const bus = ${bus.code};
      hooks.say = (payload, ctx) => ctx.send.said(payload).broadcast();
      const server = createServer(router, zo, { ...local, bus });
      await server.ready();
      tell(server);`;
    const [first, second] = [Child.node(t, program), Child.node(t, program)];
    const open = async (child: Child) => Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    const [gone, there] = [await open(first), await open(second)];
    const one = await join(t, bus);
    const here = await Client.open(t, one.url);
    const hear = (what: string, clients: readonly Client[]) =>
      until(what, () => clients.every((client) => heard(client, what) === 1));
    gone.say("from the first");
    await hear("from the first", [gone, there, here]);
    one.shout("to all");
    await hear("to all", [gone, there, here]);
    first.process.kill("SIGKILL");
    await soon("the child's end", first.exit);
    one.shout("to the rest");
    there.say("from the second");
    await hear("to the rest", [there, here]);
    await hear("from the second", [there, here]);
    await until("the confirmation", () => counters(one).confirmed === 2);
    assert.deepEqual([counters(one).missed, one.errors.length], [0, 0]);
  });
});

onEachBus("what is wrong on the bus", (Bus) => {
  test("garbage on the channels is counted, told once a second, and harms nobody", async (t) => {
    const bus = await Bus.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const there = await Client.open(t, two.url);
    const garbage = ["", "z", "{}", "z\x02\x01", '{"type":"said","payload":1}', "z\x01\x01\x01"];
    const since = performance.now();
    for (const bytes of garbage) await bus.say("all", bytes);
    // Another kind of message, of a version to come.
    await bus.say("all", "z\x01\xc8x");
    await until("the count", () => counters(two).malformed === garbage.length);
    await until("the report", () => two.errors.some(({ code }) => code === "BUS"));
    one.shout("after");
    await until("what was sent after", () => heard(there, "after") === 1);
    assert.deepEqual(saidTo(there), ["after"]);
    assert.ok(two.errors.length <= 1 + secondsSince(since), "once a second");
  });

  test("a publication that is too long stays here, is dropped, and told", async (t) => {
    const bus = await Bus.start(t);
    const one = await join(t, bus, {}, { maxMessage: 2_000 });
    const two = await join(t, bus);
    const [here, there] = [await Client.open(t, one.url), await Client.open(t, two.url)];
    const long = "x".repeat(2_000);
    one.shout(long);
    one.shout("short");
    await until("the short one", () => heard(there, "short") === 1);
    await until("the long one here", () => heard(here, long) === 1);
    assert.equal(heard(there, long), 0);
    assert.equal(counters(one).dropped, 1);
    // The hole shows at the next number.
    assert.equal(counters(two).missed, 0);
    one.shout("last");
    await until("the last one", () => heard(there, "last") === 1);
    await until("the report", () => one.errors.length === 1);
    assert.match(String(one.errors[0]?.error), /longer than maxMessage/);
  });
});

describe("what is wrong with a user of Redis", needsRedis, () => {
  test("a wrong password is told as such, without the password, and the server serves", async (t) => {
    const bus = await Redis.start(t, ["--requirepass", "right"]);
    const url = `redis://:very-secret@127.0.0.1:${bus.port}`;
    const app = serve(t, { options: { bus: redis({ url, prefix: PREFIX, required: true }) } });
    const client = await Client.open(t, app.url);
    await client.roundTrip();
    await until("the report", () => app.errors.length > 0);
    await assert.rejects(app.server.ready(), (error: Error & { code?: string }) => {
      assert.equal(error.code, "BUS");
      assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${bus.port}.*password`));
      assert.doesNotMatch(error.message, /very-secret/);
      return true;
    });
    const told = app.errors.map(({ error }) => String(error)).join();
    assert.match(told, /does not accept the user name or the password/);
    assert.doesNotMatch(told, /very-secret/);
    assert.equal(app.errors.length, 1);
  });

  test("a user who may not publish is told so, and nothing is lost from the counters", async (t) => {
    const bus = await Redis.start(t);
    await bus.command(
      "ACL",
      "SETUSER",
      "reader",
      "on",
      ">pass",
      "resetchannels",
      `&${PREFIX}:*`,
      "+@all",
      "-publish",
    );
    const one = await join(t, bus, {}, { username: "reader", password: "pass" });
    one.shout("x");
    await until("the drop", () => counters(one).dropped === 1);
    await until("the report", () => one.errors.length === 1);
    assert.match(String(one.errors[0]?.error), /refused 1 publications.*NOPERM/);
  });

  test("Redis takes the rules of the docs for its users, and a server needs no more", async (t) => {
    const bus = await Redis.start(t);
    const page = readPage("docs/scaling.md");
    const rules = [...page.matchAll(/^redis-cli (ACL SETUSER chat .*)$/gm)].map(([, rule = ""]) =>
      rule.replaceAll('"', "").split(" "),
    );
    assert.equal(rules.length, 2);
    // The user of a cluster first, as the other one stays.
    for (const rule of rules.toReversed()) assert.equal(await bus.command(...rule), "+OK\r\n");
    const who = { username: "chat", password: "password", prefix: "chat" };
    const [one, two] = [await join(t, bus, {}, who), await join(t, bus, {}, who)];
    const there = await Client.open(t, two.url);
    await there.join("a");
    await two.server.synced();
    assert.equal(await one.server.roomSize("a"), 1);
    one.server.send.said("hello").toRoom("a");
    await until("the message", () => heard(there, "hello") === 1);
    assert.deepEqual([one.errors, two.errors], [[], []]);
  });

  test("a user that is deleted and comes back with another password is an outage of its credentials", async (t) => {
    const bus = await Redis.start(t);
    const rules = ["on", ">pass", "resetchannels", `&${PREFIX}:*`, "+@all"];
    await bus.command("ACL", "SETUSER", "app", ...rules);
    const one = await join(t, bus, {}, { username: "app", password: "pass" });
    await bus.command("ACL", "DELUSER", "app");
    await until("the outage", () => one.errors.some(({ error }) => /password/.test(String(error))));
    await bus.command("ACL", "SETUSER", "app", ...rules);
    await until("the return", () => counters(one).connected);
    await until("the news of it", () => /is back/.test(String(one.errors.at(-1)?.error)));
  });
});
