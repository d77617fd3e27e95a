// `ctx.rooms`, the rooms `onDisconnect` sees, and the rooms `metrics()` counts.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createServer, zocket, type ZocketContext } from "@zocket/core";

import { anything, HARD_STRINGS, Queue, serve, syncHandlers, Talker, until } from "./_talk.ts";

/** A server whose `go` hands the test the client's `ctx`. */
function listen(t: TestContext) {
  const gone = new Queue<[clientId: string, rooms: ReadonlySet<string>]>("onDisconnect");
  const own = zocket.create({
    headers: anything,
    onDisconnect: (ctx, clientId) => gone.push([clientId, ctx.rooms]),
  });
  const { incoming, outgoing } = own.message;
  const routes = {
    sync: incoming({ payload: anything }),
    onSync: outgoing({ payload: anything }),
    go: incoming({ payload: anything }),
    onSaid: outgoing({ payload: anything }),
    deep: { onSaid: outgoing({ payload: anything }) },
  };
  const contexts = new Queue<ZocketContext<{}, typeof routes>>("a context");
  const app = own.router(routes, { ...syncHandlers, go: ({ ctx }) => contexts.push(ctx) });
  const started = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
  const context = async (talker: Talker) => {
    talker.say("go");
    return contexts.next();
  };
  const meet = async (...rooms: string[]) => {
    const talker = await Talker.meet(t, started.server.url);
    const ctx = await context(talker);
    for (const room of rooms) ctx.rooms.join(room);
    return { talker, ctx, id: talker.id };
  };
  return { ...started, gone, meet, context };
}

