// Servers on one bus as one: who is in a room, how many clients there are, and joins, leaves and disconnects by id.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { createPublisher, redis } from "@zocket/core/bus";

import { channelOf, EVERYBODY, field, heard, join, PREFIX } from "./_bus.ts";
import { onEachBus } from "./_buses.ts";
import { Elsewhere, meet } from "./_everywhere.ts";
import { Network } from "./_partition.ts";
import { needsRedis, Redis } from "./_redis.ts";
import { Client, serve, type App } from "./_support.ts";
import { isSettled, until } from "./_wait.ts";

/** What a promise is rejected with. */
const refusal = (promise: Promise<unknown>): Promise<Error & Record<string, unknown>> =>
  promise.then(
    () => assert.fail("it resolved"),
    (error: unknown) => error as Error & Record<string, unknown>,
  );

/** Nothing that processes tell each other is in a counter. */
function assertUncounted(...apps: App[]): void {
  for (const { server } of apps) {
    const { published, received, missed, malformed, queued } = server.metrics().bus ?? {};
    assert.deepEqual([published, received, missed, malformed, queued], [0, 0, 0, 0, 0]);
  }
}

onEachBus("members, roomSize and clientCount", (Bus) => {
  test("while the bus is away the own part comes at once, as PARTIAL", async (t) => {
    const bus = await Bus.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const { id } = await meet(t, one, "a");
    await meet(t, two, "a");
    assert.equal(await one.server.roomSize("a"), 2);
    await bus.kill();
    await until("the outage", () => one.server.metrics().bus?.connected === false);
    const members = await refusal(one.server.members("a"));
    assert.deepEqual([members.code, members.partial], ["PARTIAL", [id]]);
    const size = await refusal(one.server.roomSize("a"));
    assert.deepEqual([size.code, size.partial], ["PARTIAL", 1]);
    const count = await refusal(one.server.clientCount({ everywhere: true }));
    assert.deepEqual([count.code, count.partial], ["PARTIAL", 1]);
    await bus.again();
    await Promise.all([one.server.synced(), two.server.synced()]);
    await until("the other one", async () => {
      const asked = one.server.roomSize("a");
      return (await asked.catch(() => 0)) === 2;
    });
  });
});

