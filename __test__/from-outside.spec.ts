// `server.join` and `server.leave`: rooms of clients, changed from outside their handlers.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer, zocket } from "@zocket/core";

import { listen, payloads } from "./_sends.ts";
import { anything, Queue, serve, syncHandlers, syncRoutes, Talker, until } from "./_talk.ts";

describe("server.join and server.leave", () => {
  test("act at once, for one client and one room", async (t) => {
    const { meet, server } = listen(t);
    const [a, b] = [await meet(), await meet()];
    const joined = server.join(a.id, "red");
    // The line after: nothing has been awaited.
    assert.deepEqual([...a.ctx.rooms.current], ["red"]);
    assert.equal(a.ctx.rooms.has("red"), true);
    server.send.onSaid(1).toRoom("red");
    const left = server.leave(a.id, "red");
    assert.deepEqual([...a.ctx.rooms.current], []);
    server.send.onSaid(2).toRoom("red");
    assert.deepEqual(await Promise.all([joined, left]), [undefined, undefined]);
    assert.deepEqual(await payloads(a, b), [[1], []]);
  });

  test("take several clients and several rooms, doubles among them", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 3 });
    const clients = [await meet(), await meet(), await meet("blue"), await meet()];
    const ids = clients.map(({ id }) => id);
    await server.join([...ids.slice(0, 3), ...ids.slice(0, 3)], ["red", "blue", "red"]);
    server.send.onSaid(1).toRoom("red");
    server.send.onSaid(2).toRoom("blue");
    server.send.onSaid(3).toRoom(["red", "blue"]);
    await server.leave([ids[0] ?? "", ids[3] ?? ""], ["blue", "green", "red"]);
    server.send.onSaid(4).toRoom("blue");
    const three = [1, 2, 3];
    assert.deepEqual(await payloads(...clients), [three, [...three, 4], [...three, 4], []]);
    assert.deepEqual((await server.members("red")).toSorted(), ids.slice(1, 3).toSorted());
  });

  test("share their rooms with ctx.rooms", async (t) => {
    const { meet, server } = listen(t);
    const { ctx, id, talker } = await meet("own");
    const { current } = ctx.rooms;
    await server.join(id, ["own", "given"]);
    assert.deepEqual([...current], ["own", "given"]);
    ctx.rooms.leave("given");
    await server.leave(id, "own");
    assert.equal(current.size, 0);
    await server.join(id, "own");
    ctx.rooms.join("own");
    ctx.rooms.leave("own");
    server.send.onSaid(1).toRoom(["own", "given"]);
    assert.deepEqual(await talker.sync(), []);
  });

  test("reach a client that has not sent a message yet", async (t) => {
    const ids = new Queue<string>("a client id");
    const gone = new Queue<ReadonlySet<string>>("onDisconnect");
    const own = zocket.create({
      headers: anything,
      onConnect: (_, clientId) => void ids.push(clientId),
      onDisconnect: (ctx) => gone.push(ctx.rooms),
    });
    const routes = { ...syncRoutes, onSaid: own.message.outgoing({ payload: anything }) };
    const app = own.router(routes, syncHandlers);
    const { server } = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    const id = await ids.next();
    await server.join(id, "red");
    server.send.onSaid("hi").toRoom("red");
    assert.equal(await talker.expect("onSaid"), "hi");
    assert.deepEqual(await server.members("red"), [id]);
    await talker.leave();
    assert.deepEqual([...(await gone.next())], ["red"]);
  });

  test("pass over ids that nobody has", async (t) => {
    const { meet, server, problems } = listen(t, { ioThreads: 1 });
    const [a, b] = [await meet(), await meet("red")];
    await b.talker.leave();
    await until(() => server.clientCount() === 1, "it is gone");
    const c = await meet();
    await server.join([b.id, "nobody", "", "__proto__", a.id], "red");
    await server.join(b.id, "red");
    await server.leave([b.id, "nobody"], "red");
    await server.join([], "red");
    await server.join(c.id, []);
    await server.leave([], []);
    assert.deepEqual(await server.members("red"), [a.id]);
    assert.deepEqual(problems.drain(), []);
  });

  test("say in development that a client whose onConnect is pending joins no room", async (t) => {
    let early = () => {};
    const own = zocket.create({
      headers: anything,
      onConnect: (_, clientId) => {
        early = () => void server.join(clientId, "red");
        early();
      },
    });
    const app = own.router(syncRoutes, syncHandlers);
    const { server, problems } = serve(t, (onError) =>
      createServer(app, own, { port: 0, onError }),
    );
    await Talker.meet(t, server.url);
    const { error, info } = await problems.next();
    assert.equal(info.code, "CONNECT");
    assert.match(
      String(error),
      /^Error: server\.join: the onConnect of this client is still pending, so it joins no room/,
    );
    assert.deepEqual(await server.members("red"), []);
    early();
    assert.equal(await server.roomSize("red"), 1);
  });

  test("take a hundred thousand ids, the real ones among them", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 2 });
    const [a, b] = [await meet(), await meet()];
    const ids = Array.from({ length: 100_000 }, (_, n) => (n % 1_000 === 0 ? b.id : `no ${n}`));
    await server.join([...ids, a.id], "red");
    assert.equal(await server.roomSize("red"), 2);
    await server.leave(ids, "red");
    assert.deepEqual(await server.members("red"), [a.id]);
  });

  test("keep to the limit of rooms, and keep nobody else out", async (t) => {
    const { meet, server } = listen(t, { maxRoomsPerClient: 2 });
    const [a, full, c] = [await meet(), await meet("x", "y"), await meet("x")];
    const joining = () => server.join([a.id, full.id, c.id], ["red", "blue"]);
    assert.throws(joining, (error: Error & { code?: string; clientIds?: string[] }) => {
      assert.ok(error instanceof Error);
      assert.equal(error.message, "server.join: a client may be in at most 2 rooms");
      assert.equal(error.code, "TOO_MANY_ROOMS");
      assert.deepEqual(error.clientIds, [full.id, c.id]);
      return true;
    });
    assert.deepEqual(
      [a, full, c].map(({ ctx }) => [...ctx.rooms.current]),
      [
        ["red", "blue"],
        ["x", "y"],
        ["x", "red"],
      ],
    );
    assert.deepEqual((await server.members("red")).toSorted(), [a.id, c.id].toSorted());
    // Rooms that they are in already are no more rooms.
    await server.join([a.id, c.id], "red");
    // The names count as those of ctx.rooms do.
    const long = Array.from({ length: 300 }, (_, n) => `${n} `.padEnd(4_096, "x"));
    const other = listen(t, { maxRoomsPerClient: 1_000 });
    const d = await other.meet();
    assert.throws(() => other.server.join(d.id, long), { code: "TOO_MANY_ROOMS" });
    assert.equal(d.ctx.rooms.current.size, 256);
    await other.server.leave(d.id, long);
    d.ctx.rooms.join("again");
    assert.deepEqual([...d.ctx.rooms.current], ["again"]);
  });

  test("of another kind are a TypeError that names it, thrown at once, and change nothing", async (t) => {
    const { meet, server } = listen(t);
    const a = await meet("blue");
    for (const name of ["join", "leave"] as const) {
      const { [name]: call } = server as unknown as Record<string, (...args: unknown[]) => unknown>;
      const wrong: [unknown[], string][] = [
        [[], "expected a client id or an array of them, got undefined"],
        [[7, "red"], "expected a client id or an array of them, got 7"],
        [
          [new Set([a.id]), "red"],
          "expected a client id or an array of them, got a class instance",
        ],
        [[[a.id, 7], "red"], "expected a client id, got 7"],
        [[a.id], "expected a room name or an array of them, got undefined"],
        [[a.id, { red: true }], "expected a room name or an array of them, got an object"],
        [[a.id, ["red", null]], "expected a room name, got null"],
        [[a.id, ["red", ""]], 'expected a room name of 1 to 4096 bytes, got ""'],
        [["nobody", ""], 'expected a room name of 1 to 4096 bytes, got ""'],
      ];
      for (const [args, complaint] of wrong) {
        const message = `server.${name}: ${complaint}`;
        assert.throws(() => call?.(...args), { name: "TypeError", message });
      }
    }
    assert.deepEqual([...a.ctx.rooms.current], ["blue"]);
    assert.deepEqual(await server.members("blue"), [a.id]);
  });

  test("do no harm after the server has stopped", async (t) => {
    const { meet, server, problems } = listen(t);
    const a = await meet("red");
    await server.stop();
    await server.join(a.id, "blue");
    await server.leave(a.id, "red");
    assert.deepEqual(await server.members("blue"), []);
    assert.deepEqual([...a.ctx.rooms.current], []);
    assert.deepEqual(problems.drain(), []);
  });

  test("pass a name like the one of ctx.rooms on to no other room", async (t) => {
    const { meet, server } = listen(t);
    const a = await meet();
    const names = ["x", "x ", "X", "\ud800", "\udc00", "\u0000"];
    for (const name of names) {
      await server.join(a.id, name);
      server.send.onSaid(name.length).toRoom(name);
      for (const other of names) {
        assert.equal(await server.roomSize(other), other === name ? 1 : 0);
      }
      await server.leave(a.id, name);
    }
    assert.equal((await payloads(a))[0]?.length, names.length);
  });
});
