// The end of a connection: each `onConnect` that succeeded is followed by exactly one `onDisconnect`, whatever happens.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { z } from "zod";

import { Raw, ask, frame, request, said } from "./_raw.ts";
import { Client, serve, type App, type LastContext } from "./_support.ts";
import { latch, soon, until } from "./_wait.ts";

describe("onDisconnect runs exactly once", () => {
  /** Stops the server, so that nothing more can come, and looks. */
  async function onceFor(app: App, ids = app.connects.map(({ clientId }) => clientId)) {
    await until("onDisconnect", () => app.disconnects.length >= ids.length);
    await app.server.stop();
    assert.deepEqual(
      app.disconnects.map(({ clientId }) => clientId),
      ids,
    );
  }

  test("after a close frame", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    assert.equal((await client.close(1000)).code, 1000);
    await onceFor(app);
  });

  test("after a close frame with a code of the application, which comes back", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    assert.equal((await client.close(4321)).code, 4321);
    await onceFor(app);
  });

  test("after a close frame with more behind it, which is ignored", async (t) => {
    const app = serve(t);
    const raw = await Raw.open(t, app.port);
    raw.write(Buffer.concat([said("before"), frame(Buffer.of(3, 232), 8), said("after")]));
    assert.equal(await raw.closeCode(), 1000);
    await onceFor(app);
    assert.deepEqual(app.order, ["connect", "message", "disconnect"]);
    assert.equal(app.messages[0]?.payload, "before");
  });

  test("after a reset", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    client.reset();
    await onceFor(app);
  });

  test("after an end without a close frame", async (t) => {
    const app = serve(t);
    const raw = await Raw.open(t, app.port);
    raw.socket.end();
    await onceFor(app);
    await raw.ended;
  });

  test("after silence", async (t) => {
    const app = serve(t, { options: { heartbeatInterval: 30 } });
    await Raw.open(t, app.port);
    await onceFor(app);
  });

  test("after a broken frame", async (t) => {
    const app = serve(t);
    const raw = await Raw.open(t, app.port);
    // Unmasked, which RFC 6455 forbids to clients.
    raw.write(Buffer.of(0x81, 1, 120));
    assert.equal(await raw.closeCode(), 1002);
    await onceFor(app);
  });

  test("for a client that is too slow", async (t) => {
    const app = serve(t, { options: { maxBackpressure: 10_000 } });
    const raw = await Raw.open(t, app.port);
    raw.socket.pause();
    await until("its end", () => {
      app.shout("x".repeat(100_000));
      return app.disconnects.length > 0;
    });
    await onceFor(app);
  });

  test("at stop", async (t) => {
    const app = serve(t);
    await Client.open(t, app.url);
    await app.server.stop();
    assert.equal(app.disconnects.length, 1);
    await onceFor(app);
  });

  test("at stop(true)", async (t) => {
    const app = serve(t);
    await Client.open(t, app.url);
    await app.server.stop(true);
    assert.equal(app.disconnects.length, 1);
    await onceFor(app);
  });

  test("for a client that was gone before onConnect resolved, once it has", async (t) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: ({ slow }) => (slow ? admission.promise : {}) });
    const raw = new Raw(t, app.port, request({ Slow: "1" }), said("never"));
    await until("onConnect", () => app.connects.length === 1);
    raw.socket.resetAndDestroy();
    await raw.ended;
    const other = await Client.open(t, app.url);
    await other.roundTrip();
    assert.equal(app.disconnects.length, 0, "onConnect has not resolved yet");
    admission.open({ user: "late" });
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.equal(app.disconnects[0]?.clientId, app.connects[0]?.clientId);
    assert.equal(app.disconnects[0]?.ctx.user, "late");
    assert.equal(app.disconnects[0]?.ctx.rooms.size, 0);
    assert.equal(app.server.clientCount(), 1);
    await other.close();
    await onceFor(app);
    assert.equal(app.messages.length, 1, "its early message is dropped");
  });

  test("for a client that timed out before onConnect resolved, once it has", async (t) => {
    const admission = latch<object>();
    const app = serve(t, {
      onConnect: () => admission.promise,
      options: { handshakeTimeout: 1_000 },
    });
    assert.equal((await ask(t, app.port, request())).status, 503);
    assert.equal(app.disconnects.length, 0);
    admission.open({ user: "late" });
    await onceFor(app);
    assert.equal(app.disconnects[0]?.ctx.user, "late");
  });

  for (const [how, heartbeatInterval] of [
    ["a reset", 0],
    ["an end", 30],
  ] as const) {
    test(`after ${how} of a client that is not read, as its messages wait behind one that never ends`, async (t) => {
      const app = serve(t, {
        middleware: () => new Promise(() => {}),
        options: { heartbeatInterval },
      });
      const raw = await Raw.open(t, app.port);
      // More than wait for the handler and on the way to it, so that the end stands behind what is not read.
      for (let number = 0; number < 500; number++) raw.write(said(number));
      await until("the reading to stop", () => app.server.metrics().received > 64);
      if (how === "a reset") raw.socket.resetAndDestroy();
      else raw.socket.destroy();
      await onceFor(app);
      assert.equal(app.messages.length, 0);
    });
  }

  test("for a client whose onConnect resolves after stop() has", async (t) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: () => admission.promise });
    const raw = new Raw(t, app.port, request());
    await until("onConnect", () => app.connects.length === 1);
    await soon("stop", app.server.stop());
    assert.equal((await raw.answer()).status, 503);
    assert.equal(app.disconnects.length, 0);
    admission.open({ user: "late" });
    await onceFor(app);
    assert.equal(app.disconnects[0]?.ctx.user, "late");
  });

  test("for a client whose context has a getter that throws, with all else that is in it", async (t) => {
    const thrown = new Error("from a getter");
    const context = {
      get broken() {
        throw thrown;
      },
      get user() {
        return "Ada";
      },
    };
    const app = serve(t, { onConnect: () => context });
    const client = await Client.open(t, app.url);
    client.say("x");
    assert.equal((await client.next()).type, "$error");
    await client.close();
    await onceFor(app);
    const { ctx, clientId } = app.disconnects[0] as { ctx: LastContext; clientId: string };
    assert.deepEqual(Object.keys(ctx).toSorted(), ["clientId", "rooms", "user"]);
    assert.deepEqual([ctx.user, ctx.clientId], ["Ada", clientId]);
    assert.deepEqual(
      app.errors.map(({ error, code }) => [error, code]),
      [
        [thrown, "HANDLER_ERROR"],
        [thrown, "DISCONNECT"],
      ],
    );
  });

  test("for each of many that leave in many ways while they are admitted", async (t) => {
    const app = serve(t, {
      onConnect: async () => {
        for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
        return {};
      },
      options: { ioThreads: 2 },
    });
    for (let round = 0; round < 100; round++) {
      const raw = new Raw(t, app.port, request(), said(round));
      await until("onConnect", () => app.connects.length > round);
      for (let turn = 0; turn < round % 6; turn++) await new Promise(setImmediate);
      if (round % 3 === 0) raw.socket.resetAndDestroy();
      else if (round % 3 === 1) raw.socket.end();
      else raw.write(frame(Buffer.of(3, 232), 8));
    }
    await until("all ends", () => app.disconnects.length >= 100);
    await app.server.stop();
    const sorted = (list: { clientId: string }[]) => list.map((it) => it.clientId).toSorted();
    assert.deepEqual(sorted(app.disconnects), sorted(app.connects));
    assert.equal(app.server.clientCount(), 0);
    assert.deepEqual(app.errors, []);
  });

  test("when several things end it at once", async (t) => {
    const app = serve(t);
    const clients = await Promise.all(Array.from({ length: 30 }, () => Client.open(t, app.url)));
    for (const [index, client] of clients.entries()) {
      if (index % 3 === 0) client.reset();
      else if (index % 3 === 1) client.socket.close();
    }
    const stopped = app.server.stop();
    for (const client of clients) client.socket.close();
    void app.server.stop(true);
    await stopped;
    const ids = app.disconnects.map(({ clientId }) => clientId);
    assert.equal(ids.length, 30);
    assert.equal(new Set(ids).size, 30);
  });
});