describe("ctx.rooms", () => {
  test("a client is in no room at first, in those it joined, and in no room it left", async (t) => {
    const { meet } = listen(t);
    const { rooms } = (await meet()).ctx;
    assert.deepEqual([...rooms.current], []);
    assert.equal(rooms.has("red"), false);
    rooms.join("red");
    rooms.join("blue");
    rooms.join("red");
    assert.deepEqual([...rooms.current], ["red", "blue"]);
    assert.equal(rooms.has("red"), true);
    rooms.leave("red");
    rooms.leave("red");
    rooms.leave("never joined");
    assert.deepEqual([...rooms.current], ["blue"]);
    assert.equal(rooms.has("red"), false);
  });

  test("joining twice and leaving once is having left", async (t) => {
    const { meet } = listen(t);
    const { ctx, talker } = await meet("red", "red");
    ctx.send.onSaid("once").toRoom("red");
    ctx.rooms.leave("red");
    ctx.send.onSaid("lost").toRoom("red");
    assert.deepEqual(await talker.sync(), [{ type: "onSaid", payload: "once" }]);
  });

  test("rooms last from message to message, and are the client's own", async (t) => {
    const { meet, context } = listen(t);
    const [a, b] = [await meet("red"), await meet("blue")];
    const later = await context(a.talker);
    assert.deepEqual([...later.rooms.current], ["red"]);
    later.rooms.join("green");
    assert.deepEqual([...a.ctx.rooms.current], ["red", "green"]);
    assert.deepEqual([...b.ctx.rooms.current], ["blue"]);
  });

  test("current is live: what was taken before a join shows it", async (t) => {
    const { meet } = listen(t);
    const { rooms } = (await meet()).ctx;
    const { current } = rooms;
    rooms.join("red");
    assert.equal(current.has("red"), true);
    assert.equal(current.size, 1);
    rooms.leave("red");
    assert.equal(current.size, 0);
  });

  test("current is a set to read: every way to read one works", async (t) => {
    const { meet } = listen(t);
    const { current } = (await meet("red", "blue")).ctx.rooms;
    assert.equal(current.size, 2);
    assert.deepEqual([...current], ["red", "blue"]);
    assert.deepEqual([...current.keys()], ["red", "blue"]);
    assert.deepEqual([...current.values()], ["red", "blue"]);
    assert.deepEqual(
      [...current.entries()],
      [
        ["red", "red"],
        ["blue", "blue"],
      ],
    );
    const seen: string[] = [];
    current.forEach((room, again) => seen.push(room, again));
    assert.deepEqual(seen, ["red", "red", "blue", "blue"]);
    assert.deepEqual(new Set(current), new Set(["red", "blue"]));
  });

  test("current cannot be changed through, not even by Set's own methods", async (t) => {
    const { meet, server } = listen(t);
    const { ctx, talker } = await meet("red");
    const { current } = ctx.rooms;
    const attempts = [
      () => (current as Set<string>).add("forged"),
      () => (current as Set<string>).delete("red"),
      () => (current as Set<string>).clear(),
      () => Set.prototype.add.call(current, "forged"),
      () => Set.prototype.delete.call(current, "red"),
      () => Set.prototype.clear.call(current),
      () => Object.assign(current, { has: () => true, size: 7 }),
      () => Reflect.set(ctx.rooms, "current", new Set(["forged"])),
      () => current.forEach((_room, _again, set) => (set as Set<string>).add("forged")),
    ];
    for (const attempt of attempts) {
      try {
        attempt();
      } catch {
        // Refusing loudly is as good as ignoring.
      }
    }
    talker.say("go");
    assert.deepEqual(await talker.sync(), []);
    const { rooms } = (await meet()).ctx;
    assert.equal(rooms.has("forged"), false);
    assert.equal(ctx.rooms.has("forged"), false);
    assert.equal(ctx.rooms.has("red"), true);
    assert.equal(server.metrics().rooms, 1);
    server.send.onSaid("forged").toRoom("forged");
    server.send.onSaid("red").toRoom("red");
    assert.deepEqual(await talker.sync(), [{ type: "onSaid", payload: "red" }]);
  });

  test("current and rooms cannot be made to lie: nothing can be defined on them", async (t) => {
    const { meet, context } = listen(t);
    const { ctx, talker } = await meet("red");
    for (const object of [ctx.rooms.current, ctx.rooms]) {
      assert.equal(Reflect.defineProperty(object, "has", { value: () => true }), false);
      assert.equal(
        Reflect.set(object, "has", () => true),
        false,
      );
      assert.equal(Reflect.set(object, "note", 1), false);
      assert.equal(Reflect.setPrototypeOf(object, { has: () => true }), false);
    }
    const { rooms } = await context(talker);
    assert.equal(rooms.has("forged"), false);
    assert.equal(rooms.current.has("forged"), false);
    assert.ok(!("note" in rooms));
  });

  test("an iterator of current sees what is joined and left while it runs, as that of a Set does", async (t) => {
    const { meet } = listen(t);
    const { rooms } = (await meet()).ctx;
    const iterator = rooms.current.values();
    rooms.join("red");
    rooms.join("blue");
    assert.deepEqual(iterator.next(), { done: false, value: "red" });
    rooms.leave("blue");
    rooms.join("green");
    assert.deepEqual([...iterator], ["green"]);
    const seen: string[] = [];
    for (const room of rooms.current) {
      seen.push(room);
      rooms.leave(room);
      if (seen.length < 5) rooms.join(`${room}+`);
    }
    assert.equal(seen.length, 6);
  });

  test("current combines with other sets, on every Node", async (t) => {
    const { meet } = listen(t);
    const current = (await meet("red", "blue")).ctx.rooms.current as ReadonlySet<string> &
      Record<string, (other: ReadonlySet<string>) => Iterable<string> & boolean>;
    const other = new Set(["blue", "green"]);
    const sets = ["union", "intersection", "difference", "symmetricDifference"].map((method) =>
      [...(current[method]?.(other) ?? "missing")].sort().join(),
    );
    assert.deepEqual(sets, ["blue,green,red", "blue", "red", "green,red"]);
    for (const [method, subset, superset, apart] of [
      ["isSubsetOf", true, false, false],
      ["isSupersetOf", false, true, false],
      ["isDisjointFrom", false, false, true],
    ] as const) {
      assert.equal(current[method]?.(new Set(["red", "blue", "green"])), subset, method);
      assert.equal(current[method]?.(new Set(["red"])), superset, method);
      assert.equal(current[method]?.(new Set(["green"])), apart, method);
    }
  });

  test("broadcast sends a route to a room, whether or not the sender is in it", async (t) => {
    const { meet } = listen(t);
    const [a, b] = [await meet("red"), await meet("blue")];
    a.ctx.rooms.broadcast("red", "onSaid", 1);
    b.ctx.rooms.broadcast("red", "deep.onSaid", { n: 2 });
    a.ctx.rooms.broadcast("blue", "onSaid", null);
    a.ctx.rooms.broadcast("empty", "onSaid", 3);
    assert.deepEqual(await a.talker.sync(), [
      { type: "onSaid", payload: 1 },
      { type: "deep.onSaid", payload: { n: 2 } },
    ]);
    assert.deepEqual(await b.talker.sync(), [{ type: "onSaid", payload: null }]);
  });
});

