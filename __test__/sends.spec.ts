// A message's way out: to whom `to`, `toRoom`, `broadcast` and `publish` bring it, once and in order.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer, zocket } from "@zocket/core";

import { listen, payloads, routes, type Ctx } from "./_sends.ts";
import { anything, incoming, outgoing, serve, syncHandlers, Talker, until, zo } from "./_talk.ts";

describe("to", () => {
  test("reaches the client of one id, and nobody else", async (t) => {
    const { meet } = listen(t);
    const [a, b, c] = [await meet(), await meet(), await meet()];
    a.ctx.send.onSaid("hi").to(b.id);
    assert.deepEqual(await b.talker.sync(), [{ type: "onSaid", payload: "hi" }]);
    assert.deepEqual(await payloads(a, c), [[], []]);
  });

  test("reaches every client of an array once, doubles and the sender among them", async (t) => {
    const { meet } = listen(t);
    const [a, b, c] = [await meet(), await meet(), await meet()];
    a.ctx.send.onSaid(1).to([b.id, a.id, b.id, a.id, b.id]);
    assert.deepEqual(await payloads(a, b, c), [[1], [1], []]);
  });

  test("takes ids nobody has, and none at all", async (t) => {
    const { meet, problems, server } = listen(t);
    const a = await meet();
    const { onSaid } = a.ctx.send;
    const unknown = ["", "nobody", "__proto__", "constructor", a.id.toUpperCase(), ` ${a.id}`];
    for (const id of unknown) onSaid("lost").to(id);
    onSaid("lost").to([]);
    onSaid("lost").to(unknown);
    onSaid("found").to([...unknown, a.id]);
    assert.deepEqual(await payloads(a), [["found"]]);
    assert.deepEqual(problems.drain(), []);
    assert.equal(server.metrics().dropped, 0);
  });

  test("does not reach who left, and the id is nobody else's afterwards", async (t) => {
    // On one thread the next client takes the place of the one that left.
    const { meet, server } = listen(t, { ioThreads: 1 });
    const [a, b] = [await meet(), await meet()];
    await b.talker.leave();
    await until(() => server.clientCount() === 1, "it is gone");
    const c = await meet();
    a.ctx.send.onSaid("hi").to([b.id, a.id]);
    assert.deepEqual(await payloads(a, c), [["hi"], []]);
  });

  test("reaches ten thousand ids of which two are real, across every shard", async (t) => {
    const { meet } = listen(t, { ioThreads: 3 });
    const clients = await Promise.all(Array.from({ length: 7 }, () => meet()));
    const ids = Array.from({ length: 10_000 }, (_, number) => `nobody-${number}`);
    ids.splice(5000, 0, clients[1]?.id ?? "", clients[6]?.id ?? "");
    clients[0]?.ctx.send.onSaid("hi").to(ids);
    assert.deepEqual(await payloads(...clients), [[], ["hi"], [], [], [], [], ["hi"]]);
  });
});

