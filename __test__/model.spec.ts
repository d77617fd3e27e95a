// Hundreds of clients that join, leave, send and vanish at random, compared with a naive model of who must get what in
// which order, for several numbers of I/O threads.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { Client, dice, serve, type Context } from "./_support.ts";
import { soon, until } from "./_wait.ts";

const CLIENTS = 200;
const ROUNDS = 40;
const ROOMS = Array.from({ length: 12 }, (_, number) => `room ${number}`);

/** What must happen, worked out without any cleverness. */
class Model {
  /** The open clients with the rooms each is in. */
  readonly open = new Map<string, Set<string>>();
  /** For every client there ever was, the numbers it must get in their order. */
  readonly expected = new Map<string, number[]>();
  #number = 0;

  connect(id: string): void {
    this.open.set(id, new Set());
    this.expected.set(id, []);
  }

  /** The next number, which is for these clients. */
  send(isFor: (id: string, rooms: ReadonlySet<string>) => boolean): number {
    const number = ++this.#number;
    for (const [id, rooms] of this.open) {
      if (isFor(id, rooms)) this.expected.get(id)?.push(number);
    }
    return number;
  }
}

/** A server that does something random for each message, and tells the model. */
function launch(t: TestContext, ioThreads: number) {
  const roll = dice(ioThreads);
  const model = new Model();
  let asleep = 0;

  const some = <T>(list: readonly T[], most: number): T[] =>
    Array.from({ length: roll(most + 1) }, () => list[roll(list.length)] as T);

  const act = (ctx: Context) => {
    const { clientId, send, rooms } = ctx;
    const mine = model.open.get(clientId);
    assert.deepEqual([...rooms.current], [...(mine ?? [])]);
    const room = ROOMS[roll(ROOMS.length)] as string;
    assert.equal(rooms.has(room), mine?.has(room) ?? false);
    const kind = roll(10);
    if (kind < 2) {
      mine?.add(room);
      rooms.join(room);
    } else if (kind === 2) {
      mine?.delete(room);
      rooms.leave(room);
    }
    const from = roll(2) === 0 ? send : app.server.send;
    if (kind < 5) {
      const several = [room, ...some(ROOMS, 2), "nobody is here"];
      const isFor = (_: string, its: ReadonlySet<string>) => several.some((name) => its.has(name));
      from.said(model.send(isFor)).toRoom(several);
    } else if (kind < 7) {
      const isFor = (_: string, its: ReadonlySet<string>) => its.has(room);
      if (kind === 5) from.said(model.send(isFor)).toRoom(room);
      else if (roll(2) === 0) rooms.broadcast(room, "said", model.send(isFor));
      else app.server.publish(room, "said", model.send(isFor));
    } else if (kind < 9) {
      // Everybody who ever was, so that many are gone.
      const ids = [...some([...model.expected.keys()], 6), clientId, clientId, "nobody"];
      from.said(model.send((id) => ids.includes(id))).to(ids);
    } else if (roll(4) === 0) {
      from.said(model.send(() => true)).broadcast();
    }
  };

  const app = serve(t, {
    onConnect: (_, clientId) => model.connect(clientId),
    onDisconnect: ({ rooms }, clientId) => {
      assert.deepEqual([...rooms], [...(model.open.get(clientId) ?? ["never opened"])]);
      model.open.delete(clientId);
      const room = ROOMS[roll(ROOMS.length)] as string;
      const number = model.send((_, its) => its.has(room));
      app.server.send.said(number).toRoom(room);
    },
    say: async (payload, ctx) => {
      if (typeof payload === "string") return ctx.send.said(payload).to(ctx.clientId);
      act(ctx);
      if (roll(3) > 0) return;
      asleep++;
      for (let turns = roll(3); turns >= 0; turns--) await new Promise(setImmediate);
      asleep--;
      act(ctx);
    },
    options: { ioThreads, maxBackpressure: 64 * 1024 * 1024 },
  });
  return { app, model, roll, quiet: () => asleep === 0 };
}

/** The numbers a client got. */
const numbers = ({ received }: Client) =>
  received.map(({ payload }) => payload).filter((payload) => typeof payload === "number");

describe("each client gets what it must, once and in order, and nothing else", () => {
  for (const ioThreads of [1, 2, 4]) {
    test(`with ${ioThreads} I/O threads`, async (t) => {
      const { app, model, roll, quiet } = launch(t, ioThreads);
      const ids = new Map<Client, string>();
      const enter = async () => {
        const client = await Client.open(t, app.url, { headers: { name: `${ids.size}` } });
        const { clientId } = app.connects.find(
          ({ headers }) => headers["name"] === `${ids.size}`,
        ) as { clientId: string };
        ids.set(client, clientId);
        return client;
      };
      const here: Client[] = [];
      while (here.length < CLIENTS) here.push(await enter());
      const gone: Client[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        for (const client of here) if (roll(4) === 0) client.say(null);
        await new Promise(setImmediate);
        const place = roll(CLIENTS);
        const leaving = here[place] as Client;
        const manner = roll(3);
        if (manner === 0) leaving.reset();
        else if (manner === 1) leaving.drop();
        else leaving.socket.close();
        gone.push(leaving);
        here[place] = await enter();
      }
      await until("the last of those that left", () => app.disconnects.length === ROUNDS);
      await until("the handlers", quiet);
      await Promise.all(here.map((client) => client.roundTrip()));

      for (const client of here) {
        assert.deepEqual(numbers(client), model.expected.get(ids.get(client) ?? ""));
      }
      for (const client of gone) {
        const got = numbers(client);
        assert.deepEqual(got, model.expected.get(ids.get(client) ?? "")?.slice(0, got.length));
      }
      assert.deepEqual(app.errors, []);
      const { rooms, connections, received, bad, sent, written, queued, dropped } =
        app.server.metrics();
      const occupied = new Set([...model.open.values()].flatMap((names) => [...names]));
      assert.deepEqual([rooms, connections, bad], [occupied.size, CLIENTS, {}]);
      assert.equal(received, app.messages.length);
      assert.equal(sent, written + queued + dropped);
      const arrived = [...here, ...gone].reduce((sum, client) => sum + client.received.length, 0);
      assert.ok(arrived <= written && queued === 0, `${arrived} of ${written} arrived`);

      await soon("stop", app.server.stop());
      assert.equal(app.disconnects.length, CLIENTS + ROUNDS);
      assert.equal(app.server.metrics().rooms, 0);
    });
  }
});
