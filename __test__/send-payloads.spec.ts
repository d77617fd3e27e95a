// What `send` does with a payload, and how long what it returned, and the `ctx` it came from, may be used.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer } from "@zocket/core";

import { listen, payloads } from "./_sends.ts";
import {
  anything,
  incoming,
  outgoing,
  schema,
  serve,
  syncHandlers,
  syncRoutes,
  Talker,
  until,
  zo,
} from "./_talk.ts";

describe("a payload", () => {
  test("is serialised as it is at the call of send, whatever becomes of it", async (t) => {
    const { meet } = listen(t);
    const a = await meet();
    const payload = { list: [1], text: "before" };
    const said = a.ctx.send.onSaid(payload);
    payload.list.push(2);
    payload.text = "after";
    said.to(a.id);
    a.ctx.send.onSaid(payload).to(a.id);
    assert.deepEqual(await payloads(a), [
      [
        { list: [1], text: "before" },
        { list: [1, 2], text: "after" },
      ],
    ]);
  });

  test("that JSON cannot hold throws at the call of send, and nothing is sent", async (t) => {
    const { meet, server } = listen(t);
    const a = await meet();
    const cycle: unknown[] = [];
    cycle.push(cycle);
    const throwing = {
      toJSON() {
        throw new RangeError("mine");
      },
    };
    const { sent } = server.metrics();
    assert.throws(() => a.ctx.send.onSaid(cycle), TypeError);
    assert.throws(() => a.ctx.send.onSaid({ deep: [1n] }), TypeError);
    assert.throws(() => a.ctx.send.onSaid(throwing), { message: "mine" });
    assert.throws(() => server.send.onSaid(1n), TypeError);
    assert.throws(() => server.publish("red", "onSaid", cycle), TypeError);
    assert.throws(() => a.ctx.rooms.broadcast("red", "onSaid", 1n), TypeError);
    assert.deepEqual(await payloads(a), [[]]);
    // The answer to the sync alone.
    assert.equal(server.metrics().sent, sent + 1);
  });

  test("that throws inside a handler is a HANDLER_ERROR, and the client is served on", async (t) => {
    const app = zo.router(
      {
        ...syncRoutes,
        big: incoming({ payload: anything }),
        onSaid: outgoing({ payload: anything }),
      },
      { ...syncHandlers, big: ({ ctx }) => ctx.send.onSaid(1n).broadcast() },
    );
    const { server, problems } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    talker.say("big");
    const answer = (await talker.expect("$error")) as { code: string };
    assert.equal(answer.code, "HANDLER_ERROR");
    assert.ok((await problems.next()).error instanceof TypeError);
    assert.deepEqual(await talker.sync(), []);
  });

  test("that is undefined, or that JSON leaves out, is no payload key; null is one", async (t) => {
    const { meet } = listen(t);
    const a = await meet();
    for (const payload of [undefined, () => {}, Symbol("s"), { toJSON: () => undefined }]) {
      a.ctx.send.onSaid(payload).to(a.id);
      assert.equal(await a.talker.nextText(), '{"type":"onSaid"}');
    }
    a.ctx.send.onSaid(null).to(a.id);
    assert.equal(await a.talker.nextText(), '{"type":"onSaid","payload":null}');
  });

  test("is what JSON.stringify makes of it", async (t) => {
    const { meet } = listen(t);
    const a = await meet();
    const list = [
      -0,
      NaN,
      Infinity,
      "text",
      [undefined, () => {}],
      new Date(0),
      new Map([[1, 2]]),
      { a: undefined, b: 1 },
      Object(1),
      new Uint8Array(2),
      { toJSON: () => "from toJSON" },
    ];
    for (const payload of list) {
      a.ctx.send.onSaid(payload).to(a.id);
      const expected = `{"type":"onSaid","payload":${JSON.stringify(payload)}}`;
      assert.equal(await a.talker.nextText(), expected);
    }
  });

  test("is not validated: what the schema would refuse or change goes out as it is", async (t) => {
    const never = outgoing({
      payload: schema<string>(() => {
        throw new Error("not to be called");
      }),
    });
    const app = zo.router({ ...syncRoutes, onNever: never }, syncHandlers);
    const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.meet(t, server.url);
    server.send.onNever(42 as never).broadcast();
    assert.equal(await talker.expect("onNever"), 42);
  });

  test("of 8 MiB arrives whole at everybody", async (t) => {
    const { meet } = listen(t, { maxBackpressure: 64 * 1024 * 1024 });
    const [a, b] = [await meet(), await meet()];
    const text = "é漢😀x".repeat(1024 * 1024);
    a.ctx.send.onSaid(text).broadcast();
    for (const { talker } of [a, b]) assert.ok((await talker.expect("onSaid")) === text);
  });
});