describe("toRoom", () => {
  test("reaches the members of one room, the sender no exception", async (t) => {
    const { meet } = listen(t);
    const [a, b, c] = [await meet("red"), await meet("red", "blue"), await meet("blue")];
    a.ctx.send.onSaid("red").toRoom("red");
    c.ctx.send.onSaid("also red").toRoom("red");
    const both = ["red", "also red"];
    assert.deepEqual(await payloads(a, b, c), [both, both, []]);
  });

  test("reaches a client once, whichever of three rooms it is in", async (t) => {
    const { meet } = listen(t, { ioThreads: 2 });
    const rooms = ["r1", "r2", "r3"];
    const subsets = Array.from({ length: 8 }, (_, bits) => rooms.filter((_, n) => bits & (1 << n)));
    const clients = await Promise.all(
      [...subsets, ...subsets].map(async (inside) => ({ ...(await meet(...inside)), inside })),
    );
    const [sender] = clients as [(typeof clients)[0]];
    for (const call of subsets) {
      for (const list of [call, call.toReversed(), [...call, ...call], ["empty", ...call]]) {
        sender.ctx.send.onSaid(call).toRoom(list);
      }
      const got = await payloads(...clients);
      for (const [index, { inside }] of clients.entries()) {
        const times = call.some((room) => inside.includes(room)) ? 4 : 0;
        const where = `in ${inside.join() || "none"}, sent to ${call.join() || "none"}`;
        assert.equal(got[index]?.length, times, where);
      }
    }
  });

  test("takes rooms nobody is in, and none at all", async (t) => {
    const { meet, problems } = listen(t);
    const a = await meet("red");
    a.ctx.send.onSaid("lost").toRoom("empty");
    a.ctx.send.onSaid("lost").toRoom([]);
    a.ctx.send.onSaid("lost").toRoom(["empty", "__proto__"]);
    a.ctx.rooms.leave("red");
    a.ctx.send.onSaid("lost").toRoom("red");
    assert.deepEqual(await payloads(a), [[]]);
    assert.deepEqual(problems.drain(), []);
  });

  test("reaches ten thousand rooms of which two have members, once", async (t) => {
    const { meet } = listen(t, { ioThreads: 2 });
    const [a, b, c] = [await meet("one", "two"), await meet("two"), await meet("three")];
    const rooms = Array.from({ length: 10_000 }, (_, number) => `empty ${number}`);
    rooms.splice(5000, 0, "one", "two");
    a.ctx.send.onSaid("hi").toRoom(rooms);
    assert.deepEqual(await payloads(a, b, c), [["hi"], ["hi"], []]);
  });

  test("takes no client id for a room, and no room for a client id", async (t) => {
    const { meet } = listen(t);
    const a = await meet("red");
    a.ctx.send.onSaid("lost").toRoom(a.id);
    a.ctx.send.onSaid("lost").to("red");
    assert.deepEqual(await payloads(a), [[]]);
  });

  test("on the line after a join reaches who joined, on the line after a leave who left no more", async (t) => {
    const { meet } = listen(t);
    const [a, b] = [await meet(), await meet("red")];
    for (let round = 0; round < 50; round++) {
      a.ctx.rooms.join("red");
      a.ctx.send.onSaid(`${round} in`).toRoom("red");
      a.ctx.rooms.leave("red");
      a.ctx.send.onSaid(`${round} out`).toRoom("red");
    }
    const [gotA, gotB] = await payloads(a, b);
    assert.deepEqual(
      gotA,
      Array.from({ length: 50 }, (_, round) => `${round} in`),
    );
    assert.equal(gotB?.length, 100);
  });
});

describe("broadcast", () => {
  test("reaches every client once, in rooms or not, the sender no exception", async (t) => {
    const { meet } = listen(t, { ioThreads: 3 });
    const clients = await Promise.all(
      Array.from({ length: 8 }, (_, n) => meet(`room${n % 3}`, "all")),
    );
    clients[0]?.ctx.send.onSaid("hi").broadcast();
    assert.deepEqual(
      await payloads(...clients),
      Array.from({ length: 8 }, () => ["hi"]),
    );
  });
});

describe("two sends to one client", () => {
  test("arrive in order, whichever of the three was used", async (t) => {
    const { meet } = listen(t, { ioThreads: 2 });
    const clients = await Promise.all(Array.from({ length: 4 }, () => meet("all")));
    const ids = clients.map(({ id }) => id);
    const numbers = Array.from({ length: 3000 }, (_, number) => number);
    for (const number of numbers) {
      const { ctx } = clients[number % 4] as { ctx: Ctx };
      const said = ctx.send.onSaid(number);
      if (number % 5 === 0) said.to(ids);
      else if (number % 5 === 1) said.toRoom("all");
      else if (number % 5 === 2) said.broadcast();
      else if (number % 5 === 3) said.toRoom(["all", "none", "other"]);
      else for (const id of ids) said.to(id);
    }
    assert.deepEqual(await payloads(...clients), [numbers, numbers, numbers, numbers]);
  });

  test("arrive in order across routes and sizes", async (t) => {
    const { meet } = listen(t);
    const a = await meet();
    for (let round = 0; round < 20; round++) {
      a.ctx.send.onSaid("x".repeat(200_000)).to(a.id);
      a.ctx.send.deep.er.onSaid(round).broadcast();
      a.ctx.send.deep.er.still.onSaid("").to(a.id);
    }
    const types = (await a.talker.sync()).map(({ type }) => type);
    const once = ["onSaid", "deep.er.onSaid", "deep.er.still.onSaid"];
    assert.deepEqual(types, Array.from({ length: 20 }, () => once).flat());
  });
});

