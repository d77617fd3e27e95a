// Servers on one NATS as one, and on several that are a cluster: questions and orders.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createPublisher } from "@zocket/core/bus";

import { counters, heard, join } from "./_bus.ts";
import { meet } from "./_everywhere.ts";
import { Nats, needsNats } from "./_nats.ts";
import type { App } from "./_support.ts";
import { until } from "./_wait.ts";

/** Two servers on these, and a publisher, do all that they can do with clients of others. */
async function talk(t: TestContext, [first, second]: readonly [Nats, Nats]): Promise<void> {
  const [one, two] = [await join(t, first), await join(t, second)];
  const [here, there] = [await meet(t, one, "a"), await meet(t, two, "a")];
  assert.deepEqual((await one.server.members("a")).toSorted(), [here.id, there.id].toSorted());
  assert.equal(await two.server.roomSize("a"), 2);
  assert.equal(await two.server.clientCount({ everywhere: true }), 2);
  for (let turn = 0; turn < 10; turn += 1) {
    await one.server.join(there.id, `room ${turn}`);
    one.server.send.said(turn).toRoom(`room ${turn}`);
  }
  await until("all", () => heard(there.client, 9) === 1);
  for (let turn = 0; turn < 10; turn += 1) assert.equal(heard(there.client, turn), 1);
  await one.server.leave(there.id, "room 1");
  assert.equal(await one.server.roomSize("room 1"), 0);
  const publisher = createPublisher<App["router"]>(first.on());
  assert.equal(await publisher.roomSize("a"), 2);
  await publisher.disconnect(there.id, { code: 4_000, reason: "bye" });
  assert.deepEqual(await there.client.closed, { code: 4_000, reason: "bye" });
  await publisher.close();
  await two.server.stop();
  assert.deepEqual(await one.server.members("a"), [here.id]);
  assert.equal(counters(one).malformed, 0);
}

describe("questions and orders over NATS", needsNats, () => {
  test("reach the clients of both servers on one", async (t) => {
    const bus = await Nats.start(t);
    await talk(t, [bus, bus]);
  });

  test("reach them through a cluster", async (t) => {
    const [first, second] = await Nats.cluster(t, 3);
    assert.ok(first && second);
    await talk(t, [first, second]);
  });
});
