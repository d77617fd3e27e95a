// Outgoing messages that say for themselves what becomes of them for a client that does not read.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createServer, zocket, type ServerOptions, type ZocketContext } from "@zocket/core";

import { anything, Queue, serve, syncHandlers, Talker, until } from "./_talk.ts";

const KIB = 1024;
/** So many of these are far more than any socket buffer holds. */
const MANY = 400;
const TEXT = "x".repeat(64 * KIB);
const ROOM = "arena";

const zo = zocket.create({ headers: anything });
const { incoming, outgoing } = zo.message;
const routes = {
  sync: incoming({ payload: anything }),
  onSync: outgoing({ payload: anything }),
  enter: incoming({ payload: anything }),
  chat: { onSaid: outgoing({ payload: anything }) },
  game: {
    room: { onState: outgoing({ payload: anything, slowClient: "latest" }) },
    onCursor: outgoing({ payload: anything, slowClient: "latest" }),
    onSpark: outgoing({ payload: anything, slowClient: "drop" }),
    onTurn: outgoing({ payload: anything, slowClient: "disconnect" }),
  },
};
type Ctx = ZocketContext<{}, typeof routes>;

async function listen(t: TestContext, options: ServerOptions = {}) {
  const contexts = new Queue<Ctx>("a context");
  const app = zo.router(routes, {
    ...syncHandlers,
    enter: ({ ctx }) => {
      ctx.rooms.join(ROOM);
      contexts.push(ctx);
    },
  });
  const { server, problems } = serve(t, (onError) =>
    // With one thread, who has answered the one client has done with what was sent to the other before.
    createServer(app, zo, {
      port: 0,
      onError,
      maxBackpressure: 256 * KIB,
      ioThreads: 1,
      ...options,
    }),
  );
  const metrics = () => {
    const now = server.metrics();
    assert.equal(now.sent, now.written + now.queued + now.dropped, JSON.stringify(now));
    return now;
  };
  /** A client in the room, and its context. */
  const enter = async () => {
    const talker = await Talker.meet(t, server.url);
    talker.say("enter");
    return { talker, ctx: await contexts.next(), id: talker.id };
  };
  const [slow, quick] = [await enter(), await enter()];
  const { dropped, sent } = metrics();
  assert.equal(dropped, 0);
  slow.talker.socket.pause();
  return { server, problems, metrics, slow, quick, before: sent };
}
type Started = Awaited<ReturnType<typeof listen>>;

/** Every way to send, to the slow client alone or to a room where it is. */
function ways({ server, slow, quick }: Started): ((payload: unknown) => void)[] {
  return [
    (payload) => server.send.game.room.onState(payload).to(slow.id),
    (payload) => server.send.game.room.onState(payload).to([slow.id, "nobody", slow.id]),
    (payload) => server.send.game.room.onState(payload).toRoom(ROOM),
    (payload) => server.send.game.room.onState(payload).toRoom([ROOM, "empty", ROOM]),
    (payload) => server.send.game.room.onState(payload).broadcast(),
    (payload) => server.publish(ROOM, "game.room.onState", payload),
    (payload) => slow.ctx.send.game.room.onState(payload).to(slow.id),
    (payload) => quick.ctx.send.game.room.onState(payload).broadcast(),
    (payload) => quick.ctx.rooms.broadcast(ROOM, "game.room.onState", payload),
  ];
}

const numberOf = (payload: unknown) => (payload as [number])[0];
const isAscending = (numbers: number[]) =>
  numbers.every((number, at) => at === 0 || (numbers[at - 1] as number) < number);

/** What a client gets until the message with this number, which comes last. */
async function readTo(talker: Talker, last: number) {
  const read: { type: string; number: number }[] = [];
  while (read.at(-1)?.number !== last) {
    const { type, payload } = await talker.next();
    read.push({ type, number: numberOf(payload) });
  }
  return read;
}

