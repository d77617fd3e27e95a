// The limits of a server: sizes, numbers, silence and slowness.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Raw, ask, frame, request, said } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { latch, until } from "./_wait.ts";

describe("limits", () => {
  test("a message up to maxPayload is taken, a larger one closes the connection with 1009", async (t) => {
    const { url, messages } = serve(t, { options: { maxPayload: 1000 } });
    const text = (length: number) => {
      const empty = JSON.stringify({ type: "say", payload: "" }).length;
      return JSON.stringify({ type: "say", payload: "x".repeat(length - empty) });
    };
    const client = await Client.open(t, url);
    client.socket.send(text(1000));
    await until("the message", () => messages.length === 1);
    client.socket.send(text(1001));
    assert.equal((await client.closed).code, 1009);
    assert.equal(messages.length, 1);
  });

  test("the fragments of a message count together", async (t) => {
    const { port, messages } = serve(t, { options: { maxPayload: 1000 } });
    const raw = await Raw.open(t, port);
    raw.write(frame("x".repeat(600), 1, false), frame("x".repeat(600), 0, true));
    assert.equal(await raw.closeCode(), 1009);
    assert.equal(messages.length, 0);
  });

  test("a frame that only announces too much closes the connection at once", async (t) => {
    const raw = await Raw.open(t, serve(t).port);
    raw.write(Buffer.of(0x81, 0xff, 0, 0, 0x7f, 0, 0, 0, 0, 0, 1, 2, 3, 4));
    assert.equal(await raw.closeCode(), 1009);
  });

  test("maxPayload is 1 MiB by default", async (t) => {
    const { url, messages } = serve(t, { say() {} });
    const empty = JSON.stringify({ type: "say", payload: "" }).length;
    const client = await Client.open(t, url);
    client.say("x".repeat(1024 * 1024 - empty));
    await until("the message", () => messages.length === 1);
    client.say("x".repeat(1024 * 1024 - empty + 1));
    assert.equal((await client.closed).code, 1009);
  });

  test("past maxConnections upgrades get 503, pending ones count, and a place that is left is free", async (t) => {
    const admission = latch<object>();
    let isPending = false;
    const { server, url, port } = serve(t, {
      onConnect: ({ slow }) => (slow ? ((isPending = true), admission.promise) : {}),
      options: { maxConnections: 2 },
    });
    const first = await Client.open(t, url);
    const pending = new Raw(t, port, request({}, "GET /?slow=1 HTTP/1.1"));
    await until("a pending upgrade", () => isPending);
    assert.equal((await ask(t, port, request())).status, 503);
    assert.equal((await ask(t, port, request())).status, 503);
    assert.equal(server.metrics().refused["MAX_CONNECTIONS"], 2);
    // A request that is no upgrade takes no place.
    assert.equal((await ask(t, port, request({ Upgrade: undefined }))).status, 426);
    await first.close();
    await until("a place", async () => (await ask(t, port, request())).status === 101);
    admission.open({});
    assert.equal((await pending.answer()).status, 101);
  });

  test("a silent client is pinged, and one that answers stays", async (t) => {
    const { url, disconnects } = serve(t, { options: { heartbeatInterval: 500 } });
    const client = await Client.open(t, url);
    let pings = 0;
    client.socket.on("ping", () => pings++);
    await until("five pings", () => pings >= 5);
    await client.roundTrip();
    assert.equal(disconnects.length, 0);
  });

  test("a client from which nothing comes for two intervals is ended", async (t) => {
    const { server, port, disconnects } = serve(t, { options: { heartbeatInterval: 50 } });
    const mute = await Raw.open(t, port);
    await mute.ended;
    assert.ok(
      mute.frames().some(({ opcode }) => opcode === 9),
      "it was pinged first",
    );
    await until("onDisconnect", () => disconnects.length === 1);
    assert.equal(server.clientCount(), 0);
  });

  test("heartbeatInterval 0 sends no pings", async (t) => {
    const { port } = serve(t, { options: { heartbeatInterval: 0 } });
    const pinging = serve(t, { options: { heartbeatInterval: 30 } });
    const mute = await Raw.open(t, port);
    // The other server's client, opened later, is over: this one would have been too.
    await (
      await Raw.open(t, pinging.port)
    ).ended;
    mute.write(said("here"));
    await until("the echo", () => mute.messages().length === 1);
    assert.equal(mute.frames().length, 1);
  });

  const CHUNK = "x".repeat(64 * 1024);

  test("a slow client is disconnected past maxBackpressure and reported as SLOW_CLIENT", async (t) => {
    const app = serve(t, { options: { maxBackpressure: 256 * 1024 } });
    const slow = await Raw.open(t, app.port);
    const quick = await Client.open(t, app.url);
    slow.socket.pause();
    let rounds = 0;
    await until("the slow client's end", async () => {
      app.shout(CHUNK);
      rounds++;
      await quick.roundTrip();
      return app.disconnects.length === 1;
    });
    const [end] = app.disconnects;
    assert.notEqual(end?.clientId, app.messages[0]?.clientId);
    await until("SLOW_CLIENT", () =>
      app.errors.some((it) => it.code === "SLOW_CLIENT" && it.clientId === end?.clientId),
    );
    const got = quick.received.filter(({ payload }) => payload === CHUNK);
    assert.equal(got.length, rounds, "the quick client got everything");
    await until("the books to be closed", () => app.server.metrics().queued === 0);
    const { sent, written, dropped } = app.server.metrics();
    assert.ok(dropped > 0, "what was queued for it is dropped");
    assert.equal(sent, written + dropped);
  });

  test("maxBackpressure is 1 MiB and slowClient disconnects by default", async (t) => {
    const app = serve(t);
    const slow = await Raw.open(t, app.port);
    slow.socket.pause();
    await until("the slow client's end", async () => {
      app.shout(CHUNK);
      // Each on its own, so that what waits has been written as far as the system takes it.
      await new Promise(setImmediate);
      return app.disconnects.length === 1;
    });
    await until("SLOW_CLIENT", () => app.errors.some(({ code }) => code === "SLOW_CLIENT"));
    await until("the books to be closed", () => app.server.metrics().queued === 0);
    // More than 16 messages of 64 KiB wait when one more is refused; a few are sent before anybody knows.
    const { dropped } = app.server.metrics();
    assert.ok(dropped > 16, `${dropped} dropped`);
  });

  test('with slowClient "drop" new messages for it are dropped and counted, and it stays', async (t) => {
    const app = serve(t, { options: { maxBackpressure: 256 * 1024, slowClient: "drop" } });
    const slow = await Client.open(t, app.url);
    slow.socket.pause();
    const number = { last: 0 };
    await until("a dropped message", () => {
      for (let round = 0; round < 10; round++) app.shout([++number.last, CHUNK]);
      return app.server.metrics().dropped > 0;
    });
    slow.socket.resume();
    await until("an empty outbox", () => app.server.metrics().queued === 0);
    await slow.roundTrip();
    const { sent, written, dropped } = app.server.metrics();
    assert.equal(sent, written + dropped);
    const numbers = slow.received.flatMap(({ payload }) =>
      Array.isArray(payload) ? payload[0] : [],
    );
    assert.equal(numbers.length, number.last - dropped, "what was not dropped arrived");
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
      "in order",
    );
    assert.equal(numbers[0], 1, "the oldest are kept");
    assert.equal(app.disconnects.length, 0);
  });

  test("backpressure is measured before a message is added: an idle client gets one of any size", async (t) => {
    for (const slowClient of ["disconnect", "drop"] as const) {
      const app = serve(t, { options: { maxBackpressure: 0, slowClient } });
      const client = await Client.open(t, app.url);
      app.shout("x".repeat(8 * 1024 * 1024));
      assert.equal(String((await client.next()).payload).length, 8 * 1024 * 1024);
      await client.roundTrip();
    }
  });
});
