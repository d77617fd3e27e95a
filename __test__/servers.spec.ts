// Several servers in one process.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer, zocket } from "@zocket/core";

import { Client, anything, serve } from "./_support.ts";
import { until } from "./_wait.ts";

const zo = zocket.create({ headers: anything<Record<string, string>>() });
const router = zo.router(
  { say: zo.message.incoming({ payload: anything<unknown>() }) },
  { say() {} },
);

describe("several servers in one process", () => {
  test("have each their own clients and rooms", async (t) => {
    const apps = [serve(t), serve(t), serve(t)];
    const clients = await Promise.all(apps.map(({ url }) => Client.open(t, url)));
    for (const client of clients) await client.join("room");
    apps.forEach(({ server }, index) => server.publish("room", "said", `room ${index}`));
    apps.forEach(({ shout }, index) => shout(`all ${index}`));
    for (const [index, client] of clients.entries()) {
      await client.roundTrip();
      const payloads = client.received.slice(0, 3).map(({ payload }) => payload);
      assert.deepEqual(payloads, ["in room", `room ${index}`, `all ${index}`]);
    }
  });

  test("are stopped each alone", async (t) => {
    const [one, other] = [serve(t), serve(t)];
    const [ended, stays] = [await Client.open(t, one.url), await Client.open(t, other.url)];
    await one.server.stop();
    assert.equal((await ended.closed).code, 1001);
    await stays.roundTrip();
    await (await Client.open(t, other.url)).roundTrip();
  });

  test("have functions that work taken off them, whatever `this` is", async (t) => {
    const { server, url } = serve(t);
    const client = await Client.open(t, url);
    await client.join("room");
    const { send, publish, clientCount, metrics, ref, unref, stop } = server;
    for (const receiver of [undefined, null, {}, 1]) {
      unref.call(receiver);
      ref.call(receiver);
      assert.equal(clientCount.call(receiver), 1);
      assert.equal(metrics.call(receiver).connections, 1);
      publish.call(receiver, "room", "said", "published");
    }
    const { said } = send;
    const { to, toRoom, broadcast } = said("sent");
    to("nobody");
    toRoom("room");
    broadcast();
    await until("seven messages", () => client.received.length === 7);
    await stop.call(undefined);
    assert.equal((await client.closed).code, 1001);
  });

  test("may serve the same router", async (t) => {
    const { server, port } = serve(t);
    const twins = [0, 1].map(() => createServer(router, zo, { port: 0, hostname: "127.0.0.1" }));
    t.after(() => Promise.all(twins.map((twin) => twin.stop(true))));
    await Promise.all(twins.map(({ url }) => Client.open(t, url)));
    assert.deepEqual(
      [server, ...twins].map((it) => it.clientCount()),
      [0, 1, 1],
    );
    assert.equal(new Set([port, ...twins.map((it) => it.port)]).size, 3);
  });
});
