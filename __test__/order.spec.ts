// The order in which one client's messages are handled, what waits for what, and that nobody else waits along.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createServer, type ServerOptions } from "@zocket/core";
import { z } from "zod";

import {
  anything,
  gate,
  incoming,
  Queue,
  schema,
  serve,
  syncHandlers,
  syncRoutes,
  Talker,
  until,
  zo,
} from "./_talk.ts";

/** A server that keeps `[who, payload]` of each call of `say`; a payload that is in `gates` waits for its gate. */
function listen(t: TestContext, where: "schema" | "middleware", options: ServerOptions = {}) {
  const gates = new Map<unknown, Promise<unknown>>();
  const entered: unknown[] = [];
  const handled = new Queue<[string, unknown]>("the handler");
  const wait = (payload: unknown) => {
    entered.push(payload);
    return gates.get(payload);
  };
  const slow = schema((value) => wait(value)?.then(() => ({ value })) ?? { value });
  const builder =
    where === "middleware"
      ? zo.message.use(({ payload }) => wait(payload) as Promise<void> | undefined)
      : zo.message;
  const routes = {
    ...syncRoutes,
    say: builder.incoming({ payload: where === "schema" ? slow : anything }),
  };
  const app = zo.router(routes, {
    ...syncHandlers,
    say: ({ payload, ctx }) => handled.push([ctx.clientId, payload]),
  });
  const started = serve(t, (onError) => createServer(app, zo, { port: 0, onError, ...options }));
  return { ...started, url: started.server.url, gates, entered, handled };
}

for (const where of ["schema", "middleware"] as const) {
  describe(`while one message is pending in its ${where}`, () => {
    test("that client's later ones wait, and start in their order when it is done", async (t) => {
      const { url, gates, handled, entered } = listen(t, where);
      const slow = await Talker.meet(t, url);
      const other = await Talker.meet(t, url);
      const first = gate();
      gates.set("first", first.promise);
      for (const word of ["first", "second", "third"]) slow.say("say", word);
      await until(() => entered.length > 0, "the first is pending");
      // Three times round by another client: time enough for the later ones to come through if they did not wait.
      for (let round = 0; round < 3; round++) {
        other.say("say", round);
        assert.deepEqual(await other.sync(), []);
      }
      assert.deepEqual(handled.drain(), [
        [other.id, 0],
        [other.id, 1],
        [other.id, 2],
      ]);
      first.open();
      assert.deepEqual(await handled.take(3), [
        [slow.id, "first"],
        [slow.id, "second"],
        [slow.id, "third"],
      ]);
    });

    test("one that fails in the end lets the next ones go on", async (t) => {
      const { url, gates, handled, problems, entered } = listen(t, where);
      const talker = await Talker.meet(t, url);
      const fail = gate<Promise<never>>();
      gates.set("fails", fail.promise);
      talker.say("say", "fails");
      talker.say("say", "next");
      await until(() => entered.length > 0, "the first is pending");
      fail.open(Promise.reject(new Error("no")));
      assert.deepEqual(await handled.next(), [talker.id, "next"]);
      const code = where === "schema" ? "INVALID_PAYLOAD" : "REJECTED";
      assert.equal((await problems.next()).info.code, code);
    });

    test("each of a hundred in a row that is pending for a moment is handled in its order", async (t) => {
      const { url, gates, handled } = listen(t, where);
      const talker = await Talker.meet(t, url);
      const numbers = Array.from({ length: 100 }, (_, number) => number);
      for (const number of numbers) {
        if (number % 3 === 0) gates.set(number, new Promise((resolve) => setImmediate(resolve)));
        if (number % 3 === 1) gates.set(number, Promise.resolve());
        talker.say("say", number);
      }
      const got = (await handled.take(100)).map(([, payload]) => payload);
      assert.deepEqual(got, numbers);
    });

    test("more than 64 waiting stop the reading of that client alone, and nothing is lost", async (t) => {
      const { url, gates, handled, entered, server } = listen(t, where);
      const slow = await Talker.meet(t, url);
      const other = await Talker.meet(t, url);
      const first = gate();
      gates.set(0, first.promise);
      const count = 20_000;
      const before = server.metrics().received;
      // Far more bytes than the system's socket buffers take.
      const padding = "x".repeat(1500);
      let rounds = 0;
      for (let number = 0; number < count; number++) {
        slow.raw(`{"type":"say","payload":${number},"padding":"${padding}"}`);
        if (number % 100 > 0) continue;
        // The server runs in this very thread, and needs its turns to find out that more than 64 wait.
        assert.deepEqual(await other.sync(), []);
        rounds++;
      }
      await until(() => entered.length > 0, "the first is pending");
      // As long as more keeps being read, this goes on: up to all of them, were the reading not stopped.
      for (let read = -1; read !== server.metrics().received - rounds;) {
        read = server.metrics().received - rounds;
        for (let round = 0; round < 50; round++, rounds++) {
          assert.deepEqual(await other.sync(), []);
        }
      }
      const read = server.metrics().received - before - rounds;
      assert.ok(read > 64, `only ${read} were read`);
      assert.ok(read < 3000, `${read} of ${count} were read`);
      assert.ok(slow.socket.bufferedAmount > 0);
      assert.equal(server.clientCount(), 2);
      assert.deepEqual(handled.drain(), []);
      first.open();
      const got = await handled.take(count);
      assert.ok(got.every(([id, payload], index) => id === slow.id && payload === index));
      assert.deepEqual(await slow.sync(), []);
    });

    test("what its client said before it left is dropped with it, and nobody else's", async (t) => {
      const { url, gates, handled, entered, server, problems } = listen(t, where);
      const slow = await Talker.meet(t, url);
      const other = await Talker.meet(t, url);
      const first = gate();
      gates.set("pending", first.promise);
      slow.say("say", "pending");
      slow.say("say", "later");
      await until(() => entered.length > 0, "the first is pending");
      await slow.leave();
      await until(() => server.clientCount() === 1, "it is gone");
      first.open();
      other.say("say", "mine");
      assert.deepEqual(await handled.next(), [other.id, "mine"]);
      assert.deepEqual(await other.sync(), []);
      assert.deepEqual(handled.drain(), []);
      assert.deepEqual(problems.drain(), []);
    });
  });
}

