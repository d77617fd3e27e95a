// `server.members`, `server.roomSize` and `ctx.rooms.members`: who is in a room.
import { AsyncLocalStorage } from "node:async_hooks";
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer, zocket } from "@zocket/core";

import { listen, type Ctx } from "./_sends.ts";
import {
  anything,
  HARD_STRINGS,
  incoming,
  serve,
  syncHandlers,
  syncRoutes,
  Talker,
  until,
  zo,
} from "./_talk.ts";

type Meet = ReturnType<typeof listen>["meet"];

const idsOf = (clients: readonly { readonly id: string }[]) =>
  clients.map(({ id }) => id).toSorted();

async function crowd(meet: Meet, count: number, ...rooms: string[]) {
  const clients: Awaited<ReturnType<Meet>>[] = [];
  while (clients.length < count) {
    const some = Array.from({ length: Math.min(50, count - clients.length) }, () => meet(...rooms));
    clients.push(...(await Promise.all(some)));
  }
  return clients;
}

describe("members and roomSize", () => {
  test("tell of the clients of every I/O thread, whoever asks", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 3 });
    const red = await crowd(meet, 8, "red");
    const both = await crowd(meet, 5, "red", "blue");
    const [outside] = await crowd(meet, 1);
    const expected = idsOf([...red, ...both]);
    assert.deepEqual((await server.members("red")).toSorted(), expected);
    assert.deepEqual((await server.members("blue")).toSorted(), idsOf(both));
    assert.deepEqual((await outside!.ctx.rooms.members("red")).toSorted(), expected);
    assert.deepEqual((await red[0]!.ctx.rooms.members("red")).toSorted(), expected);
    assert.equal(await server.roomSize("red"), 13);
    assert.equal(await server.roomSize("blue"), 5);
  });

  test("tell of nobody in a room that there is not, and of a server without clients", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 2 });
    assert.deepEqual(await server.members("red"), []);
    assert.equal(await server.roomSize("red"), 0);
    const { ctx } = await meet("blue");
    for (const name of ["red", "BLUE", "blue ", "__proto__", "constructor"]) {
      assert.deepEqual(await server.members(name), []);
      assert.deepEqual(await ctx.rooms.members(name), []);
      assert.equal(await server.roomSize(name), 0);
    }
  });

  test("know of the joins and leaves before them", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 2 });
    const [a, b] = [await meet(), await meet("red")];
    for (let round = 0; round < 50; round++) {
      a.ctx.rooms.join("red");
      const [inside, size] = [a.ctx.rooms.members("red"), server.roomSize("red")];
      assert.deepEqual((await inside).toSorted(), idsOf([a, b]));
      assert.equal(await size, 2);
      a.ctx.rooms.leave("red");
      assert.deepEqual(await server.members("red"), [b.id]);
      assert.equal(await server.roomSize("red"), 1);
    }
  });

  test("are of the moment of the question, whatever is done before the answer", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 2 });
    const [a, b] = [await meet("red"), await meet("red")];
    const before = server.members("red");
    a.ctx.rooms.leave("red");
    const between = server.members("red");
    await server.leave(b.id, "red");
    const after = [server.members("red"), server.roomSize("red")];
    assert.deepEqual((await before).toSorted(), idsOf([a, b]));
    assert.deepEqual(await between, [b.id]);
    assert.deepEqual(await Promise.all(after), [[], 0]);
  });

  test("know a room by any name that it may have", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 2 });
    const names = HARD_STRINGS.filter((name) => name !== "");
    const { ctx, id } = await meet(...names, "x".repeat(4_096));
    for (const name of [...names, "x".repeat(4_096)]) {
      assert.deepEqual(await ctx.rooms.members(name), [id], JSON.stringify(name));
      assert.equal(await server.roomSize(name), 1);
    }
  });

  test("do not know a client that has gone, once its onDisconnect has begun", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 1 });
    const [a, b] = [await meet("red"), await meet("red")];
    await b.talker.leave();
    await until(() => server.clientCount() === 1, "it is gone");
    // It takes the place of the one that left.
    const c = await meet();
    assert.deepEqual(await server.members("red"), [a.id]);
    assert.deepEqual(await c.ctx.rooms.members("red"), [a.id]);
    // The context of a client that is gone can still ask.
    assert.deepEqual(await b.ctx.rooms.members("red"), [a.id]);
    assert.equal(await server.roomSize("red"), 1);
  });

  test("tell of a room of thousands in full, each client once", { timeout: 500_000 }, async (t) => {
    const { meet, server } = listen(t, { ioThreads: 2 });
    const clients = await crowd(meet, 2_500, "large");
    await crowd(meet, 3, "small");
    const answers = await Promise.all([
      server.members("large"),
      server.members("small"),
      clients[0]!.ctx.rooms.members("large"),
    ]);
    const expected = idsOf(clients);
    assert.deepEqual(answers[0].toSorted(), expected);
    assert.deepEqual(answers[2].toSorted(), expected);
    assert.equal(answers[1].length, 3);
    assert.equal(await server.roomSize("large"), 2_500);
    // Of the moment of the question, whoever goes while the parts come.
    const asked = server.members("large");
    for (const { ctx } of clients) ctx.rooms.leave("large");
    assert.deepEqual((await asked).toSorted(), expected);
    assert.deepEqual(await server.members("large"), []);
  });

  test("answer hundreds of questions that are asked at once", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 2 });
    const clients = await crowd(meet, 3, "red");
    const asked = Array.from({ length: 600 }, (_, n) =>
      n % 2 === 0 ? server.members("red") : server.roomSize("red"),
    );
    const expected = idsOf(clients);
    for (const [n, answer] of (await Promise.all(asked)).entries()) {
      if (n % 2 === 0) assert.deepEqual((answer as string[]).toSorted(), expected);
      else assert.equal(answer, 3);
    }
  });

  test("refuse one more than ten thousand that wait, and answer all the others", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 2 });
    await meet("red");
    const asked = Array.from({ length: 11_000 }, () => server.roomSize("red"));
    const answers = await Promise.allSettled(asked);
    const sizes = answers.filter((it) => it.status === "fulfilled").map(({ value }) => value);
    const errors = answers.filter((it) => it.status === "rejected").map(({ reason }) => reason);
    assert.ok(sizes.length >= 10_000 && sizes.length < 10_100, `${sizes.length} answers`);
    assert.deepEqual([...new Set(sizes)], [1]);
    assert.equal(errors.length, 11_000 - sizes.length);
    for (const error of errors as (Error & { code?: string })[]) {
      assert.ok(error instanceof Error);
      assert.equal(error.code, "TOO_MANY_QUESTIONS");
    }
    assert.equal(await server.roomSize("red"), 1);
  });

  test("give each one who asks an array of its own", async (t) => {
    const { meet, server } = listen(t);
    const { id } = await meet("red");
    const [first, second] = await Promise.all([server.members("red"), server.members("red")]);
    assert.ok(Array.isArray(first));
    first.push("forged");
    assert.deepEqual(second, [id]);
  });

  test("continue in the asynchronous context of the one who asked", async (t) => {
    const storage = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const enter = zo.message.use(({ ctx }) => storage.enterWith(ctx.clientId));
    const routes = {
      ask: enter.incoming({ payload: anything }),
      enter: incoming({ payload: anything }),
    };
    const app = zo.router(routes, {
      enter: ({ ctx }) => ctx.rooms.join("red"),
      ask: async ({ ctx }) => {
        await ctx.rooms.members("red");
        seen.push(storage.getStore() === ctx.clientId ? "own" : storage.getStore());
        await server.roomSize("red");
        seen.push(storage.getStore() === ctx.clientId ? "own" : storage.getStore());
      },
    });
    const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talkers = [];
    for (let at = 0; at < 4; at++) talkers.push(await Talker.open(t, server.url));
    for (const talker of talkers) {
      talker.say("enter");
      for (let again = 0; again < 25; again++) talker.say("ask");
    }
    await until(() => seen.length === 200, "all have their answers");
    assert.deepEqual([...new Set(seen)], ["own"]);
  });

  test(
    "let timers run while a large room is asked again and again",
    { timeout: 500_000 },
    async (t) => {
      const { meet, server } = listen(t, { ioThreads: 2 });
      await crowd(meet, 1_500, "large");
      let ticks = 0;
      const timer = setInterval(() => (ticks += 1), 1);
      t.after(() => clearInterval(timer));
      for (let round = 0; round < 5; round++) {
        const answers = await Promise.all(
          Array.from({ length: 40 }, () => server.members("large")),
        );
        for (const answer of answers) assert.equal(answer.length, 1_500);
      }
      assert.ok(ticks > 2, `${ticks} ticks`);
    },
  );
});

