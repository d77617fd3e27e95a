// A Redis that sentinels watch: servers find it, and follow when it is replaced.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { redis, type Bus } from "@zocket/core/bus";

import { freePort, needsRedis } from "./_redis.ts";
import { NAME, Watched } from "./_redis-fleet.ts";
import { Client, serve, type App } from "./_support.ts";
import { until } from "./_wait.ts";

const PREFIX = "spec";

async function join(t: TestContext, bus: Bus): Promise<App> {
  const app = serve(t, { options: { bus } });
  await app.server.ready();
  return app;
}

const heard = (client: Client, payload: unknown) =>
  client.received.filter((it) => it.type === "said" && it.payload === payload).length;

function counters({ server }: App) {
  const { bus } = server.metrics();
  assert.ok(bus);
  assert.equal(bus.published, bus.confirmed + bus.unconfirmed + bus.dropped + bus.queued);
  return bus;
}

const told = (app: App) =>
  app.errors.filter(({ code }) => code === "BUS").map(({ error }) => String(error));

const SECRETS = { password: "server-secret", sentinelPassword: "sentinel-secret" };

describe("a Redis with sentinels", needsRedis, () => {
  test("is found with the passwords of both, and followed when it is killed and replaced", async (t) => {
    const watched = await Watched.start(t, SECRETS);
    // One of the sentinels does not exist.
    const sentinels = [`redis://127.0.0.1:${await freePort()}`, ...watched.sentinels];
    const password = SECRETS.password;
    const bus = redis({ sentinels, name: NAME, password, prefix: PREFIX, required: true });
    const [one, two] = [await join(t, bus), await join(t, bus)];
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
    const texts = told(one);
    assert.equal(texts.length, 2, texts.join("\n"));
    assert.match(texts[0] as string, /main of the sentinels 127\.0\.0\.1:\d+, .* is away/);
    assert.match(texts[1] as string, /is back/);
    for (const text of texts) assert.doesNotMatch(text, /secret/);
  });

  test("is left when the sentinels replace it while it still answers", async (t) => {
    const watched = await Watched.start(t);
    const { sentinels } = watched;
    const bus = redis({ sentinels, name: NAME, prefix: PREFIX, required: true });
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const there = await Client.open(t, two.url);
    await watched.failover();
    await until("the move of both", () =>
      [one, two].every((app) => counters(app).connected && counters(app).reconnects === 1),
    );
    one.shout("after");
    await until("what was sent after", () => heard(there, "after") === 1);
    assert.match(told(one)[0] as string, /replaced|closed/);
  });

  test("tells which of both passwords is wrong, and no secret", async (t) => {
    const watched = await Watched.start(t, SECRETS);
    const bare = watched.sentinels.map((url) => url.replace(/:sentinel-secret@/, ":very-wrong@"));
    for (const [sentinels, password, expected] of [
      [bare, SECRETS.password, /sentinel 127\.0\.0\.1:\d+: it does not accept the user/],
      [watched.sentinels, "very-wrong", /server 127\.0\.0\.1:\d+: it does not accept the user/],
    ] as const) {
      const bus = redis({ sentinels, name: NAME, password, prefix: PREFIX, required: true });
      const app = serve(t, { options: { bus } });
      await until("the report", () => told(app).length > 0);
      assert.match(told(app).at(-1) as string, expected);
      assert.doesNotMatch(told(app).join(), /secret|very-wrong/);
    }
  });

  test("that the sentinels do not know is told with its name", async (t) => {
    const { sentinels } = await Watched.start(t);
    const bus = redis({ sentinels, name: "other", prefix: PREFIX });
    const app = serve(t, { options: { bus } });
    await until("the report", () => told(app).length > 0);
    assert.match(told(app)[0] as string, /the sentinel 127\.0\.0\.1:\d+ knows no server other/);
  });
});
