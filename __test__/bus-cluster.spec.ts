// A Redis Cluster: messages travel over the nodes of their slots, while slots move and nodes come and go.
import assert from "node:assert/strict";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { redis } from "@zocket/core/bus";

import {
  begin,
  channelOf,
  counters,
  heard,
  join,
  PREFIX,
  textsOf,
  type MoreOptions,
} from "./_bus.ts";
import { addsUp, rooms, saidTo, startPair, stream } from "./_cluster.ts";
import { meet } from "./_everywhere.ts";
import { needsRedis, Redis } from "./_redis.ts";
import { Cluster, flagsOf } from "./_redis-fleet.ts";
import { Client, serve } from "./_support.ts";
import { until } from "./_wait.ts";

describe("a Redis Cluster", needsRedis, () => {
  test("carries rooms, ids and broadcasts over all of its nodes, once each and in order", async (t) => {
    const cluster = await Cluster.start(t);
    // One node is enough to find the others.
    const bus = {
      on: (more: MoreOptions) => cluster.on({ ...more, cluster: [cluster.node(1).redis.url] }),
    };
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const here = await Client.open(t, one.url);
    const there = await Client.open(t, two.url);
    const other = await Client.open(t, two.url);
    const all = await rooms(cluster);
    for (const room of all) await there.join(room);
    await here.join(all[0]);
    await Promise.all([one.server.synced(), two.server.synced()]);
    assert.equal(counters(two).rooms, 3);
    for (const room of all) one.server.send.said(room).toRoom(room);
    one.server.send.said("to all of them").toRoom(all);
    one.server.send.said("to many").toRoom([...all, ..."abcdefgh"]);
    one.server.send.said("to one").to(two.connects[0]?.clientId as string);
    one.shout("to everybody");
    const expected = [...all, "to all of them", "to many", "to one", "to everybody"];
    await until("all of it", () => saidTo(there).length === expected.length);
    assert.deepEqual(saidTo(there).toSorted(), expected.toSorted());
    await until("the broadcast", () => heard(other, "to everybody") === 1);
    await until("the local ones", () => saidTo(here).length >= 4);
    assert.equal(saidTo(other).length, 1);
    assert.deepEqual(saidTo(here), [all[0], "to all of them", "to many", "to everybody"]);
    const served = await Promise.all(
      cluster.nodes.map(({ redis: node }) => node.calls("spublish")),
    );
    for (const calls of served) assert.ok(calls > 0, `${served} were published at the nodes`);
    const numbers = Array.from({ length: 3_000 }, (_, number) => number);
    for (const number of numbers) one.server.send.said(number).toRoom(all[number % 3] as string);
    await until("all numbers", () => saidTo(there).length === expected.length + numbers.length);
    for (const place of [0, 1, 2]) {
      const ofRoom = saidTo(there).filter((it) => typeof it === "number" && it % 3 === place);
      assert.deepEqual(
        ofRoom,
        numbers.filter((it) => it % 3 === place),
      );
    }
    await until("the confirmations", () => counters(one).queued === 0);
    assert.deepEqual([counters(two).missed, counters(one).dropped, one.errors.length], [0, 0, 0]);
  });

  test("loses nobody when a slot moves during traffic: what came and what was missed is all", async (t) => {
    const pair = await startPair(t);
    const { cluster, one, two, there } = pair;
    const [room, still] = await rooms(cluster);
    await there.join(room);
    await there.join(still);
    await two.server.synced();
    const stop = stream(one, room);
    await until("some of it", () => saidTo(there).length > 50);
    const slot = await cluster.slotOf(channelOf(room));
    let meanwhile = -counters(one).published;
    await cluster.move(slot, 0, 2);
    meanwhile += counters(one).published;
    const before = saidTo(there).length;
    await until("more of it", () => saidTo(there).length > before + 300);
    meanwhile -= counters(one).published;
    await cluster.move(slot, 2, 1);
    meanwhile += counters(one).published;
    const later = saidTo(there).length;
    await until("still more of it", () => saidTo(there).length > later + 300);
    await addsUp(pair, room, await stop());
    const { missed } = counters(two);
    const { published, confirmed, unconfirmed, dropped } = counters(one);
    t.diagnostic(
      `${published} published: ${confirmed} confirmed, ${unconfirmed} unconfirmed, ${dropped} dropped; ${missed} missed`,
    );
    assert.equal(unconfirmed + dropped, 0);
    // A slow machine takes longer for the move, and for following it.
    assert.ok(missed < 60 + meanwhile, `${missed} were missed, and ${meanwhile} sent meanwhile`);
    assert.deepEqual([one.errors, two.errors], [[], []]);
    assert.deepEqual([counters(one).connected, counters(two).connected], [true, true]);
  });

  test("that loses a node loses its slots alone, and gets them back with it", async (t) => {
    const { cluster, one, two, there } = await startPair(t);
    const here = await Client.open(t, one.url);
    const [gone, second, third] = await rooms(cluster);
    for (const room of [gone, second, third]) await there.join(room);
    await here.join(gone);
    await two.server.synced();
    one.server.send.said("first").toRoom(gone);
    await until("the first one", () => heard(there, "first") === 1);
    await cluster.node(0).redis.kill();
    await until("the outage", () => !counters(one).connected && !counters(two).connected);
    one.server.send.said("waits").toRoom(gone);
    for (let number = 0; number < 500; number += 1) {
      one.server.send.said(number).toRoom(number % 2 ? second : third);
    }
    await until("what goes over the others", () => saidTo(there).length === 501);
    await until("the local delivery", () => heard(here, "waits") === 1);
    // All but that one are confirmed. On a slow machine it may have waited its whole time already.
    await until("their answers", () => counters(one).queued + counters(one).dropped === 1);
    await until("the news of it", () => textsOf(one).length > 0);
    assert.match(textsOf(one)[0] as string, /is away: its node 127\.0\.0\.1:\d+: /);
    await until("the drop of what waited", () => counters(one).dropped === 1);
    one.server.send.said("late").toRoom(gone);
    await cluster.node(0).redis.again();
    await until("the return", () => counters(one).connected && counters(two).connected);
    await until("the answer", () => counters(one).queued === 0);
    one.server.send.said("after").toRoom(gone);
    await until("what was sent after", () => heard(there, "after") === 1);
    assert.equal(heard(there, "waits"), 0);
    // The other server may have come back after the late one was published.
    assert.equal(counters(two).missed, 2 - heard(there, "late"));
    await until("the news of the return", () => textsOf(one).length >= 2);
    assert.equal(textsOf(one).length, 2, textsOf(one).join("\n"));
    assert.equal(counters(one).reconnects, 1);
  });

  test("answers questions and carries orders as long as the channel for everybody is served", async (t) => {
    const flags = () => flagsOf({ "cluster-require-full-coverage": "no" });
    const { cluster, one, two, there: client } = await startPair(t, { flags });
    const here = await meet(t, one, "a");
    await client.join("a");
    const there = { client, id: two.connects[0]?.clientId as string };
    const all = async () => one.server.clientCount({ everywhere: true });
    const carrierOf = async (channel: string) =>
      cluster.startOf(await cluster.slotOf(`${PREFIX}:${channel}`));
    const carrier = await carrierOf("all");
    // The answers come on the asker's own channel.
    const own = await carrierOf(`p:${here.id.replaceAll("-", "").slice(0, 12)}`);
    assert.deepEqual((await one.server.members("a")).toSorted(), [here.id, there.id].toSorted());
    await one.server.join(there.id, "b");
    one.server.send.said("joined").toRoom("b");
    await until("the message", () => heard(there.client, "joined") === 1);
    await one.server.leave(there.id, "b");
    assert.equal(await two.server.roomSize("b"), 0);

    const needless = cluster.node([0, 1, 2].find((it) => it !== carrier && it !== own) as number);
    await needless.redis.kill();
    await until("the outage", () => !counters(one).connected && !counters(two).connected);
    assert.equal(await all(), 2);
    assert.equal(await one.server.roomSize("a"), 2);
    await needless.redis.again();
    await until("the return", () => counters(one).connected && counters(two).connected);

    const { redis: needed } = cluster.node(carrier);
    await needed.kill();
    await until("the outage", () => !counters(one).connected && !counters(two).connected);
    await assert.rejects(all(), { code: "PARTIAL", partial: 1 });
    // Longer than it takes to forget a process that is silent.
    await sleep(6_000);
    await assert.rejects(all(), { code: "PARTIAL", partial: 1 });
    // An order may wait for its answer for five seconds, which the return can take on a slow machine.
    const joined = one.server.join(there.id, "c").catch(({ code }: { code: string }) => code);
    await needed.again();
    const whole: number[] = [];
    await until("a whole answer", async () => {
      await all().then(
        (count) => whole.push(count),
        () => {},
      );
      return whole.length > 0;
    });
    assert.deepEqual(whole, [2]);
    const refusal = await joined;
    if (refusal !== undefined) {
      assert.equal(refusal, "BUS");
      await one.server.join(there.id, "c");
    }
    one.server.send.said("joined late").toRoom("c");
    await until("the message", () => heard(there.client, "joined late") === 1);
  });

  test("goes on with the replica of a node that is killed", async (t) => {
    const pair = await startPair(t, { replicas: 1 });
    const { cluster, one, two, there } = pair;
    const [room] = await rooms(cluster);
    await there.join(room);
    await two.server.synced();
    const stop = stream(one, room);
    await until("some of it", () => saidTo(there).length > 50);
    await cluster.node(0).redis.kill();
    await until("the outage", () => !counters(one).connected);
    await until("the return", () => counters(one).connected && counters(two).connected);
    const before = saidTo(there).length;
    await until("more of it", () => saidTo(there).length > before + 100);
    await addsUp(pair, room, await stop());
    await until("the news of the return", () => textsOf(one).length >= 2);
    const [away, back] = textsOf(one);
    assert.match(away as string, /its node 127\.0\.0\.1:\d+/);
    assert.match(back as string, /is back/);
  });

  test("of which no node can be reached does not keep the server from starting, and is told", async (t) => {
    const cluster = await Cluster.start(t);
    for (const { redis: node } of cluster.nodes) await node.kill();
    const app = begin(t, cluster);
    await until("the report", () => textsOf(app).length > 0);
    assert.match(textsOf(app)[0] as string, /127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+, .* is away/);
    for (const { redis: node } of cluster.nodes) await node.again();
    await until("the return", () => counters(app).connected);
  });

  test("tells a wrong password, and a user who may not do what a bus needs", async (t) => {
    const user = "app on >app-secret resetchannels &spec:* -@all +spublish +ssubscribe";
    const flags = ["--user", ...user.split(" "), "+sunsubscribe", "+ping", "+cluster|slots"];
    const cluster = await Cluster.start(t, { flags: () => flags });
    const who = { username: "app", password: "app-secret" };
    const [one, two] = [await join(t, cluster, {}, who), await join(t, cluster, {}, who)];
    const there = await Client.open(t, two.url);
    one.shout("hello");
    await until("the broadcast", () => heard(there, "hello") === 1);
    assert.deepEqual([one.errors, two.errors], [[], []]);
    const wrong = begin(t, cluster, {}, { ...who, password: "very-wrong" });
    await until("the report", () => textsOf(wrong).length > 0);
    assert.match(textsOf(wrong)[0] as string, /does not accept the user name or the password/);
    assert.doesNotMatch(textsOf(wrong)[0] as string, /very-wrong|app-secret/);
    for (const { redis: node } of cluster.nodes) {
      await node.command("ACL", "SETUSER", "less", "on", ">less", "-@all", "+ping");
    }
    const less = begin(t, cluster, {}, { username: "less", password: "less" });
    await until("the report", () => textsOf(less).length > 0);
    assert.match(
      textsOf(less)[0] as string,
      /does not permit this user what a bus needs: .*cluster/,
    );
  });
});