describe("members, roomSize and clientCount with a bus", needsRedis, () => {
  test("are about the clients of all processes, whoever asks", async (t) => {
    const bus = await Redis.start(t);
    const apps = [await join(t, bus), await join(t, bus), await join(t, bus)] as const;
    const ids = [];
    for (const app of apps)
      ids.push((await meet(t, app, "a")).id, (await meet(t, app, "a", "b")).id);
    await meet(t, apps[0]);
    for (const { server } of apps) {
      assert.deepEqual((await server.members("a")).toSorted(), ids.toSorted());
      assert.equal(await server.roomSize("a"), 6);
      assert.equal(await server.roomSize("b"), 3);
      assert.deepEqual(await server.members("nobody's"), []);
      assert.equal(await server.clientCount({ everywhere: true }), 7);
    }
    assert.deepEqual(
      apps.map(({ server }) => server.clientCount()),
      [3, 2, 2],
    );
    assert.equal(apps[1].server.clientCount({ everywhere: false }), 2);
    assertUncounted(...apps);
  });

  test("answer a handler through ctx.rooms.members", async (t) => {
    const bus = await Redis.start(t);
    const one = await join(t, bus, {
      say: async (_, ctx) => {
        const { members } = ctx.rooms as unknown as { members(room: string): Promise<string[]> };
        ctx.send.said(await members("a")).to(ctx.clientId);
      },
    });
    const two = await join(t, bus);
    const there = await meet(t, two, "a");
    const { client } = await meet(t, one);
    client.say("?");
    assert.deepEqual((await client.next()).payload, [there.id]);
  });

  test("know names that are no well-formed text", async (t) => {
    const bus = await Redis.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const { id } = await meet(t, two);
    const rooms = ["\ud800", "\ud801", 'é\u0000"\\', "x".repeat(4_096)];
    await one.server.join(id, rooms);
    for (const room of rooms) assert.deepEqual(await one.server.members(room), [id]);
    assert.deepEqual(await one.server.members("\ud802"), []);
    await one.server.leave(id, rooms.slice(1));
    assert.deepEqual(await Promise.all(rooms.map((it) => one.server.roomSize(it))), [1, 0, 0, 0]);
  });

  test("come in parts when they are many, and hold up nobody", async (t) => {
    const bus = await Redis.start(t);
    // A part has 56 ids with the shortest messages.
    const one = await join(t, bus);
    const two = await join(t, bus, {}, { maxMessage: 1_024 });
    const clients = await Promise.all(Array.from({ length: 1_500 }, () => Client.open(t, two.url)));
    const ids = two.connects.map(({ clientId }) => clientId);
    await one.server.join(ids, "a");
    const all = await Promise.all([
      one.server.members("a"),
      two.server.members("a"),
      one.server.members("a"),
    ]);
    for (const members of all) assert.deepEqual(members.toSorted(), ids.toSorted());
    assert.equal(clients.length, await one.server.roomSize("a"));
  });

  test("ten thousand that one process has come whole, and nobody believes a part that does not fit", async (t) => {
    const bus = await Redis.start(t);
    const app = await join(t, bus);
    const { id } = await meet(t, app, "a");
    // Another program plays the process. It is there for a minute after one word.
    const theirs = randomBytes(6);
    const say = (kind: number, ...fields: Buffer[]) =>
      Buffer.concat([Buffer.from([0x7a, 1, kind]), field(2, theirs), ...fields]);
    const little = (bytes: number, value: number) => {
      const buffer = Buffer.alloc(bytes);
      buffer.writeUInt32LE(value, 0);
      return buffer;
    };
    await bus.publish(EVERYBODY, [say(2, field(12, little(4, 60_000)))]);
    const ids = Array.from({ length: 10_000 }, () => randomUUID());
    const part = (question: number, place: number, some: readonly string[], size = ids.length) =>
      say(
        4,
        field(4, little(8, question)),
        field(16, little(4, place)),
        field(17, little(8, size)),
        field(8, Buffer.from(some.join("").replaceAll("-", ""), "hex")),
      );
    const channel = `${PREFIX}:p:${id.slice(0, 13).replace("-", "")}`;
    const answer = (question: number) =>
      [0, 4_000, 8_000].map((from, place) => part(question, place, ids.slice(from, from + 4_000)));
    // Its questions are numbered. It does not take answers before it has asked.
    for (let question = 1; question < 4; question += 1) {
      const asked = app.server.members("a");
      const [first, second, third] = answer(question) as [Buffer, Buffer, Buffer];
      const [early, twice, other] = [third, first, part(9, 1, ids)];
      let isAsked = true;
      void asked.finally(() => (isAsked = false));
      while (isAsked) {
        await bus.publish(channel, [early, first, twice, other, second, third]);
      }
      assert.deepEqual((await asked).toSorted(), [...ids, id].toSorted());
    }
    // One that never comes to its end is missed.
    const asked = app.server.members("a");
    let isAsked = true;
    asked.catch(() => (isAsked = false));
    while (isAsked) await bus.publish(channel, [part(4, 0, ids, 2 ** 31)]);
    const error = await refusal(asked);
    assert.equal(error.code, "PARTIAL");
    assert.equal(app.server.metrics().bus?.malformed, 0);
  });

  test("are whole when the only process that has not answered says that it ends", async (t) => {
    const bus = await Redis.start(t);
    const app = await join(t, bus);
    const { id } = await meet(t, app, "a");
    // Another program plays that process. It hears the question as all do.
    const theirs = randomBytes(6);
    const say = (...fields: Buffer[]) =>
      bus.publish(EVERYBODY, [
        Buffer.concat([Buffer.from([0x7a, 1, 2]), field(2, theirs), ...fields]),
      ]);
    const minute = Buffer.alloc(4);
    minute.writeUInt32LE(60_000, 0);
    const listen = await bus.listen(EVERYBODY);
    const questions = () => listen().toString("latin1").split("\x7a\x01\x03").length;
    // It has most of a second, which is not long for a machine that is busy.
    let whole: string[] | undefined;
    await until("a whole answer", async () => {
      await say(field(12, minute));
      const before = questions();
      const asked = app.server.members("a").catch((error: Error & { code?: string }) => {
        assert.equal(error.code, "PARTIAL");
        return undefined;
      });
      await until("the question", () => questions() > before);
      const isOver = await isSettled(asked);
      await say(field(14, ""));
      whole = await asked;
      assert.ok(!isOver || whole === undefined, "it waited for that process");
      return whole;
    });
    assert.deepEqual(whole, [id]);
  });

  test("are answered for a process whose JavaScript is busy", async (t) => {
    const bus = await Redis.start(t);
    const here = await join(t, bus);
    const there = await Elsewhere.start(t, bus);
    const { id } = await there.meet(t, "a");
    assert.deepEqual(await here.server.members("a"), [id]);
    const busy = there.run(
      "console.log('busy;'); const end = Date.now() + 3_000; while (Date.now() < end); return 1",
    );
    await there.child.printed(/busy;/);
    assert.deepEqual(await here.server.members("a"), [id]);
    assert.equal(await here.server.clientCount({ everywhere: true }), 1);
    await busy;
  });

  test("a hundred questions at once all get their answers", async (t) => {
    const bus = await Redis.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const [here, there] = [await meet(t, one, "a"), await meet(t, two, "a")];
    const ids = [here.id, there.id].toSorted();
    const asked = Array.from({ length: 100 }, (_, turn) =>
      turn % 2 === 0 ? one.server.members("a") : two.server.members("a"),
    );
    for (const members of await Promise.all(asked)) assert.deepEqual(members.toSorted(), ids);
  });

  test("a process that starts is answered by all before its first question is", async (t) => {
    const bus = await Redis.start(t);
    const old = [await join(t, bus), await join(t, bus)] as const;
    for (const app of old) await meet(t, app, "a");
    const on = redis({ url: bus.url, prefix: PREFIX });
    // Asked before there is a connection.
    const fresh = serve(t, { options: { bus: on } });
    assert.equal(await fresh.server.roomSize("a"), 2);
    await meet(t, fresh, "a");
    assert.equal(await old[0].server.roomSize("a"), 3);
  });

  test("a process is asked although its announcement has not been read yet", async (t) => {
    const bus = await Redis.start(t);
    const network = await Network.to(t, bus.port);
    const one = await join(t, network);
    const { id: own } = await meet(t, one);
    const heard = await bus.listen(EVERYBODY);
    const isHeard = (kind: number, id: string, from = 0) => {
      const process = Buffer.from(id.slice(0, 13).replace("-", ""), "hex");
      const head = Buffer.concat([Buffer.from([0x7a, 1, kind]), field(2, process)]);
      return heard().includes(head, from);
    };
    let turn = 0;
    // On a slow machine, an answer can come too late, or the bus count as away before the second server is there.
    await until("a whole answer", async () => {
      const isThere = () =>
        one.server.roomSize("nobody's").then(
          () => true,
          () => false,
        );
      await until("the first server on the bus", isThere);
      turn += 1;
      const room = `room ${turn}`;
      // What Redis sends to the first server lies on the way. What that sends arrives.
      network.cut({ back: true });
      const two = await join(t, bus);
      const { id } = await meet(t, two, room);
      await until("its announcement", () => isHeard(2, id));
      const before = heard().length;
      let members: string[] | undefined;
      let hasEnded = false;
      const asked = one.server.members(room).then(
        (all) => ((members = all), (hasEnded = true)),
        () => (hasEnded = true),
      );
      await until("the question", () => hasEnded || isHeard(3, own, before));
      network.heal();
      await asked;
      if (members !== undefined) assert.deepEqual(members, [id]);
      return members !== undefined;
    });
    assertUncounted(one);
  });

  test("a process that stops is not asked any more", async (t) => {
    const bus = await Redis.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    await meet(t, one, "a");
    await meet(t, two, "a");
    assert.equal(await one.server.roomSize("a"), 2);
    await two.server.stop();
    assert.equal(await one.server.roomSize("a"), 1);
    const { code, partial } = await refusal(two.server.members("a"));
    assert.deepEqual([code, partial], ["PARTIAL", []]);
  });

  test("without a bus clientCount of everywhere is the own count", async (t) => {
    const app = serve(t);
    await meet(t, app);
    const everywhere = app.server.clientCount({ everywhere: true });
    assert.ok(everywhere instanceof Promise);
    assert.equal(await everywhere, 1);
    await app.server.stop(true);
    assert.equal(await app.server.clientCount({ everywhere: true }), 0);
  });

  test("clientCount refuses wrong options", (t) => {
    const { server } = serve(t);
    const count = server.clientCount as (options: unknown) => unknown;
    for (const [options, message] of [
      [{ everywere: true }, /options\.everywere: unknown option; did you mean everywhere\?$/],
      [{ everywhere: 1 }, /options\.everywhere: expected true or false, got 1$/],
      [null, /options: expected an object \{ everywhere\? \}, got null$/],
      [true, /options: expected an object/],
    ] as const) {
      assert.throws(() => count(options), { name: "TypeError", message });
    }
  });
});