describe("onDisconnect does not run", () => {
  test("when onConnect failed, whether the client waited or not", async (t) => {
    const verdict = latch<never>();
    const app = serve(t, { onConnect: () => verdict.promise });
    const waits = new Raw(t, app.port, request());
    const gone = new Raw(t, app.port, request());
    await until("onConnect", () => app.connects.length === 2);
    gone.socket.resetAndDestroy();
    await gone.ended;
    verdict.fail(new Error("no"));
    assert.equal((await waits.answer()).status, 403);
    await app.server.stop();
    assert.equal(app.disconnects.length, 0);
    assert.ok(app.errors.length >= 1 && app.errors.every(({ code }) => code === "CONNECT"));
  });

  test("when onConnect failed after the handshake timeout; what it threw is told", async (t) => {
    const verdict = latch<never>();
    const app = serve(t, {
      onConnect: () => verdict.promise,
      options: { handshakeTimeout: 1_000 },
    });
    assert.equal((await ask(t, app.port, request())).status, 503);
    const thrown = new Error("too late");
    verdict.fail(thrown);
    await until("the report", () => app.errors.some(({ error }) => error === thrown));
    await app.server.stop();
    assert.equal(app.disconnects.length, 0);
  });

  test("when onConnect never resolves, whether the client leaves or the server stops", async (t) => {
    const app = serve(t, { onConnect: () => new Promise(() => {}) });
    const raws = [new Raw(t, app.port, request()), new Raw(t, app.port, request())];
    await until("onConnect", () => app.connects.length === 2);
    raws[0]?.socket.destroy();
    await soon("stop", app.server.stop());
    assert.equal((await raws[1]?.answer())?.status, 503);
    assert.deepEqual(app.order, ["connect", "connect"]);
  });

  test("for requests that never got to onConnect", async (t) => {
    const app = serve(t, {
      headers: z.object({ authorization: z.string() }),
    });
    await ask(t, app.port, request());
    await ask(t, app.port, request({ Upgrade: undefined }));
    await app.server.stop();
    assert.equal(app.connects.length + app.disconnects.length, 0);
  });
});