test("a message whose middleware is pending after its schema was holds the later ones as well", async (t) => {
  const opened = gate();
  let entered = false;
  const builder = zo.message.use(async ({ payload }) => {
    if (payload !== "first") return;
    entered = true;
    await opened.promise;
  });
  const payload = schema(async (value) => ({ value }));
  const handled = new Queue<unknown>("the handler");
  const routes = { ...syncRoutes, say: builder.incoming({ payload }) };
  const app = zo.router(routes, { ...syncHandlers, say: ({ payload }) => handled.push(payload) });
  const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
  const talker = await Talker.open(t, server.url);
  const other = await Talker.meet(t, server.url);
  talker.say("say", "first");
  talker.say("say", "second");
  await until(() => entered, "the middleware is pending");
  for (let round = 0; round < 3; round++) await other.sync();
  assert.deepEqual(handled.drain(), []);
  opened.open();
  assert.deepEqual(await handled.take(2), ["first", "second"]);
});

describe("a handler's promise", () => {
  test("is never waited for: the next message's handler starts while it is pending", async (t) => {
    const first = gate();
    const log = new Queue<string>("the handlers");
    const app = zo.router(
      { say: incoming({ payload: z.string() }) },
      {
        say: async ({ payload }) => {
          log.push(`${payload} starts`);
          if (payload === "first") await first.promise;
          log.push(`${payload} ends`);
        },
      },
    );
    const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    talker.say("say", "first");
    talker.say("say", "second");
    assert.deepEqual(await log.take(3), ["first starts", "second starts", "second ends"]);
    first.open();
    assert.equal(await log.next(), "first ends");
  });

  test("a thousand that never settle stop nothing", async (t) => {
    let started = 0;
    const routes = { ...syncRoutes, hang: incoming({ payload: anything }) };
    const app = zo.router(routes, {
      ...syncHandlers,
      hang: () => {
        started++;
        return new Promise<void>(() => {});
      },
    });
    const { server } = serve(t, (onError) =>
      createServer(app, zo, { port: 0, maxHandlersInFlight: 2_000, onError }),
    );
    const talker = await Talker.open(t, server.url);
    for (let number = 0; number < 1000; number++) talker.say("hang");
    assert.deepEqual(await talker.sync(), []);
    assert.equal(started, 1000);
  });
});

test("handlers of one client start in arrival order, whatever routes and shards there are", async (t) => {
  const got = new Map<string, number[]>();
  const keep = ({ payload, ctx }: { payload: number; ctx: { clientId: string } }) => {
    const list = got.get(ctx.clientId) ?? [];
    got.set(ctx.clientId, list);
    list.push(payload);
  };
  const later = zo.message.use(() => Promise.resolve());
  const routes = {
    ...syncRoutes,
    now: incoming({ payload: z.number() }),
    soon: incoming({ payload: z.number().refine(async () => true) }),
    later: later.incoming({ payload: z.number() }),
  };
  const app = zo.router(routes, { ...syncHandlers, now: keep, soon: keep, later: keep });
  const { server } = serve(t, (onError) =>
    createServer(app, zo, { port: 0, onError, ioThreads: 3 }),
  );
  const talkers = await Promise.all(Array.from({ length: 9 }, () => Talker.meet(t, server.url)));
  const numbers = Array.from({ length: 600 }, (_, number) => number);
  const kinds = ["now", "soon", "now", "later", "now", "now"];
  for (const number of numbers) {
    for (const [index, talker] of talkers.entries()) {
      talker.say(kinds[(number + index) % kinds.length] as string, number);
    }
  }
  for (const talker of talkers) {
    assert.deepEqual(await talker.sync(), []);
    assert.deepEqual(got.get(talker.id), numbers);
  }
});
