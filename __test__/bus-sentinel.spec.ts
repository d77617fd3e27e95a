// A Redis that sentinels watch: servers find it, and follow when it is replaced.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { redis } from "@zocket/core/bus";

import { begin, counters, heard, join, PREFIX, textsOf } from "./_bus.ts";
import { freePort } from "./_port.ts";
import { needsRedis, Redis } from "./_redis.ts";
import { startSentinel, Watched } from "./_redis-fleet.ts";
import { Client } from "./_support.ts";
import { until } from "./_wait.ts";

const SECRETS = { password: "server-secret", sentinelPassword: "sentinel-secret" };

describe("a Redis with sentinels", needsRedis, () => {
  test("is found with the passwords of both, and followed when it is killed and replaced", async (t) => {
    const watched = await Watched.start(t, SECRETS);
    // One of the sentinels does not exist.
    const sentinels = [`redis://127.0.0.1:${await freePort()}`, ...watched.sentinels];
    const more = { sentinels, password: SECRETS.password };
    const [one, two] = [await join(t, watched, {}, more), await join(t, watched, {}, more)];
    const there = await Client.open(t, two.url);
    await there.join("a");
    await two.server.synced();
    one.server.send.said("before").toRoom("a");
    await until("what was sent before", () => heard(there, "before") === 1);
    await watched.first.kill();
    await until("the outage", () => !counters(one).connected && !counters(two).connected);
    one.server.send.said("meanwhile").toRoom("a");
    await until("the return", () => counters(one).connected && counters(two).connected);
    one.server.send.said("after").toRoom("a");
    await until("what was sent after", () => heard(there, "after") === 1);
    await until("all answers", () => counters(one).queued === 0);
    const { published, confirmed, dropped, unconfirmed } = counters(one);
    assert.equal(published, 3);
    assert.ok(confirmed >= 2, `${confirmed} confirmed`);
    // What waited came, or the next number told that it did not.
    assert.equal(heard(there, "meanwhile") + counters(two).missed, 1);
    assert.ok(heard(there, "meanwhile") <= 1 && dropped + unconfirmed <= 1);
    assert.equal(counters(one).reconnects, 1);
    await until("the news of the return", () => textsOf(one).length >= 2);
    const texts = textsOf(one);
    assert.equal(texts.length, 2, texts.join("\n"));
    assert.match(texts[0] as string, /main of the sentinels 127\.0\.0\.1:\d+, .* is away/);
    assert.match(texts[1] as string, /is back/);
    for (const text of texts) assert.doesNotMatch(text, /secret/);
  });

  test("is left when the sentinels replace it while it still answers", async (t) => {
    const watched = await Watched.start(t);
    const [one, two] = [await join(t, watched), await join(t, watched)];
    const there = await Client.open(t, two.url);
    await watched.failover();
    await until("the move of both", () =>
      [one, two].every((app) => counters(app).connected && counters(app).reconnects === 1),
    );
    one.shout("after");
    await until("what was sent after", () => heard(there, "after") === 1);
    await until("the news of it", () => textsOf(one).length > 0);
    assert.match(textsOf(one)[0] as string, /replaced|closed/);
  });

  test("stays while a sentinel that has not heard of it names the server before it", async (t) => {
    const bus = await Redis.start(t);
    const late = await startSentinel(t, await freePort());
    const first = await startSentinel(t, bus.port);
    const sentinels = [late.url, first.url];
    const app = await join(t, {
      on: (more) => redis({ sentinels, name: "main", prefix: PREFIX, ...more }),
    });
    // One question found the server, and the others look whether it was replaced.
    await until("the third question", () => first.questions >= 3);
    assert.deepEqual([counters(app).reconnects, textsOf(app)], [0, []]);
    assert.equal(late.questions, 1);
  });

  test("tells which of both passwords is wrong, and no secret", async (t) => {
    const watched = await Watched.start(t, SECRETS);
    const bare = watched.sentinels.map((url) => url.replace(/:sentinel-secret@/, ":very-wrong@"));
    for (const [sentinels, password, expected] of [
      [bare, SECRETS.password, /sentinel 127\.0\.0\.1:\d+: it does not accept the user/],
      [watched.sentinels, "very-wrong", /server 127\.0\.0\.1:\d+: it does not accept the user/],
    ] as const) {
      const app = begin(t, watched, {}, { sentinels, password });
      await until("the report", () => textsOf(app).length > 0);
      assert.match(textsOf(app).at(-1) as string, expected);
      assert.doesNotMatch(textsOf(app).join(), /secret|very-wrong/);
    }
  });

  test("that the sentinels do not know is told with its name", async (t) => {
    const app = begin(t, await Watched.start(t), {}, { name: "other" });
    await until("the report", () => textsOf(app).length > 0);
    assert.match(textsOf(app)[0] as string, /the sentinel 127\.0\.0\.1:\d+ knows no server other/);
  });
});