describe("from outside a handler", () => {
  test("server.send reaches ids, rooms and everybody", async (t) => {
    const { meet, server } = listen(t);
    const [a, b] = [await meet("red"), await meet()];
    server.send.onSaid(1).to(a.id);
    server.send.onSaid(2).to([a.id, b.id]);
    server.send.onSaid(3).toRoom("red");
    server.send.onSaid(4).toRoom(["red", "blue"]);
    server.send.deep.er.onSaid(5).broadcast();
    assert.deepEqual(await payloads(a, b), [
      [1, 2, 3, 4, 5],
      [2, 5],
    ]);
  });

  test("publish reaches a room by a route's name, and joins in the order with send", async (t) => {
    const { meet, server } = listen(t);
    const [a, b] = [await meet("red"), await meet("blue")];
    server.publish("red", "onSaid", 1);
    server.send.onSaid(2).broadcast();
    server.publish("red", "deep.er.still.onSaid", { n: 3 });
    server.publish("empty", "onSaid", 4);
    assert.deepEqual(await a.talker.sync(), [
      { type: "onSaid", payload: 1 },
      { type: "onSaid", payload: 2 },
      { type: "deep.er.still.onSaid", payload: { n: 3 } },
    ]);
    assert.deepEqual(await payloads(b), [[2]]);
  });

  test("a route that is none of ours, or no outgoing one, is a TypeError that names it", async (t) => {
    const { meet, server } = listen(t);
    const a = await meet("red");
    type Untyped = (room: string, route: string, payload: unknown) => void;
    const publish = server.publish as Untyped;
    const broadcast = a.ctx.rooms.broadcast as Untyped;
    for (const route of ["nowhere", "go", "$error", "__proto__", "deep", "deep.er"]) {
      const named = (error: unknown) => error instanceof TypeError && error.message.includes(route);
      assert.throws(() => publish("red", route, 1), named, route);
      assert.throws(() => broadcast("red", route, 1), named, route);
    }
    assert.deepEqual(await payloads(a), [[]]);
  });

  test("after stop everything is harmless", async (t) => {
    const { meet, server, problems } = listen(t);
    const a = await meet("red");
    await server.stop();
    server.send.onSaid(1).broadcast();
    server.publish("red", "onSaid", 1);
    a.ctx.rooms.join("blue");
    a.ctx.send.onSaid(1).to(a.id);
    assert.deepEqual(problems.drain(), []);
  });
});

describe("nested routers", () => {
  test("have their wire names from their path, in both directions, and no handler is mixed up", async (t) => {
    const leaf = () => ({
      go: incoming({ payload: anything }),
      onGone: outgoing({ payload: anything }),
    });
    const nested = { a: { a: leaf(), b: { a: leaf(), go: leaf() } }, b: leaf(), ...leaf() };
    type Any = { payload: unknown; ctx: { clientId: string; send: unknown } };
    const answer = (path: string[]) => (given: Any) => {
      let at = given.ctx.send as Record<string, never>;
      for (const key of path) at = at[key] as never;
      type Said = (payload: unknown) => { to(id: string): void };
      const said = (at as never as { onGone: Said }).onGone;
      said([path.join("/"), given.payload]).to(given.ctx.clientId);
    };
    const app = zo.router(nested, {
      a: {
        a: { go: answer(["a", "a"]) },
        b: { a: { go: answer(["a", "b", "a"]) }, go: { go: answer(["a", "b", "go"]) } },
      },
      b: { go: answer(["b"]) },
      go: answer([]),
    });
    const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    for (const path of ["a.a", "a.b.a", "a.b.go", "b", ""]) {
      const dot = path === "" ? "" : ".";
      talker.say(`${path}${dot}go`, path);
      const payload = [path.replaceAll(".", "/"), path];
      assert.deepEqual(await talker.next(), { type: `${path}${dot}onGone`, payload });
    }
  });
});

