// What a server counts: `metrics()` and `clientCount()`.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { Raw, ask, request } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { latch, until } from "./_wait.ts";

const read = (file: string) => readFileSync(new URL(`../${file}`, import.meta.url), "utf8");

describe("metrics", () => {
  test("the type has the counters and the reasons of the engine", (t) => {
    const types = read("ts/server/types.ts");
    const [, fields = ""] = /interface ServerMetrics \{(.*?)\n\}/s.exec(types) ?? [];
    const named = [...fields.matchAll(/readonly (\w+):/g)].map(([, name]) => name);
    assert.deepEqual(named.toSorted(), Object.keys(serve(t).server.metrics()).toSorted());

    const [, union = ""] = /type RefusalReason =(.*?);/s.exec(types) ?? [];
    const [, list = ""] = /^reasons! \{(.*?)^\}/ms.exec(read("src/handshake/refusal.rs")) ?? [];
    const reasons = [...list.matchAll(/: "(\w+)",/g)].map(([, name]) => name);
    assert.ok(reasons.length > 0);
    assert.deepEqual(
      [...union.matchAll(/"(\w+)"/g)].map(([, name]) => name),
      reasons,
    );
  });

  test("has every field from the start", (t) => {
    assert.deepEqual(serve(t).server.metrics(), {
      connections: 0,
      accepted: 0,
      refused: {},
      received: 0,
      bad: {},
      sent: 0,
      written: 0,
      queued: 0,
      dropped: 0,
      bytesIn: 0,
      bytesOut: 0,
      rooms: 0,
      buffered: 0,
    });
  });

  test("counts connections, accepted and refused upgrades", async (t) => {
    const { server, url, port, disconnects } = serve(t, {
      onConnect: ({ no }) => {
        if (no) throw new Error("no");
      },
      headers: {
        "~standard": {
          version: 1,
          vendor: "specs",
          validate: (value) => {
            const headers = value as Record<string, string>;
            return headers["bad"] ? { issues: [{ message: "bad" }] } : { value: headers };
          },
        },
      },
    });
    const first = await Client.open(t, url);
    await Client.open(t, url);
    assert.equal((await ask(t, port, request({ No: "1" }))).status, 403);
    assert.equal((await ask(t, port, request({ Bad: "1" }))).status, 400);
    await first.close();
    await until("onDisconnect", () => disconnects.length === 1);
    const { connections, accepted, refused } = server.metrics();
    assert.deepEqual([connections, accepted, refused], [1, 2, { CONNECT: 1, HEADERS: 1 }]);
  });

  test("counts messages and bytes, and bad messages by code wherever they were found", async (t) => {
    const app = serve(t, {
      payload: {
        "~standard": {
          version: 1,
          vendor: "specs",
          validate: (value) => (value === "bad" ? { issues: [{ message: "bad" }] } : { value }),
        },
      },
      say: (payload) => {
        if (payload === "throw") throw new Error("thrown");
      },
    });
    const client = await Client.open(t, app.url);
    for (const text of ["no json", "[]", '{"type":"nobody"}']) client.socket.send(text);
    client.say("bad");
    client.say("throw");
    client.say("good");
    await until("the handler", () => app.messages.length === 2);
    for (let answers = 0; answers < 5; answers++)
      assert.equal((await client.next()).type, "$error");
    const { received, bad, bytesIn, bytesOut } = app.server.metrics();
    assert.equal(received, 6);
    assert.deepEqual(bad, { BAD_MESSAGE: 2, NO_ROUTE: 1, INVALID_PAYLOAD: 1, HANDLER_ERROR: 1 });
    assert.ok(bytesIn > 6 * 7 && bytesOut > 5 * 20);
  });

  test("counts a `$error` before its sender has it, whose bytes are the same wherever it was found", async (t) => {
    const app = serve(t, {
      payload: {
        "~standard": {
          version: 1,
          vendor: "specs",
          validate: (value) => (value === "bad" ? { issues: [{ message: "é" }] } : { value }),
        },
      },
      say: () => {
        throw new Error("thrown");
      },
    });
    const client = await Client.open(t, app.url);
    for (const [said, code, more] of [
      [
        "bad",
        "INVALID_PAYLOAD",
        ',"message":"the payload is not valid","issues":[{"message":"é"}]',
      ],
      ["throw", "HANDLER_ERROR", ',"message":"the handler failed"'],
    ] as const) {
      client.say(said);
      const [text] = (await once(client.socket, "message")) as [Buffer];
      assert.equal(app.server.metrics().bad[code], 1);
      assert.equal(
        String(text),
        `{"type":"$error","payload":{"code":"${code}","route":"say"${more}}}`,
      );
    }
  });

  test("sent counts a message once per client it was meant for, and is written + queued + dropped at any time", async (t) => {
    const app = serve(t, { options: { maxBackpressure: 100_000 } });
    const check = () => {
      const { sent, written, queued, dropped } = app.server.metrics();
      assert.equal(sent, written + queued + dropped);
    };
    const clients = await Promise.all(Array.from({ length: 20 }, () => Client.open(t, app.url)));
    app.shout("all");
    await until("20 messages", () => clients.every(({ received }) => received.length === 1));
    assert.equal(app.server.metrics().sent, 20);
    const slow = clients.slice(0, 5);
    for (const { socket } of slow) socket.pause();
    for (let round = 0; round < 200; round++) {
      app.shout("x".repeat(50_000));
      check();
      if (round % 20 === 0) {
        clients.at(-1 - round / 20)?.reset();
        await new Promise(setImmediate);
        check();
      }
    }
    for (const client of clients) client.drop();
    await until("the end of all", () => app.disconnects.length === 20);
    await until("empty outboxes", () => {
      check();
      return app.server.metrics().queued === 0;
    });
    assert.ok(
      app.server.metrics().dropped > 0,
      "what was queued when a connection ended is dropped",
    );
  });

  test("sent counts a client once that several of the ids or rooms reach, nobody for none, and a $error too", async (t) => {
    const app = serve(t);
    const [first, second] = [await Client.open(t, app.url), await Client.open(t, app.url)];
    for (const room of ["a", "b"]) await first.join(room);
    await second.join("b");
    const [ids, { sent: before }] = [
      app.connects.map(({ clientId }) => clientId),
      app.server.metrics(),
    ];
    const { said } = app.server.send;
    said(1).toRoom(["a", "b", "b"]);
    said(2).to([...ids, ...ids, "nobody"]);
    said(3).to("nobody");
    said(4).toRoom("empty");
    said(5).toRoom([]);
    app.server.publish("b", "said", 6);
    await until("the last one", () =>
      [first, second].every(({ received }) => received.some(({ payload }) => payload === 6)),
    );
    assert.equal(app.server.metrics().sent, before + 2 + 2 + 2);
    first.socket.send("no json");
    await until("the $error", () => first.received.some(({ type }) => type === "$error"));
    assert.equal(app.server.metrics().sent, before + 7);
  });

  test("is a copy of that moment", async (t) => {
    const { server, url } = serve(t);
    const { metrics } = server;
    const before = metrics();
    Object.assign(before.bad, { BAD_MESSAGE: 7 });
    await (await Client.open(t, url)).roundTrip();
    assert.deepEqual([before.accepted, before.received], [0, 0]);
    assert.deepEqual([metrics().accepted, metrics().received, metrics().bad], [1, 1, {}]);
  });

  test("rooms counts those that have a member", async (t) => {
    const app = serve(t);
    const [first, second] = [await Client.open(t, app.url), await Client.open(t, app.url)];
    await first.join("a");
    await first.join("b");
    await second.join("b");
    await until("two rooms", () => app.server.metrics().rooms === 2);
    await first.close();
    await until("one room", () => app.server.metrics().rooms === 1);
    await second.close();
    await until("no room", () => app.server.metrics().rooms === 0);
  });
});