describe("join, leave and disconnect by id with a bus", needsRedis, () => {
  test("a send to the room reaches the client once its join has resolved", async (t) => {
    const bus = await Redis.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const { client, id } = await meet(t, two);
    for (let turn = 0; turn < 30; turn += 1) {
      const room = `room ${turn}`;
      await one.server.join(id, [room, "all"]);
      one.server.send.said(room).toRoom(room);
    }
    for (let turn = 0; turn < 30; turn += 1) {
      assert.equal((await client.next()).payload, `room ${turn}`);
    }
    await one.server.leave(id, "all");
    assert.deepEqual(await two.server.members("all"), []);
    assert.equal(two.server.metrics().rooms, 30);
    const { published, missed, malformed } = one.server.metrics().bus ?? {};
    assert.deepEqual([published, missed, malformed], [30, 0, 0]);
  });

  test("a client is disconnected with code and reason, and its own process hears of it", async (t) => {
    const bus = await Redis.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const [there, here] = [await meet(t, two), await meet(t, one)];
    two.server.send.said("before").to(there.id);
    await one.server.disconnect([there.id, here.id], { code: 4_001, reason: "bye é" });
    assert.deepEqual(await there.client.closed, { code: 4_001, reason: "bye é" });
    assert.deepEqual(await here.client.closed, { code: 4_001, reason: "bye é" });
    await until("onDisconnect", () => two.disconnects.length === 1 && one.disconnects.length === 1);
    assert.deepEqual(two.disconnects[0]?.info, { code: 4_001, reason: "bye é", by: "server" });
    assert.equal(heard(there.client, "before"), 1);
    // Its id is unknown now, as a local one is then.
    await one.server.disconnect(there.id);
    await one.server.join(there.id, "a");
    assertUncounted(one);
  });

  test("ids that nobody has are no error, in whatever form", async (t) => {
    const bus = await Redis.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const { id } = await meet(t, two);
    // Those of the own process, of another one, and of none.
    const own = (await meet(t, one)).id;
    const ids = [own, id].map((it) => it.slice(0, 14) + randomUUID().slice(14));
    ids.push(randomUUID(), "nobody", "", id.toUpperCase());
    await one.server.join([...ids, id], "a");
    assert.deepEqual(await one.server.members("a"), [id]);
    await one.server.leave(ids, "a");
    await one.server.disconnect(ids);
    await one.server.disconnect([]);
    assert.equal(two.server.clientCount(), 1);
    for (const wrong of [1, null, [1], undefined]) {
      assert.throws(() => one.server.join(wrong as never, "a"), TypeError);
    }
    assert.throws(() => one.server.join(id, ""), TypeError);
    assert.throws(() => one.server.disconnect(id, { code: 1_006 }), TypeError);
  });

  test("a client that may not be in another room is named, and the others join", async (t) => {
    const bus = await Redis.start(t);
    const one = await join(t, bus);
    const two = await join(t, bus, { options: { maxRoomsPerClient: 2 } });
    const [full, free] = [await meet(t, two, "x", "y"), await meet(t, two, "x")];
    const error = await refusal(one.server.join([full.id, free.id], "a"));
    assert.equal(error.code, "TOO_MANY_ROOMS");
    assert.match(error.message, /^server\.join: a client may be in at most 2 rooms$/);
    assert.deepEqual(error.clientIds, [full.id]);
    assert.deepEqual(await one.server.members("a"), [free.id]);
  });

  test("many clients and rooms at once are several orders, and all are carried out", async (t) => {
    const bus = await Redis.start(t);
    const one = await join(t, bus);
    const two = await join(t, bus, { options: { maxRoomsPerClient: 100 } });
    const { id } = await meet(t, two);
    const rooms = Array.from({ length: 50 }, (_, room) => `${room} ${"x".repeat(2_000)}`);
    await one.server.join(id, rooms);
    const strangers = Array.from({ length: 5_000 }, () => id.slice(0, 14) + randomUUID().slice(14));
    await one.server.join([...strangers, id], "last");
    assert.equal(await one.server.roomSize(rooms[49] as string), 1);
    assert.equal(two.server.metrics().rooms, 51);
  });

  test("what is local stays local while the bus is away, and the rest rejects after 5 s", async (t) => {
    const bus = await Redis.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const [here, there] = [await meet(t, one), await meet(t, two)];
    await bus.kill();
    await until("the outage", () => one.server.metrics().bus?.connected === false);
    await one.server.join(here.id, "a");
    one.server.send.said("local").toRoom("a");
    assert.equal((await here.client.next()).payload, "local");
    const begin = performance.now();
    const lost = one.server.join([here.id, there.id], "b");
    one.server.send.said("at once").toRoom("b");
    assert.equal((await here.client.next()).payload, "at once");
    assert.equal(await isSettled(lost), false);
    assert.equal((await refusal(lost)).code, "BUS");
    assert.ok(performance.now() - begin > 4_500);
    await one.server.disconnect(here.id);
    await here.client.closed;
  });

  test("an order that is longer than maxMessage rejects with BUS", async (t) => {
    const bus = await Redis.start(t);
    const one = await join(t, bus, {}, { maxMessage: 1_024 });
    const two = await join(t, bus);
    const { id } = await meet(t, two);
    const error = await refusal(one.server.join(id, "x".repeat(2_000)));
    assert.equal(error.code, "BUS");
    assert.match(error.message, /maxMessage/);
    await one.server.join(id, "x".repeat(500));
  });

  test("a pending order rejects when its server stops", async (t) => {
    const bus = await Redis.start(t);
    const one = await join(t, bus);
    const two = await Elsewhere.start(t, bus);
    const { id } = await two.meet(t);
    await one.server.join(id, "a");
    await two.pause();
    const pending = refusal(one.server.leave(id, "a"));
    await one.server.stop();
    assert.equal((await pending).code, "BUS");
    assert.equal((await refusal(one.server.leave(id, "a"))).code, "BUS");
    two.signal("SIGCONT");
  });
});

