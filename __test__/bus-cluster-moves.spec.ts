// A Redis Cluster whose slots move, whose nodes are silent, and which speaks TLS.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, test } from "node:test";

import { Authority } from "./_certificates.ts";
import { begin, channelOf, counters, heard, join, textsOf, type MoreOptions } from "./_bus.ts";
import { addsUp, rooms, saidTo, startPair, stream } from "./_cluster.ts";
import { freePort } from "./_port.ts";
import { needsRedis } from "./_redis.ts";
import { Cluster, flagsOf, folder } from "./_redis-fleet.ts";
import { Client } from "./_support.ts";
import { until } from "./_wait.ts";

describe("a Redis Cluster that changes", needsRedis, () => {
  test("keeps 100 rooms that are joined while their slots move", async (t) => {
    const pair = await startPair(t);
    const { cluster, one, two, there } = pair;
    const all = Array.from({ length: 100 }, (_, number) => `room ${number}`);
    const slots = await Promise.all(all.map((room) => cluster.slotOf(channelOf(room))));
    const moves = (async () => {
      for (const slot of new Set(slots)) {
        const from = cluster.startOf(slot);
        await cluster.move(slot, from, (from + 1) % 3);
      }
    })();
    for (const room of all) await there.join(room);
    await moves;
    await Promise.all([one.server.synced(), two.server.synced()]);
    for (const room of all) one.server.send.said(room).toRoom(room);
    await until("all of them", () => saidTo(there).length === all.length);
    assert.deepEqual(saidTo(there).toSorted(), all.toSorted());
    for (const app of [one, two]) {
      assert.deepEqual([app.errors, counters(app).connected, counters(app).missed], [[], true, 0]);
    }
    // Some of them go back.
    const stop = stream(one, all[0] as string);
    for (const slot of new Set(slots.slice(0, 20))) {
      const from = cluster.startOf(slot);
      await cluster.move(slot, (from + 1) % 3, from);
    }
    await two.server.synced();
    const before = saidTo(there).length;
    await until("more of it", () => saidTo(there).length > before + 200);
    await addsUp(pair, all[0] as string, await stop());
    assert.deepEqual([one.errors, two.errors], [[], []]);
  });

  test("follows a replica that is told to take over, while the old master answers", async (t) => {
    const pair = await startPair(t, { replicas: 1 });
    const { cluster, one, two, there } = pair;
    const [room] = await rooms(cluster);
    await there.join(room);
    await two.server.synced();
    const stop = stream(one, room);
    await until("some of it", () => saidTo(there).length > 50);
    const replica = cluster.node(3).redis;
    assert.match(await replica.command("CLUSTER", "FAILOVER", "TAKEOVER"), /^.OK/);
    await until("the new master", async () => (await replica.command("ROLE")).includes("master"));
    const calls = await replica.calls("spublish");
    await until("what goes to it", async () => (await replica.calls("spublish")) > calls + 100);
    const before = saidTo(there).length;
    await until("more of it", () => saidTo(there).length > before + 100);
    const total = await stop();
    await addsUp(pair, room, total);
    const { missed } = counters(two);
    const { confirmed, unconfirmed, dropped } = counters(one);
    t.diagnostic(
      `${total} sent: ${confirmed} confirmed, ${unconfirmed + dropped} not; ${missed} missed`,
    );
    // Nobody reads from the old master any more.
    const old = cluster.node(0).redis;
    await until("the old master to be let go", async () =>
      (await old.command("PUBSUB", "SHARDCHANNELS")).startsWith("*0"),
    );
  });

  test("with a node that is silent carries the rest at once, however much is for that node", async (t) => {
    const { cluster, one, two, there } = await startPair(t);
    const [gone, second] = await rooms(cluster);
    for (const room of [gone, second]) await there.join(room);
    await two.server.synced();
    const { redis: silent } = cluster.node(0);
    const since = performance.now();
    silent.pause();
    t.after(() => silent.resume());
    for (let number = 0; number < 30; number += 1) {
      one.server.send.said("x".repeat(100_000)).toRoom(gone);
    }
    for (let number = 0; number < 100; number += 1) one.server.send.said(number).toRoom(second);
    await until("the rest", () => saidTo(there).length === 100);
    // It has not even been noticed, which takes 3 s.
    const { connected, queued } = counters(one);
    if (performance.now() - since < 2_900) assert.deepEqual([connected, queued], [true, 30]);
    await until("the outage", () => !counters(one).connected && !counters(two).connected);
    silent.resume();
    await until("the return", () => counters(one).connected && counters(two).connected);
    await until("all answers", () => counters(one).queued === 0);
    one.server.send.said("after").toRoom(gone);
    await until("what was sent after", () => heard(there, "after") === 1);
    const { unconfirmed, dropped } = counters(one);
    assert.ok(unconfirmed <= 4 && unconfirmed + dropped <= 30, `${unconfirmed}, ${dropped}`);
  });

  test("is reached with TLS, at the ports that its nodes name for it", async (t) => {
    const authority = new Authority();
    const files = await folder(t);
    const { cert, key } = authority.issue("127.0.0.1");
    const write = async (name: string, text: string) => {
      await writeFile(path.join(files, name), text);
      return path.join(files, name);
    };
    const material = {
      "tls-cert-file": await write("cert", cert),
      "tls-key-file": await write("key", key),
      "tls-ca-cert-file": await write("ca", authority.cert),
      "tls-auth-clients": "no",
      "tls-cluster": "yes",
      "tls-replication": "yes",
    };
    const ports = [await freePort(), await freePort(), await freePort()];
    const cluster = await Cluster.start(t, {
      flags: (number) => flagsOf({ ...material, "tls-port": String(ports[number]) }),
    });
    const secure = (ca: string): MoreOptions => {
      return { cluster: [`rediss://127.0.0.1:${ports[0]}`], tls: { ca } };
    };
    const ours = secure(authority.cert);
    const [one, two] = [await join(t, cluster, {}, ours), await join(t, cluster, {}, ours)];
    const there = await Client.open(t, two.url);
    const all = await rooms(cluster);
    for (const room of all) await there.join(room);
    await two.server.synced();
    for (const room of all) one.server.send.said(room).toRoom(room);
    await until("all of it", () => saidTo(there).length === all.length);
    const app = begin(t, cluster, {}, secure(new Authority("another").cert));
    await until("the report", () => textsOf(app).length > 0);
    assert.match(
      textsOf(app)[0] as string,
      /its node 127\.0\.0\.1:\d+: .*(ertificate|UnknownIssuer)/,
    );
  });
});
