// How the client is closed, and connects again because it is told to.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { counting, deadUrl, open } from "./_client.ts";
import { startPlain, type Visit } from "./_plain.ts";
import { Child } from "./_child.ts";
import { until, within } from "./_talk.ts";

describe("close", () => {
  test("closes with 1000 and ends reconnecting", async (t) => {
    const { url, visits } = await startPlain(t);
    const { made, Counted } = counting();
    const client = open(t, url, { WebSocket: Counted });
    const visit = await visits.next();
    visit.say("onSaid");
    await until(() => client.readyState === 1, "it is open");
    client.close();
    assert.equal(await visit.end(), 1000);
    await until(() => client.readyState === 3, "it is closed");
    client.close();
    // Another client comes and goes and comes back: as many turns as the first one would have needed.
    const other = open(t, url);
    (await visits.next()).socket.terminate();
    await visits.next();
    other.close();
    assert.equal(made.length, 1);
  });

  test("while it connects ends that attempt, and there is no further one", async (t) => {
    const { url, visits } = await startPlain(t);
    const { made, Counted } = counting();
    const client = open(t, url, { WebSocket: Counted });
    const opened: string[] = [];
    client.onOpen(() => opened.push("open"));
    client.close();
    await until(() => client.readyState === 3, "it is closed");
    open(t, url);
    await visits.next();
    assert.equal(made.length, 1);
    assert.deepEqual(opened, []);
  });

  test("between two attempts ends the waiting", async (t) => {
    const url = await deadUrl();
    const { made, Counted } = counting();
    const client = open(t, url, { WebSocket: Counted });
    await until(() => made.length >= 3, "three attempts");
    client.close();
    const after = made.length;
    await until(() => client.readyState === 3, "it is closed");
    const other = counting();
    open(t, url, { WebSocket: other.Counted });
    await until(() => other.made.length >= 5, "another one's attempts");
    assert.equal(made.length, after);
  });

  test("in onOpen, in onClose and in a listener works", async (t) => {
    const { url, visits } = await startPlain(t);
    const inOpen = open(t, url);
    inOpen.onOpen(() => inOpen.close());
    assert.equal(await (await visits.next()).end(), 1000);

    const inListener = open(t, url);
    inListener.on.onSaid(() => inListener.close());
    const visit = await visits.next();
    visit.say("onSaid");
    assert.equal(await visit.end(), 1000);

    const { made, Counted } = counting();
    const inClose = open(t, url, { WebSocket: Counted });
    inClose.onClose(() => inClose.close());
    (await visits.next()).socket.terminate();
    await until(() => inClose.readyState === 3, "it is closed");
    open(t, url);
    await visits.next();
    assert.equal(made.length, 1);
  });
});

test("a client that was closed, or gave up, does not hold Node", async (t) => {
  const url = await deadUrl();
  for (const program of [
    `connect().close();`,
    `const client = connect(); client.onClose(() => client.close());`,
    `connect({ maxRetries: 0 });`,
    `const client = connect({ minReconnectionDelay: 3_600_000, maxReconnectionDelay: 3_600_000 });
     client.onClose(() => setImmediate(() => client.close()));`,
  ]) {
    const child = Child.node(
      t,
      `import { createZocketClient } from "@zocket/core/client";
       import { WebSocket } from "ws";
       const connect = (options) => createZocketClient("${url}", { WebSocket, ...options });
       ${program}`,
    );
    await child.endsWell();
  }
});

describe("reconnect", () => {
  test("closes with 1000 and connects at once, whatever delay is set", async (t) => {
    const { url, visits } = await startPlain(t);
    const hour = 3_600_000;
    const client = open(t, url, { minReconnectionDelay: hour, maxReconnectionDelay: hour });
    const first = await visits.next();
    await until(() => client.readyState === 1, "it is open");
    client.reconnect();
    assert.equal(await first.end(), 1000);
    const second = await visits.next();
    client.send.say("again");
    assert.equal((await second.messages.next()).payload, "again");
    // What the old connection still says is not heard, and its end changes nothing.
    await until(() => client.readyState === 1, "it is open");
    first.socket.terminate();
    client.send.say("still");
    assert.equal((await second.messages.next()).payload, "still");
    assert.deepEqual(visits.drain(), []);
  });

  test("comes back also after close", async (t) => {
    const { url, visits } = await startPlain(t);
    const client = open(t, url);
    const first = await visits.next();
    client.close();
    await first.closed;
    await until(() => client.readyState === 3, "it is closed");
    client.reconnect();
    const second = await visits.next();
    client.send.say("back");
    assert.equal((await second.messages.next()).payload, "back");
    // And by itself again, from now on.
    second.socket.terminate();
    await visits.next();
  });

  test("right after close comes back too", async (t) => {
    const { url, visits } = await startPlain(t);
    const client = open(t, url);
    const first = await visits.next();
    await until(() => client.readyState === 1, "it is open");
    client.close();
    client.reconnect();
    assert.equal(await first.end(), 1000);
    const second = await visits.next();
    client.send.say("back");
    assert.equal((await second.messages.next()).payload, "back");
  });

  test("ends the waiting for the next attempt", async (t) => {
    const { url, visits, state } = await startPlain(t);
    state.accepts = false;
    const hour = 3_600_000;
    const client = open(t, url, { minReconnectionDelay: hour, maxReconnectionDelay: hour });
    const refused = new Promise<void>((resolve) => client.onClose(() => resolve()));
    await within(refused, "the refusal");
    assert.equal(client.readyState, 0);
    state.accepts = true;
    client.reconnect();
    await visits.next();
  });

  test("several in a row leave one connection", async (t) => {
    const { url, visits } = await startPlain(t);
    const client = open(t, url);
    await visits.next();
    await until(() => client.readyState === 1, "it is open");
    for (let round = 0; round < 5; round++) client.reconnect();
    await until(() => client.readyState === 1, "it is open again");
    client.send.say("where");
    let found = 0;
    const living: Visit[] = [];
    await until(() => {
      living.push(...visits.drain());
      found = living.filter(({ messages }) => messages.drain().length > 0).length;
      return found > 0;
    }, "the message");
    assert.equal(found, 1);
    await until(
      () => living.filter(({ socket }) => socket.readyState === 1).length === 1,
      "one connection is left",
    );
  });
});