describe("three processes", needsRedis, () => {
  test("one that is killed is missed, and then forgotten", async (t) => {
    const bus = await Redis.start(t);
    const all = [];
    for (let count = 0; count < 3; count += 1) all.push(await Elsewhere.start(t, bus));
    const [one, two, three] = all as [Elsewhere, Elsewhere, Elsewhere];
    const people = [await one.meet(t, "a"), await two.meet(t, "a"), await three.meet(t, "a")];
    const size = "return server.roomSize('a')";
    assert.deepEqual(await Promise.all(all.map((it) => it.run(size))), [3, 3, 3]);
    three.signal("SIGKILL");
    await three.child.exit;
    const error = await refusal(
      one.run(
        "return server.members('a').catch((e) => { throw { code: e.code, partial: e.partial, toString: () => JSON.stringify(e.partial.toSorted()) } })",
      ),
    );
    assert.equal(error.code, "PARTIAL");
    const left = people.slice(0, 2).map(({ id }) => id);
    assert.equal(error.message, JSON.stringify(left.toSorted()));
    await until("it to be forgotten", async () => {
      const asked = await one.run<number | string>(`${size}.catch((error) => error.code)`);
      return asked === 2;
    });
    assert.equal(await two.run(size), 2);
    // Nobody has its clients.
    await one.run(`return server.disconnect("${people[2]?.id}")`);
    await one.run(`return server.join("${people[1]?.id}", "b")`);
    assert.deepEqual(await two.run("return server.members('b')"), [people[1]?.id]);
  });

  test("one that stands still is missed, its orders reject with BUS, and it carries them out when it goes on", async (t) => {
    const bus = await Redis.start(t);
    const here = await join(t, bus);
    const there = await Elsewhere.start(t, bus);
    const other = await join(t, bus);
    const { id, client } = await there.meet(t, "a");
    const mine = await meet(t, here, "a");
    const another = await meet(t, other);
    assert.equal(await here.server.roomSize("a"), 2);
    await there.pause();
    const partial = await refusal(here.server.members("a"));
    assert.deepEqual([partial.code, partial.partial], ["PARTIAL", [mine.id]]);
    const begin = performance.now();
    const lost = here.server.join([id, another.id], "b");
    assert.equal((await refusal(lost)).code, "BUS");
    assert.ok(performance.now() - begin > 4_500);
    there.signal("SIGCONT");
    await until("the late join", async () => {
      const members = await here.server.members("b").catch(() => []);
      return members.length === 2;
    });
    assert.equal(await here.server.roomSize("a"), 2);
    await here.server.disconnect(id, { code: 4_000 });
    assert.equal((await client.closed).code, 4_000);
    await until("onDisconnect", async () =>
      (await there.run<string[]>("return seen")).includes("disconnect server 4000"),
    );
  });

  test("one that was suspended takes nobody for gone before it has heard what came meanwhile", async (t) => {
    const bus = await Redis.start(t);
    const here = await join(t, bus);
    await meet(t, here, "a");
    const network = await Network.to(t, bus.port);
    const there = await Elsewhere.start(t, network);
    const size = "return server.roomSize('a').catch((error) => `partial ${error.partial}`)";
    assert.equal(await there.run(size), 1);
    await there.pause();
    network.cut({ back: true });
    // Longer than it takes to forget a process that is silent.
    await sleep(6_500);
    const asked = there.run(size);
    there.signal("SIGCONT");
    assert.equal(await asked, "partial 0");
    network.heal();
    await until("the whole answer", async () => (await there.run(size)) === 1);
  });
});