test("whom a message is for, said wrongly, is a TypeError, and nobody gets anything", async (t) => {
  const { meet, server } = listen(t);
  const a = await meet("red");
  const { to, toRoom } = a.ctx.send.onSaid("wrong") as never as Record<
    "to" | "toRoom",
    (whom?: unknown) => void
  >;
  const wrong = [undefined, null, 1, {}, new Set(["red"]), [1], ["red", null], [["red"]], Symbol()];
  for (const whom of wrong) {
    assert.throws(() => to(whom), TypeError);
    assert.throws(() => toRoom(whom), TypeError);
    assert.throws(() => server.publish(whom as string, "onSaid", 1), TypeError);
  }
  for (const name of ["x".repeat(4097), ["red", "x".repeat(4097)]]) {
    assert.throws(() => toRoom(name), TypeError);
  }
  assert.deepEqual(await payloads(a), [[]]);
});

test("an array that changes while it is read is read once, and harms no other send", async (t) => {
  const { meet } = listen(t);
  const a = await meet("red");
  let reads = 0;
  const moody = () =>
    new Proxy(["red"], {
      get: (target, key) => (key === "0" && reads++ > 0 ? 5 : Reflect.get(target, key)),
    });
  a.ctx.send.onSaid("before").to(a.id);
  a.ctx.send.onSaid("moody").toRoom(moody());
  a.ctx.send.onSaid("after").to(a.id);
  assert.throws(() => a.ctx.send.onSaid("wrong").toRoom(moody()), TypeError);
  assert.deepEqual(await payloads(a), [["before", "moody", "after"]]);
});

test("one router served twice: each server's clients have contexts of their own server", async (t) => {
  const app = zo.router(routes, {
    ...syncHandlers,
    go: ({ ctx }) => ctx.send.onSaid("all").broadcast(),
  });
  const start = () => serve(t, (onError) => createServer(app, zo, { port: 0, onError })).server;
  const [left, right] = [start(), start()];
  const [a, b] = [await Talker.meet(t, left.url), await Talker.meet(t, right.url)];
  a.say("go");
  assert.deepEqual(await a.sync(), [{ type: "onSaid", payload: "all" }]);
  assert.deepEqual(await b.sync(), []);
});

test("onDisconnect may tell the others, in the rooms its client was in", async (t) => {
  const own = zocket.create({
    headers: anything,
    onDisconnect: (ctx, clientId) => {
      server.send.onSaid(["gone", clientId]).toRoom([...ctx.rooms]);
      server.send.onSaid("lost").to(clientId);
    },
  });
  const { message } = own;
  const app = own.router(
    {
      sync: message.incoming({ payload: anything }),
      onSync: message.outgoing({ payload: anything }),
      join: message.incoming({ payload: anything }),
      onSaid: message.outgoing({ payload: anything }),
    },
    { ...syncHandlers, join: ({ ctx }) => ctx.rooms.join("red") },
  );
  const { server } = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
  const [a, b, c] = [
    await Talker.meet(t, server.url),
    await Talker.meet(t, server.url),
    await Talker.meet(t, server.url),
  ];
  for (const talker of [a, b]) {
    talker.say("join");
    await talker.sync();
  }
  await a.leave();
  assert.deepEqual(await b.expect("onSaid"), ["gone", a.id]);
  assert.deepEqual(await c.sync(), []);
});

test("two servers in one process know nothing of each other's clients and rooms", async (t) => {
  const [left, right] = [listen(t), listen(t)];
  const [a, b] = [await left.meet("red"), await right.meet("red")];
  a.ctx.send.onSaid("left").toRoom("red");
  a.ctx.send.onSaid("left").broadcast();
  a.ctx.send.onSaid("left").to([a.id, b.id]);
  assert.deepEqual(await payloads(a, b), [["left", "left", "left"], []]);
});

test("onConnect's context can send nothing: a client is reachable from its first message on, not before its 101", async (t) => {
  const own = zocket.create({
    headers: anything,
    onConnect: (_headers, clientId) => {
      server.send.onSaid("too early").to(clientId);
      server.send.onSaid("too early").broadcast();
      return { clientOf: clientId };
    },
  });
  const { message } = own;
  const app = own.router(
    {
      sync: message.incoming({ payload: anything }),
      onSync: message.outgoing({ payload: anything }),
      onSaid: message.outgoing({ payload: anything }),
    },
    syncHandlers,
  );
  const { server } = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
  const talker = await Talker.open(t, server.url);
  assert.deepEqual(await talker.sync(), []);
});