describe("a wrong name", () => {
  test("is the TypeError of ctx.rooms, thrown at once", async (t) => {
    const { meet, server } = listen(t);
    const a = await meet("red");
    const asking: [string, (name: never) => unknown][] = [
      ["rooms.members", (name) => a.ctx.rooms.members(name)],
      ["server.members", (name) => server.members(name)],
      ["server.roomSize", (name) => server.roomSize(name)],
    ];
    for (const [place, ask] of asking) {
      for (const name of [undefined, null, 7, {}, ["red"], Symbol("red")]) {
        const message = new RegExp(`^${place}: expected a room name, got `);
        assert.throws(() => ask(name as never), { name: "TypeError", message });
      }
      for (const name of ["", "x".repeat(4_097), "漢".repeat(1_366)]) {
        const message = new RegExp(`^${place}: expected a room name of 1 to 4096 bytes, got "`);
        assert.throws(() => ask(name as never), { name: "TypeError", message });
      }
    }
  });

  test("does nothing else: functions that were taken off work, and answer", async (t) => {
    const { meet, server } = listen(t);
    const { ctx, id } = await meet("red");
    const { members, roomSize } = server;
    const own = ctx.rooms.members;
    assert.throws(() => own("" as never), TypeError);
    assert.deepEqual([await members("red"), await own("red")], [[id], [id]]);
    assert.equal(await roomSize("red"), 1);
  });
});