describe("a room's name", () => {
  test("may be any text: each is a room of its own", async (t) => {
    const { meet, server } = listen(t);
    const names = [
      ...HARD_STRINGS.filter((name) => name !== ""),
      "x".repeat(1000),
      "é".repeat(2000),
      "null",
      "undefined",
      "0",
      "a,b",
      "a.b",
      "\ud801",
      "\ud800\ud800",
    ];
    const { ctx, talker } = await meet(...names);
    assert.deepEqual([...ctx.rooms.current], names);
    assert.equal(await counted(talker, () => server.metrics().rooms), names.length);
    for (const name of names) ctx.send.onSaid(name).toRoom(name);
    assert.deepEqual(
      (await talker.sync()).map(({ payload }) => payload),
      names,
    );
    for (const name of names) {
      assert.equal(ctx.rooms.has(name), true);
      ctx.rooms.leave(name);
      assert.equal(ctx.rooms.has(name), false);
      ctx.send.onSaid(name).toRoom(name);
    }
    assert.deepEqual(await talker.sync(), []);
    assert.equal(server.metrics().rooms, 0);
  });

  test("is at most 4096 bytes of UTF-8: a longer one is a TypeError, and no room", async (t) => {
    const { meet, server } = listen(t);
    const { ctx, talker } = await meet();
    for (const name of ["x".repeat(4096), "é".repeat(2048), "😀".repeat(1024)]) {
      ctx.rooms.join(name);
      ctx.send.onSaid("fits").toRoom(name);
      assert.equal(await talker.expect("onSaid"), "fits");
      for (const long of [`${name}x`, "é".repeat(2049), "x".repeat(100_000)]) {
        assert.throws(() => ctx.rooms.join(long), TypeError);
        assert.equal(ctx.rooms.has(long), false);
      }
    }
    assert.deepEqual(await talker.sync(), []);
    assert.equal(server.metrics().rooms, 3);
  });

  test("is not empty: an empty one is a TypeError, and nobody is in it", async (t) => {
    const { meet, server } = listen(t);
    const { ctx, talker } = await meet("red");
    const wrong = {
      name: "TypeError",
      message: /: expected a room name of 1 to 4096 bytes, got ""$/,
    };
    const { rooms, send } = ctx;
    assert.throws(() => rooms.join(""), wrong);
    assert.throws(() => rooms.leave(""), wrong);
    assert.throws(() => rooms.broadcast("", "onSaid", 1), wrong);
    assert.throws(() => send.onSaid(1).toRoom(""), wrong);
    assert.throws(() => send.onSaid(1).toRoom(["red", ""]), wrong);
    assert.throws(() => server.publish("", "onSaid", 1), wrong);
    assert.equal(rooms.has(""), false);
    assert.deepEqual(await talker.sync(), []);
    assert.equal(server.metrics().rooms, 1);
  });

  test("that is no string is a TypeError", async (t) => {
    const { meet } = listen(t);
    const { ctx, talker } = await meet();
    for (const name of [undefined, null, 1, {}, ["red"], Symbol("red")]) {
      assert.throws(() => ctx.rooms.join(name as never), TypeError);
    }
    assert.deepEqual([...ctx.rooms.current], []);
    assert.deepEqual(await talker.sync(), []);
  });
});

/** What the function returns once the engine has seen everything that was sent so far. */
async function counted<T>(talker: Talker, count: () => T): Promise<T> {
  assert.deepEqual(await talker.sync(), []);
  return count();
}

describe("onDisconnect's rooms", () => {
  test("are those the client was in at that moment, and no others' joins", async (t) => {
    const { meet, gone } = listen(t);
    const [a] = [await meet("red", "blue", "green"), await meet("yellow")];
    a.ctx.rooms.leave("blue");
    await a.talker.leave();
    const [id, rooms] = await gone.next();
    assert.equal(id, a.id);
    assert.deepEqual([...rooms], ["red", "green"]);
  });

  test("are a set that stays as it was", async (t) => {
    const { meet, gone } = listen(t);
    const a = await meet("red");
    await a.talker.leave();
    const [, rooms] = await gone.next();
    a.ctx.rooms.join("late");
    a.ctx.rooms.leave("red");
    assert.deepEqual([rooms.size, rooms.has("red"), rooms.has("late")], [1, true, false]);
  });

  test("are empty for who never joined", async (t) => {
    const { meet, gone } = listen(t);
    await (await meet()).talker.leave();
    assert.equal((await gone.next())[1].size, 0);
  });
});

describe("metrics().rooms", () => {
  test("counts the rooms somebody is in", async (t) => {
    const { meet, server, gone } = listen(t);
    assert.equal(server.metrics().rooms, 0);
    const [a, b] = [await meet("red", "blue"), await meet("blue")];
    const rooms = () => counted(a.talker, () => server.metrics().rooms);
    assert.equal(await rooms(), 2);
    a.ctx.rooms.leave("blue");
    assert.equal(await rooms(), 2);
    await b.talker.leave();
    await gone.next();
    assert.equal(await rooms(), 1);
    a.ctx.rooms.leave("red");
    assert.equal(await rooms(), 0);
  });

  test("is 0 again when a thousand rooms and their members are gone", async (t) => {
    const { meet, server, gone } = listen(t);
    const names = Array.from({ length: 1000 }, (_, number) => `room ${number}`);
    const clients = [await meet(...names), await meet(...names)];
    for (const { talker } of clients) await talker.sync();
    assert.equal(server.metrics().rooms, 1000);
    for (const { talker } of clients) await talker.leave();
    await gone.take(2);
    await until(() => server.metrics().rooms === 0, "the rooms are gone");
  });
});
