// `server.join`, `server.leave` and `server.disconnect` for clients that belong to another thread of the same server.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { Client, codeOf, name, two } from "./_share-clients.ts";
import { Sharing } from "./_share.ts";
import { until } from "./_wait.ts";

/** How a client went, as its worker saw it. */
interface End {
  readonly id: string;
  readonly code: number;
  readonly reason: string;
  readonly by: string;
  readonly rooms: readonly string[];
}

/** Two workers with a client each. */
async function pair(t: TestContext, options: object = {}) {
  const shared = await two(t, options);
  const clients = [await Client.open(t, shared.a.url), await Client.open(t, shared.a.url)];
  const [ofA, ofB] = clients as [Client, Client];
  const [first, second] = await Promise.all([ofA.who(), ofB.who()]);
  assert.deepEqual([first.worker, second.worker], ["a", "b"]);
  return { ...shared, ofA, ofB, idA: first.id, idB: second.id };
}

const said = ({ got }: Client) =>
  got.flatMap(({ type, payload }) => (type === "said" ? [payload] : []));
const roomsOf = (client: Client) => client.call<string[]>("rooms", 0);
const text = (value: unknown) => JSON.stringify(value);

describe("A thread that shares a server", () => {
  test("puts clients of another thread into rooms, and takes them out, before its promise resolves", async (t) => {
    const { a, b, ofA, ofB, idA, idB } = await pair(t);
    const ids = text([idA, idB, crypto.randomUUID(), "nobody"]);
    await a.ask(`
      await server.join(${ids}, ["x", "a room, é \\ud800"]);
      server.send.said("to x").toRoom("x");`);
    for (const client of [ofA, ofB]) {
      await until("the message", () => said(client).length === 1);
      assert.deepEqual((await roomsOf(client)).toSorted(), ["a room, é \ud800", "x"]);
    }
    const members = await b.ask<string[]>(`return server.members("a room, é \\ud800")`);
    assert.deepEqual(members.toSorted(), [idA, idB].toSorted());
    await b.ask(`await server.leave(${ids}, "x"); server.send.said("again").toRoom("x");`);
    assert.equal(await a.ask(`return server.roomSize("x")`), 0);
    for (const client of [ofA, ofB]) {
      assert.deepEqual(await roomsOf(client), ["a room, é \ud800"]);
      assert.deepEqual(said(client), ["to x"]);
    }
  });

  test("disconnects clients of another thread, whose onDisconnect runs there", async (t) => {
    const { a, b, ofA, ofB, idA, idB } = await pair(t);
    await a.ask(`await server.join(${text(idB)}, "lobby");
      server.send.said("before").to(${text(idB)});
      await server.disconnect(${text([idB])}, { code: 4001, reason: "out" });`);
    assert.equal(await codeOf(ofB), 4001);
    assert.deepEqual(said(ofB), ["before"]);
    const ends = (worker: Sharing) => worker.ask<End[]>("return ends");
    await until("its end", async () => (await ends(b)).length === 1);
    assert.deepEqual(await ends(b), [
      { id: idB, code: 4001, reason: "out", by: "server", rooms: ["lobby"] },
    ]);
    assert.deepEqual(await ends(a), []);
    // The default code, from the other side.
    await b.ask(`await server.disconnect(${text(idA)})`);
    assert.equal(await codeOf(ofA), 1008);
    await until("its end", async () => (await ends(a)).length === 1);
  });

  test("is told of the clients of another thread that may not be in another room", async (t) => {
    const { a, ofB, idA, idB } = await pair(t, { maxRoomsPerClient: 2 });
    const joins = (ids: unknown, rooms: unknown) =>
      a.ask<object>(`
        return server.join(${text(ids)}, ${text(rooms)}).then(
          () => ({}),
          ({ code, clientIds }) => ({ code, clientIds }));`);
    assert.deepEqual(await joins(idB, ["1", "2"]), {});
    assert.deepEqual(await joins([idB, idA], "3"), { code: "TOO_MANY_ROOMS", clientIds: [idB] });
    assert.deepEqual(await roomsOf(ofB), ["1", "2"]);
    assert.equal(await a.ask(`return server.roomSize("3")`), 1);
  });

  test("waits for a thread that blocks, and for none that is terminated or has stopped", async (t) => {
    const { a, b, idB, share } = await pair(t);
    const c = await Sharing.start(t, share, "c");
    const third = await Client.open(t, a.url);
    const { id, worker } = await third.who();
    assert.equal(worker, "c");
    b.tell("const end = Date.now() + 1_000; while (Date.now() < end);");
    // All threads have a part in this one.
    await a.ask(`await server.join(${text([idB, id])}, "x")`);
    assert.equal(await a.ask(`return server.roomSize("x")`), 2);
    b.tell("const end = Date.now() + 60_000; while (Date.now() < end);");
    const waiting = a.ask(`await server.join(${text([idB, id])}, "y")`);
    await until("the part of c", async () => (await roomsOf(third)).includes("y"));
    await b.worker.terminate();
    await waiting;
    const late = a.ask(`await server.disconnect(${text([idB, id])})`);
    await c.ask("await server.stop()");
    await late;
    await until(
      "the others to be gone",
      async () => (await a.ask<number>("return server.clientCount()")) === 1,
    );
  });

  test("has order among its joins, sends and leaves for a client of another thread", async (t) => {
    const { a, ofB, idB } = await pair(t);
    await a.ask(`
      for (let n = 0; n < 200; n++) {
        await server.join(${text(idB)}, "room");
        server.send.said(n).toRoom("room");
        await server.leave(${text(idB)}, "room");
        server.send.said("missed").toRoom("room");
      }`);
    await ofB.who();
    assert.deepEqual(
      said(ofB),
      Array.from({ length: 200 }, (_, n) => n),
    );
  });

  test("resolves thousands of orders for clients of others at the same time", async (t) => {
    const { a, b, idA, idB, ofA, ofB } = await pair(t);
    const orders = (id: string) =>
      `await Promise.all(Array.from({ length: 900 }, (_, n) => server.join(${text(id)}, "room " + n)))`;
    await Promise.all([a.ask(orders(idB)), b.ask(orders(idA))]);
    for (const client of [ofA, ofB]) assert.equal((await roomsOf(client)).length, 900);
  });

  test("does nothing for clients of others once it has stopped, and says so", async (t) => {
    const { a, b, ofB, idB } = await pair(t);
    await a.ask("await server.stop()");
    const told = await a.ask<string>(
      `return server.join(${text(idB)}, "x").then(() => "done", ({ code }) => code)`,
    );
    assert.notEqual(told, "done");
    assert.deepEqual(await roomsOf(ofB), []);
    assert.equal(await b.ask(`return server.roomSize("x")`), 0);
  });
});

describe("Threads that are alone", () => {
  test("ignore ids that nobody has", async (t) => {
    const alone = await Sharing.start(t, name(), "alone");
    const id = text(crypto.randomUUID());
    await alone.ask(`
      await server.join(${id}, "x");
      await server.leave(${id}, "x");
      await server.disconnect(${id});`);
    assert.equal(await alone.ask(`return server.roomSize("x")`), 0);
  });
});