describe("clientCount", () => {
  test("grows at the 101, not before", async (t) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: () => admission.promise });
    const pending = new Raw(t, app.port, request());
    await until("onConnect", () => app.connects.length === 1);
    assert.equal(app.server.clientCount(), 0);
    admission.open({});
    await pending.answer();
    assert.equal(app.server.clientCount(), 1);
  });

  test("is already right in the turn in which a client learns that it is connected", async (t) => {
    const app = serve(t);
    for (let round = 1; round <= 20; round++) {
      const client = new Client(t, app.url);
      await new Promise<void>((resolve, reject) => {
        client.socket.once("upgrade", () => {
          try {
            assert.equal(app.server.clientCount(), round);
            resolve();
          } catch (error) {
            reject(error);
          }
        });
      });
    }
  });

  test("shrinks when onDisconnect begins", async (t) => {
    const counts: number[] = [];
    const app = serve(t, { onDisconnect: () => counts.push(app.server.clientCount()) });
    const clients = [await Client.open(t, app.url), await Client.open(t, app.url)];
    assert.equal(app.server.clientCount(), 2);
    for (const client of clients) await client.close();
    await until("both ends", () => counts.length === 2);
    assert.deepEqual(counts, [1, 0]);
  });

  test("is what metrics calls connections", async (t) => {
    const { server, url } = serve(t);
    await Client.open(t, url);
    assert.deepEqual([server.clientCount(), server.metrics().connections], [1, 1]);
  });
});