describe('slowClient: "latest" on an outgoing message', () => {
  for (const [name, pause] of [
    ["each in a turn of its own", () => new Promise(setImmediate)],
    ["all in one turn", () => undefined],
  ] as const) {
    test(`the newest alone waits for a client that does not read: ${name}`, async (t) => {
      const started = await listen(t);
      const { metrics, slow, quick, problems, before } = started;
      const all = ways(started);
      for (let number = 0; number < MANY; number++) {
        all[number % all.length]?.([number, TEXT]);
        await pause();
      }
      // One waits, and another may have begun to leave; the quick one may have some to read yet.
      assert.ok((await quick.talker.sync()).length > 0);
      await until(() => metrics().queued <= 2, "one waits");
      const { dropped } = metrics();
      assert.ok(dropped > 0, `${dropped} were dropped`);

      slow.talker.socket.resume();
      const read = await readTo(slow.talker, MANY - 1);
      assert.ok(isAscending(read.map(({ number }) => number)));
      assert.ok(read.every(({ type }) => type === "game.room.onState"));
      await until(() => metrics().queued === 0, "all is written");
      assert.equal(metrics().dropped, dropped);
      assert.ok(metrics().sent > before + MANY);
      all[0]?.([MANY]);
      assert.deepEqual(await slow.talker.expect("game.room.onState"), [MANY]);
      assert.deepEqual(problems.drain(), []);
    });
  }

  test("in a room the quick ones get every message", async (t) => {
    const { server, slow, quick, metrics, before } = await listen(t, { ioThreads: 2 });
    for (let number = 0; number < MANY; number++) {
      server.publish(ROOM, "game.room.onState", [number, TEXT]);
      assert.equal(numberOf(await quick.talker.expect("game.room.onState")), number);
    }
    slow.talker.socket.resume();
    const read = await readTo(slow.talker, MANY - 1);
    assert.ok(read.length < MANY && isAscending(read.map(({ number }) => number)));
    await until(() => metrics().queued === 0, "all is written");
    const { sent, dropped } = metrics();
    assert.equal(sent, before + 2 * MANY);
    assert.equal(dropped, MANY - read.length);
  });

  test("a client that reads gets all that one turn sends", async (t) => {
    const { server, quick } = await listen(t);
    const numbers = Array.from({ length: 200 }, (_, number) => number);
    for (const number of numbers) server.send.game.room.onState([number]).to(quick.id);
    const got = (await quick.talker.sync()).map(({ payload }) => numberOf(payload));
    assert.deepEqual(got, numbers);
  });

  test("messages of other routes all arrive, and everything arrives in the order of the sends", async (t) => {
    const { server, slow, problems, metrics } = await listen(t, { maxBackpressure: 2 ** 30 });
    const { chat, game } = server.send;
    const ways = [
      ["chat.onSaid", chat.onSaid],
      ["game.room.onState", game.room.onState],
      ["game.onCursor", game.onCursor],
      ["game.room.onState", game.room.onState],
      ["game.onSpark", game.onSpark],
      ["game.onCursor", game.onCursor],
      ["game.onTurn", game.onTurn],
    ] as const;
    const sent: { type: string; number: number }[] = [];
    for (let number = 0; number < MANY; number++) {
      const [type, message] = ways[number % ways.length] as (typeof ways)[number];
      message([number, TEXT]).to(slow.id);
      sent.push({ type, number });
      if (number % 10 === 0) await new Promise(setImmediate);
    }
    chat.onSaid([MANY]).to(slow.id);
    sent.push({ type: "chat.onSaid", number: MANY });
    await until(() => metrics().dropped > 0, "something is superseded");
    slow.talker.socket.resume();
    const read = await readTo(slow.talker, MANY);
    assert.ok(isAscending(read.map(({ number }) => number)));
    const isLatest = ({ type }: { type: string }) => /State|Cursor/.test(type);
    assert.deepEqual(
      read.filter((message) => !isLatest(message)),
      sent.filter((message) => !isLatest(message)),
    );
    const latest = read.filter(isLatest);
    assert.ok(latest.length < sent.filter(isLatest).length);
    for (const type of ["game.room.onState", "game.onCursor"]) {
      const newest = (all: typeof sent) => all.findLast((message) => message.type === type);
      assert.deepEqual(newest(latest), newest(sent));
    }
    assert.deepEqual(problems.drain(), []);
  });
});

describe("the policy of a message wins over that of the server", () => {
  /** Sends sparks until they are dropped one after the other. */
  async function overfill({ server, slow, quick, metrics }: Started): Promise<void> {
    for (let refused = 0, round = 0; refused < 50; round++) {
      const { dropped } = metrics();
      server.send.game.onSpark([-1, TEXT]).to(slow.id);
      assert.deepEqual(await quick.talker.sync(), []);
      refused = metrics().dropped > dropped ? refused + 1 : 0;
      assert.ok(round < 10_000, "nothing is dropped");
    }
  }

  test('with "drop" and "latest" a client stays that the server would disconnect', async (t) => {
    const started = await listen(t, { slowClient: "disconnect" });
    const { server, slow, quick, problems } = started;
    await overfill(started);
    server.send.game.room.onState([1]).to(slow.id);
    server.send.game.onSpark([2]).to(slow.id);
    server.send.game.onCursor([3]).toRoom(ROOM);
    assert.equal((await quick.talker.sync()).length, 1);
    assert.equal(server.clientCount(), 2);
    slow.talker.socket.resume();
    const read = await readTo(slow.talker, 3);
    assert.deepEqual(
      read.filter(({ number }) => number > 0),
      [
        { type: "game.room.onState", number: 1 },
        { type: "game.onCursor", number: 3 },
      ],
    );
    assert.deepEqual(problems.drain(), []);
  });

  test('with "disconnect" a client goes that the server would keep', async (t) => {
    const started = await listen(t, { slowClient: "drop" });
    const { server, slow, quick, problems, metrics } = started;
    await overfill(started);
    server.send.chat.onSaid([1]).to(slow.id);
    assert.deepEqual(await quick.talker.sync(), []);
    assert.equal(server.clientCount(), 2);
    server.send.game.onTurn([2]).broadcast();
    const { info } = await problems.next();
    assert.deepEqual({ ...info }, { code: "SLOW_CLIENT", clientId: slow.id });
    assert.deepEqual(await quick.talker.sync(), [{ type: "game.onTurn", payload: [2] }]);
    assert.equal(server.clientCount(), 1);
    await until(() => metrics().queued === 0, "nothing waits for anybody");
  });
});