describe("what is no cluster of Redis 7", needsRedis, () => {
  test("is told as no cluster", async (t) => {
    const single = await Redis.start(t);
    const app = serve(t, { options: { bus: redis({ cluster: [single.url], prefix: PREFIX }) } });
    await until("the report", () => textsOf(app).length > 0);
    assert.match(textsOf(app)[0] as string, /it is not a node of a cluster/);
  });

  test("is told as too old", async (t) => {
    const old = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (bytes) => {
        for (const [, name] of bytes.toString().matchAll(/\*\d+\r\n\$\d+\r\n(\w+)/g)) {
          const hello = ["server", "redis", "version", "6.2.14", "mode", "cluster"];
          const answer = hello.map((it) => `$${it.length}\r\n${it}\r\n`).join("");
          socket.write(name === "HELLO" ? `*${hello.length}\r\n${answer}` : "+OK\r\n");
        }
      });
    });
    await new Promise<void>((done) => old.listen(0, "127.0.0.1", done));
    t.after(() => old.close());
    const { port } = old.address() as AddressInfo;
    const cluster = [`redis://127.0.0.1:${port}`];
    const app = serve(t, { options: { bus: redis({ cluster, prefix: PREFIX, required: true }) } });
    await until("the report", () => textsOf(app).length > 0);
    assert.match(textsOf(app)[0] as string, /it has the version 6\.2\.14, and .* needs Redis 7/);
    await assert.rejects(app.server.ready(), { code: "BUS", message: /needs Redis 7/ });
  });
});
