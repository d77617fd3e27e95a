// `except`: whom a send to rooms or to everybody leaves out.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { listen, payloads } from "./_sends.ts";
import { until } from "./_talk.ts";

describe("except", () => {
  test("leaves one client out of a room, and out of everybody", async (t) => {
    const { meet } = listen(t, { ioThreads: 2 });
    const [a, b, c] = [await meet("red"), await meet("red"), await meet()];
    a.ctx.send.onSaid("room").toRoom("red", { except: a.id });
    a.ctx.send.onSaid("all").broadcast({ except: a.id });
    assert.deepEqual(await payloads(a, b, c), [[], ["room", "all"], ["all"]]);
  });

  test("leaves several out of several rooms, and the others get one copy", async (t) => {
    const { meet } = listen(t, { ioThreads: 2 });
    const inside = [["red"], ["red", "blue"], ["blue"], ["red", "blue"], []];
    const clients = [];
    for (const rooms of inside) clients.push(await meet(...rooms));
    const [a, b, c, d] = clients as [(typeof clients)[0], ...typeof clients];
    const except = [b?.id ?? "", c?.id ?? "", b?.id ?? ""];
    a.ctx.send.onSaid(1).toRoom(["red", "blue", "red"], { except });
    a.ctx.send.onSaid(2).toRoom(["red", "blue"]);
    a.ctx.send.onSaid(3).broadcast({ except: [a.id, d?.id ?? ""] });
    assert.deepEqual(await payloads(...clients), [[1, 2], [2, 3], [2, 3], [1, 2], [3]]);
  });

  test("is taken by rooms.broadcast, server.publish and server.send as well", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 2 });
    const [a, b] = [await meet("red"), await meet("red")];
    a.ctx.rooms.broadcast("red", "onSaid", 1, { except: a.id });
    server.publish("red", "onSaid", 2, { except: [a.id] });
    server.publish("red", "onSaid", undefined, { except: a.id });
    server.send.onSaid(3).toRoom("red", { except: [a.id] });
    server.send.onSaid(4).broadcast({ except: a.id });
    assert.deepEqual(await payloads(a, b), [[], [1, 2, undefined, 3, 4]]);
  });

  test("may hold ids that nobody has, and nobody at all", async (t) => {
    const { meet, server, problems } = listen(t, { ioThreads: 1 });
    const [a, b] = [await meet("red"), await meet("red")];
    await b.talker.leave();
    await until(() => server.clientCount() === 1, "it is gone");
    // On one thread it takes the place of the one that left.
    const c = await meet("red");
    const { onSaid } = a.ctx.send;
    onSaid(1).toRoom("red", { except: b.id });
    onSaid(2).broadcast({ except: [b.id, "nobody", "", "__proto__"] });
    for (const options of [{}, { except: undefined }, { except: [] }, undefined]) {
      onSaid(3).toRoom("red", options);
      onSaid(4).broadcast(options);
    }
    const expected = [1, 2, 3, 4, 3, 4, 3, 4, 3, 4];
    assert.deepEqual(await payloads(a, c), [expected, expected]);
    assert.deepEqual(problems.drain(), []);
  });

  test("may leave everybody out, whoever they are", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 2 });
    const [a, b] = [await meet("red"), await meet("red")];
    const { sent } = server.metrics();
    a.ctx.send.onSaid(1).toRoom("red", { except: [a.id, b.id] });
    a.ctx.send.onSaid(1).broadcast({ except: [a.id, b.id] });
    assert.deepEqual(await payloads(a, b), [[], []]);
    // The two answers to the syncs.
    assert.equal(server.metrics().sent, sent + 2);
  });

  test("takes a hundred thousand ids, the real ones among them", async (t) => {
    const { meet } = listen(t, { ioThreads: 2 });
    const [a, b, c] = [await meet("red"), await meet("red"), await meet("red")];
    const except = Array.from({ length: 100_000 }, (_, n) => (n % 1_000 === 0 ? b.id : `no ${n}`));
    except.push(...Array.from({ length: 100_000 }, () => c.id));
    a.ctx.send.onSaid(1).toRoom("red", { except });
    a.ctx.send.onSaid(2).broadcast({ except });
    a.ctx.send.onSaid(3).toRoom("red");
    assert.deepEqual(await payloads(a, b, c), [[1, 2, 3], [3], [3]]);
  });

  test("counts for its send alone: the next ones of a burst reach everybody, in order", async (t) => {
    const { meet } = listen(t, { ioThreads: 2 });
    const clients = [await meet("red"), await meet("red"), await meet("red", "blue")];
    const expected: number[][] = [[], [], []];
    for (let n = 0; n < 600; n++) {
      const out = n % 4;
      const id = clients[out]?.id;
      const message = clients[0]!.ctx.send.onSaid(n);
      // The same ones are left out of several in a row, too.
      for (let again = 0; again < 2; again++) {
        if (n % 3 === 0) message.broadcast({ except: id });
        else message.toRoom(n % 3 === 1 ? "red" : ["red", "blue"], { except: id });
        for (const [at, got] of expected.entries()) if (at !== out) got.push(n);
      }
    }
    assert.deepEqual(await payloads(...clients), expected);
  });

  test("does not hold for what a client is sent by its id", async (t) => {
    const { meet } = listen(t);
    const a = await meet("red");
    const message = a.ctx.send.onSaid("hi");
    message.toRoom("red", { except: a.id });
    message.to(a.id);
    assert.deepEqual(await payloads(a), [["hi"]]);
  });

  test("is a TypeError in `to`, which takes no options, and nobody gets anything", async (t) => {
    const { meet, server } = listen(t);
    const a = await meet();
    const wrong = { name: "TypeError", message: /^send\.onSaid\(…\)\.to: takes no options; / };
    for (const message of [a.ctx.send.onSaid(1), server.send.onSaid(1)]) {
      const to = message.to as (ids: string | string[], options: unknown) => void;
      for (const options of [{ except: a.id }, {}, { excpet: 1 }, [a.id]]) {
        assert.throws(() => to(a.id, options), wrong);
        assert.throws(() => to([a.id], options), wrong);
        assert.throws(() => to([], options), wrong);
      }
      // What `forEach` hands over besides an id is no option.
      [a.id].forEach(message.to);
      new Set([a.id]).forEach(message.to);
      to(a.id, undefined);
    }
    assert.deepEqual(await payloads(a), [[1, 1, 1, 1, 1, 1]]);
  });

  test("leaves a slow client out, and nothing is counted for it", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 1, maxBackpressure: 64 * 1024 });
    const [a, slow] = [await meet("red"), await meet("red")];
    slow.talker.socket.pause();
    const long = "x".repeat(100_000);
    const before = server.metrics().sent;
    for (let n = 0; n < 200; n++) {
      a.ctx.send.onSaid(long).toRoom("red", { except: slow.id });
      assert.deepEqual(await payloads(a), [[long]]);
    }
    const { sent, written, queued, dropped, connections } = server.metrics();
    assert.deepEqual([connections, dropped, sent - before], [2, 0, 400]);
    assert.equal(sent, written + queued + dropped);
    slow.talker.socket.resume();
    assert.deepEqual(await payloads(slow), [[]]);
  });

  test("leaves clients out of messages that keep their latest alone, or are compressed", async (t) => {
    const { meet } = listen(t, { ioThreads: 2, compression: { threshold: 0 } });
    const [a, b] = [await meet("red"), await meet("red")];
    a.ctx.send.onSaid("x".repeat(2_000)).toRoom("red", { except: a.id });
    a.ctx.send.onLatest(1).toRoom("red", { except: b.id });
    a.ctx.send.onLatest(2).broadcast({ except: [a.id] });
    assert.deepEqual(await payloads(a, b), [[1], ["x".repeat(2_000), 2]]);
  });

  test("of another kind is a TypeError that names it, and nobody gets anything", async (t) => {
    const { meet, server } = listen(t);
    const a = await meet("red");
    const { onSaid } = a.ctx.send;
    const place = "send.onSaid(…)";
    const wrong: [() => unknown, RegExp][] = [];
    for (const [options, complaint] of [
      [null, /options: expected an object, got null$/],
      ["id", /options: expected an object, got "id"$/],
      [["id"], /options: expected an object, got an array$/],
      [new Map([["except", "id"]]), /options: expected an object, got a class instance$/],
      [{ except: 7 }, /options\.except: expected a client id or an array of them, got 7$/],
      [{ except: null }, /options\.except: expected a client id or an array of them, got null$/],
      [{ except: new Set(["id"]) }, /options\.except: expected a client id or an array of them/],
      [{ except: ["id", 7] }, /options\.except: expected a client id, got 7$/],
      [{ except: [undefined] }, /options\.except: expected a client id, got undefined$/],
      [{ excpet: "id" }, /options\.excpet: unknown option; did you mean except\?$/],
      [{ exclude: "id" }, /options\.exclude: unknown option; did you mean except\?$/],
      [{ rooms: "id" }, /options\.rooms: unknown option; expected except$/],
    ] as [never, RegExp][]) {
      wrong.push(
        [() => onSaid(1).toRoom("red", options), complaint],
        [() => onSaid(1).toRoom([], options), complaint],
        [() => onSaid(1).broadcast(options), complaint],
        [() => a.ctx.rooms.broadcast("red", "onSaid", 1, options), complaint],
        [() => server.publish("red", "onSaid", 1, options), complaint],
      );
    }
    for (const [call, message] of wrong) assert.throws(call, { name: "TypeError", message });
    const names = [`${place}.toRoom`, `${place}.broadcast`, "rooms.broadcast", "server.publish"];
    const calls = [0, 2, 3, 4].map((at) => wrong[at]?.[0] as () => void);
    for (const [at, name] of names.entries()) {
      assert.throws(calls[at] as () => void, {
        message: `${name}: options: expected an object, got null`,
      });
    }
    assert.deepEqual(await payloads(a), [[]]);
  });

  test("is read once, so that what was checked is what is left out", async (t) => {
    const { meet } = listen(t);
    const [a, b] = [await meet("red"), await meet("red")];
    let reads = 0;
    const options = {
      get except() {
        reads += 1;
        return reads === 1 ? a.id : (7 as never);
      },
    };
    a.ctx.send.onSaid(1).toRoom("red", options);
    assert.deepEqual(await payloads(a, b), [[], [1]]);
    assert.equal(reads, 1);
  });

  test("does no harm after the server has stopped", async (t) => {
    const { meet, server, problems } = listen(t);
    const a = await meet("red");
    await server.stop();
    a.ctx.send.onSaid(1).toRoom("red", { except: a.id });
    server.send.onSaid(1).broadcast({ except: [a.id] });
    assert.deepEqual(problems.drain(), []);
  });
});