describe("a publisher among them", needsRedis, () => {
  test("asks all servers, and has clients join, leave and be disconnected", async (t) => {
    const bus = await Redis.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const [first, second] = [await meet(t, one, "a"), await meet(t, two, "a")];
    const publisher = createPublisher<App["router"]>(redis({ url: bus.url, prefix: PREFIX }));
    const { members, roomSize, leave, disconnect } = publisher;
    assert.deepEqual((await members("a")).toSorted(), [first.id, second.id].toSorted());
    await publisher.join([first.id, second.id], "b");
    publisher.send.said("b").toRoom("b");
    await until("both", () => heard(first.client, "b") === 1 && heard(second.client, "b") === 1);
    await leave(first.id, "b");
    assert.equal(await roomSize("b"), 1);
    await disconnect(second.id, { reason: "by cron" });
    assert.deepEqual(await second.client.closed, { code: 1_008, reason: "by cron" });
    await until("onDisconnect", () => two.disconnects[0]?.info.by === "server");
    assert.throws(() => publisher.join(1 as never, "a"), {
      message: /^publisher\.join: expected a client id/,
    });
    assert.throws(() => members(""), { message: /^publisher\.members: / });
    assert.throws(() => disconnect(first.id, { code: 1 }), { message: /^publisher\.disconnect: / });
    // The servers do not ask it.
    assert.equal(await one.server.clientCount({ everywhere: true }), 1);
    const { published } = publisher.metrics();
    assert.equal(published, 1);
    await publisher.close();
    assert.equal((await refusal(members("a"))).code, "PARTIAL");
    assert.equal((await refusal(publisher.join(first.id, "a"))).code, "BUS");
  });
});