describe("when the server stops", () => {
  /** Asks in every way, and says how each answer settled. */
  const askAll = (
    server: { members(room: string): unknown; roomSize(room: string): unknown },
    ctx: Ctx,
  ) => Promise.all([server.members("red"), server.roomSize("red"), ctx.rooms.members("red")]);

  for (const how of [undefined, true, { drain: 50 }] as const) {
    const name = how === true ? "true" : how ? "{ drain }" : "";
    test(`every question settles, before and after stop(${name})`, async (t) => {
      const { meet, server, problems } = listen(t, { ioThreads: 2 });
      const clients = await crowd(meet, 20, "red");
      const { ctx } = clients[0]!;
      const before = Array.from({ length: 100 }, () => askAll(server, ctx));
      const stopped = server.stop(how);
      const during = Array.from({ length: 100 }, () => askAll(server, ctx));
      let asking = true;
      void stopped.then(() => (asking = false));
      const later = [];
      while (asking) {
        later.push(askAll(server, ctx));
        await new Promise(setImmediate);
      }
      for (const [members, size, own] of await Promise.all([...before, ...during, ...later])) {
        for (const ids of [members as string[], own]) {
          assert.ok(ids.length <= 20);
          assert.equal(new Set(ids).size, ids.length);
        }
        assert.ok((size as number) <= 20);
      }
      assert.deepEqual(await askAll(server, ctx), [[], 0, []]);
      assert.deepEqual(await askAll(server, ctx), [[], 0, []]);
      assert.deepEqual(
        problems.drain().filter(({ info }) => info.code !== "STOP"),
        [],
      );
    });
  }

  test("onDisconnect may ask, and its client is in no room", async (t) => {
    const answers: [clientId: string, ids: string[]][] = [];
    const own = zocket.create({
      headers: anything,
      onDisconnect: async (ctx, clientId) => {
        assert.deepEqual([...ctx.rooms], ["red"]);
        answers.push([clientId, await server.members("red")]);
      },
    });
    const app = own.router(
      { ...syncRoutes, enter: own.message.incoming({ payload: anything }) },
      { ...syncHandlers, enter: ({ ctx }) => ctx.rooms.join("red") },
    );
    const { server } = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
    const talkers = [];
    for (let at = 0; at < 3; at++) {
      const talker = await Talker.open(t, server.url);
      talker.say("enter");
      await talker.sync();
      talkers.push(talker);
    }
    const [first, ...others] = talkers as [Talker, ...Talker[]];
    await first.leave();
    await until(() => answers.length === 1, "onDisconnect has asked");
    // In no order: each I/O thread tells of its own clients.
    const left = others.map(({ id }) => id).toSorted();
    assert.deepEqual([answers[0]?.[0], answers[0]?.[1].toSorted()], [first.id, left]);
    assert.deepEqual([...(await server.members("red"))].toSorted(), left);
    await server.stop();
    assert.equal(answers.length, 3);
    for (const [clientId, ids] of answers) assert.ok(!ids.includes(clientId));
  });
});