describe("what send returned", () => {
  test("may be sent several times, in several ways, and once its handler is long gone", async (t) => {
    const { meet } = listen(t);
    const [a, b] = [await meet("red"), await meet()];
    const said = a.ctx.send.onSaid("again");
    said.to(a.id);
    said.toRoom("red");
    said.broadcast();
    said.to(b.id);
    assert.deepEqual(await payloads(a, b), [
      ["again", "again", "again"],
      ["again", "again"],
    ]);
    said.broadcast();
    assert.deepEqual(await payloads(a, b), [["again"], ["again"]]);
  });

  test("is sent by functions taken off it, and send's functions may be taken off too", async (t) => {
    const { meet } = listen(t);
    const a = await meet("red");
    const { onSaid } = a.ctx.send;
    const { to, toRoom, broadcast } = onSaid("free");
    to(a.id);
    toRoom("red");
    broadcast();
    const { send } = a.ctx;
    const { onSaid: deepSaid } = send.deep.er.still;
    deepSaid("deep").broadcast();
    const { join, has, leave } = a.ctx.rooms;
    join("blue");
    assert.equal(has("blue"), true);
    leave("blue");
    assert.equal(has("blue"), false);
    assert.deepEqual(await payloads(a), [["free", "free", "free", "deep"]]);
  });

  test("nothing happens while it is not sent", async (t) => {
    const { meet, server } = listen(t);
    const a = await meet();
    a.ctx.send.onSaid("never");
    server.send.onSaid("never");
    assert.deepEqual(await payloads(a), [[]]);
  });
});

describe("a kept ctx", () => {
  test("works after its handler returned", async (t) => {
    const { meet } = listen(t);
    const [a, b] = [await meet(), await meet()];
    a.ctx.rooms.join("red");
    await a.talker.sync();
    a.ctx.send.onSaid("kept").toRoom("red");
    a.ctx.send.onSaid("kept").to(b.id);
    assert.deepEqual(await payloads(a, b), [["kept"], ["kept"]]);
  });

  test("once its client is gone: joins do nothing, sends to others work", async (t) => {
    const { meet, server, problems } = listen(t);
    const [a, b] = [await meet("red"), await meet("red")];
    await a.talker.leave();
    await until(() => server.clientCount() === 1, "it is gone");
    a.ctx.rooms.join("blue");
    a.ctx.rooms.leave("red");
    assert.equal(a.ctx.rooms.has("blue"), false);
    assert.equal(server.metrics().rooms, 1);
    a.ctx.send.onSaid("to").to([a.id, b.id]);
    a.ctx.send.onSaid("room").toRoom(["red", "blue"]);
    a.ctx.send.onSaid("all").broadcast();
    assert.deepEqual(await payloads(b), [["to", "room", "all"]]);
    assert.deepEqual(problems.drain(), []);
  });

  test("joins nobody else, when another client has taken the place of the one that is gone", async (t) => {
    const { meet, server } = listen(t, { ioThreads: 1 });
    const gone = await meet();
    await gone.talker.leave();
    await until(() => server.clientCount() === 0, "it is gone");
    const next = await meet();
    gone.ctx.rooms.join("red");
    gone.ctx.send.onSaid("lost").toRoom("red");
    gone.ctx.send.onSaid("lost").to(gone.id);
    assert.deepEqual(await payloads(next), [[]]);
  });
});