describe("messages between processes that make no sense", needsRedis, () => {
  const number = (value: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(value, 0);
    return bytes;
  };
  const bytesOf = (id: string) => Buffer.from(id.replaceAll("-", ""), "hex");
  const message = (kind: number, ...fields: Uint8Array[]) =>
    Buffer.concat([Buffer.from([0x7a, 1, kind]), field(2, randomBytes(6)), ...fields]);
  /** The channel of the process that a client is connected to. */
  const ownerOf = (id: string) => `${PREFIX}:p:${id.slice(0, 13).replace("-", "")}`;

  test("are counted, and what another program orders well is done", async (t) => {
    const bus = await Redis.start(t);
    const app = await join(t, bus);
    const { id, client } = await meet(t, app, "a");
    const channel = ownerOf(id);
    const room = field(7, Buffer.from("b"));
    const order = (...fields: Uint8Array[]) => message(5, field(4, number(1)), ...fields);
    const what = (code: number) => field(15, Buffer.of(code));
    const to = field(8, bytesOf(id));
    const wrong: [string, Buffer][] = [
      [channel, order(to)],
      [channel, order(what(7), room, to)],
      [channel, order(what(0), field(7, Buffer.alloc(0)), to)],
      [channel, order(what(0), field(7, Buffer.from([0x80])), to)],
      [channel, order(what(2), field(18, Buffer.from([0xee, 0x03])), to)],
      [channel, order(what(2), to)],
      [channel, order(what(0), room, field(8, Buffer.alloc(15)))],
      [EVERYBODY, order(what(0), room, to)],
      [channel, message(5, what(0), room, to)],
      [channel, Buffer.from([0x7a, 1, 5])],
      [channel, Buffer.from([0x7a, 1, 4, 2, 255, 255, 255, 255])],
      [EVERYBODY, message(3, field(4, number(1)))],
      [EVERYBODY, message(6, field(4, number(1)))],
      [channelOf("a"), message(2)],
    ];
    await app.server.synced();
    for (const [on, bytes] of wrong) await bus.command("PUBLISH", on, bytes);
    await until("all of them", () => app.server.metrics().bus?.malformed === wrong.length);
    assert.deepEqual(await app.server.members("b").catch((error) => error.partial as unknown), []);
    await bus.command("PUBLISH", channel, order(what(0), room, to));
    await until("the join", async () => (await app.server.members("b")).length === 1);
    const close = field(18, Buffer.from([0xa0, 0x0f]));
    const reason = field(19, Buffer.from("bye"));
    await bus.command("PUBLISH", channel, order(what(2), close, reason, to));
    assert.deepEqual(await client.closed, { code: 4_000, reason: "bye" });
  });

  test("floods of announcements, questions, answers and orders leave the server at work", async (t) => {
    const bus = await Redis.start(t);
    const app = await join(t, bus);
    const { id, client } = await meet(t, app, "a");
    const channel = ownerOf(id);
    const to = field(8, bytesOf(id));
    const what = field(15, Buffer.of(0));
    const [toAll, toOne]: [Buffer[], Buffer[]] = [[], []];
    for (let turn = 0; turn < 4_000; turn += 1) {
      const one = field(4, number(turn));
      const room = field(7, Buffer.from(`room ${turn % 10}`));
      const part = [field(16, Buffer.alloc(4)), field(17, number(9))];
      toAll.push(message(2, field(13, "")));
      toOne.push(
        message(3, one, field(15, Buffer.of(1)), room),
        message(4, one, ...part, to),
        message(5, one, what, room, to),
      );
    }
    await Promise.all([bus.publish(EVERYBODY, toAll), bus.publish(channel, toOne)]);
    await client.roundTrip();
    const isIn = async (room: string) =>
      (await app.server.members(room).catch((): string[] => [])).includes(id);
    await until("an answer", () => isIn("room 1"));
    // Once an order that came behind them is carried out, all others are too. In a flood some are refused.
    const last = field(7, Buffer.from("last"));
    await until("the last order", async () => {
      await bus.command("PUBLISH", channel, message(5, field(4, number(1)), what, last, to));
      return isIn("last");
    });
    assert.equal(app.server.metrics().bus?.malformed, 0);
    assert.equal(app.errors.filter(({ code }) => code !== "BUS").length, 0);
    await app.server.leave(id, "room 1");
    assert.deepEqual(await app.server.members("room 1"), []);
  });
});