describe("onDisconnect", () => {
  test("gets the user's context, clientId, and the rooms it was in as a ReadonlySet", async (t) => {
    const app = serve(t, { onConnect: () => ({ user: "Ada" }) });
    const client = await Client.open(t, app.url);
    await client.join("a");
    await client.join("b");
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    const { ctx, clientId } = app.disconnects[0] as { ctx: LastContext; clientId: string };
    assert.deepEqual(Object.keys(ctx).toSorted(), ["clientId", "rooms", "user"]);
    assert.equal(ctx.user, "Ada");
    assert.equal(ctx.clientId, clientId);
    assert.equal(clientId, app.connects[0]?.clientId);
    assert.ok(ctx.rooms.has("a") && ctx.rooms.has("b") && !ctx.rooms.has("c"));
    assert.equal(ctx.rooms.size, 2);
    assert.deepEqual([...ctx.rooms], ["a", "b"]);
    assert.deepEqual([...ctx.rooms.keys()], ["a", "b"]);
    assert.deepEqual(
      [...ctx.rooms.entries()],
      [
        ["a", "a"],
        ["b", "b"],
      ],
    );
    const seen: string[] = [];
    ctx.rooms.forEach((room) => seen.push(room));
    assert.deepEqual(seen, ["a", "b"]);
  });

  test("is followed by nothing for that client: it is in no room and gets no message", async (t) => {
    const contexts: { rooms: { join(room: string): void; has(room: string): boolean } }[] = [];
    let goneId = "";
    const app = serve(t, {
      say: (_, ctx) => {
        contexts.push(ctx);
        ctx.rooms.join("room");
        ctx.send.said("joined").to(ctx.clientId);
      },
      onDisconnect: (_, clientId) => {
        goneId = clientId;
        app.server.publish("room", "said", "to the room");
        app.server.send.said("to it").to(clientId);
        app.server.send.said("to all").broadcast();
      },
    });
    const stays = await Client.open(t, app.url);
    const goes = await Client.open(t, app.url);
    for (const client of [stays, goes]) {
      client.say(null);
      await client.next();
    }
    const { sent } = app.server.metrics();
    await goes.close();
    assert.equal((await stays.next()).payload, "to the room");
    assert.equal((await stays.next()).payload, "to all");
    assert.equal(goes.received.length, 1);
    assert.equal(app.server.metrics().sent, sent + 2, "nothing was meant for the one that is gone");
    // Its context may be kept: joins do nothing.
    assert.notEqual(goneId, "");
    const late = contexts[1]?.rooms;
    late?.join("other");
    assert.equal(late?.has("other"), false);
    app.server.publish("other", "said", "nobody");
    await stays.close();
    assert.equal(app.server.metrics().sent, sent + 2);
  });

  test("comes after the handlers of all messages read before the end have started", async (t) => {
    const app = serve(t, { say() {} });
    for (let round = 0; round < 20; round++) {
      const raw = await Raw.open(t, app.port);
      const before = app.messages.length;
      const messages = Array.from({ length: 50 }, (_, number) => said(number));
      raw.write(Buffer.concat([...messages, frame(Buffer.of(3, 232), 8)]));
      await until("onDisconnect", () => app.disconnects.length > round);
      assert.equal(app.messages.length - before, 50);
      assert.equal(app.order.at(-1), "disconnect");
    }
  });

  test("does not wait for handlers that are still running", async (t) => {
    const handler = latch();
    const app = serve(t, { say: () => handler.promise });
    const client = await Client.open(t, app.url);
    client.say("x");
    await until("the handler", () => app.messages.length === 1);
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    handler.open();
  });

  test("drops messages still pending in a schema or a middleware", async (t) => {
    const passed = latch();
    let waiting = 0;
    const app = serve(t, {
      middleware: () => {
        waiting++;
        return passed.promise;
      },
    });
    const client = await Client.open(t, app.url);
    const other = await Client.open(t, app.url);
    for (let number = 0; number < 5; number++) client.say(number);
    await until("the middleware", () => waiting === 1);
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    passed.open();
    await other.roundTrip();
    assert.equal(app.messages.length, 1, "the other one's alone");
    assert.equal(waiting, 2);
  });

  test("that throws or rejects goes to onError as DISCONNECT and ends nothing", async (t) => {
    const thrown = new Error("from onDisconnect");
    const throwing = () => {
      throw thrown;
    };
    for (const onDisconnect of [throwing, async () => throwing()]) {
      const app = serve(t, { onDisconnect });
      const client = await Client.open(t, app.url);
      await client.close();
      await until("the report", () => app.errors.length === 1);
      const { error, code, clientId } = app.errors[0] ?? {};
      assert.equal(error, thrown);
      assert.deepEqual([code, clientId], ["DISCONNECT", app.connects[0]?.clientId]);
      await (await Client.open(t, app.url)).roundTrip();
      await app.server.stop();
      assert.equal(app.disconnects.length, 2);
    }
  });

  test("keeps the rooms of that moment, whatever happens later", async (t) => {
    const contexts: { rooms: { join(room: string): void; leave(room: string): void } }[] = [];
    const app = serve(t, {
      say: (_, ctx) => {
        contexts.push(ctx);
        ctx.rooms.join("a");
        ctx.send.said("done").to(ctx.clientId);
      },
    });
    const client = await Client.open(t, app.url);
    client.say(null);
    await client.next();
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    contexts[0]?.rooms.leave("a");
    contexts[0]?.rooms.join("b");
    assert.deepEqual([...(app.disconnects[0]?.ctx.rooms ?? [])], ["a"]);
  });
});
