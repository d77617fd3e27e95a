// What strangers put on the channels: nothing of it reaches a client as a frame, stops a server or stays in memory.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import {
  channelOf,
  counters,
  EVERYBODY,
  field,
  heard,
  join,
  PREFIX,
  publication,
  saidTo,
  secondsSince,
  toldOf,
  watch,
} from "./_bus.ts";
import { needsRedis, Redis } from "./_redis.ts";
import { Client, dice, type App } from "./_support.ts";
import { until } from "./_wait.ts";

const MIB = 1024 * 1024;

describe("poison on the channels", needsRedis, () => {
  test("of any bytes is counted, and each message that makes sense comes through", async (t) => {
    const bus = await Redis.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const there = await Client.open(t, two.url);
    watch(t, one, two);
    await there.join("a");
    await two.server.synced();
    const roll = dice(7);
    const whole = publication({ rooms: ["a"] });
    const poison = [
      // Each part of a message that is cut.
      ...Array.from({ length: whole.length }, (_, end) => whole.subarray(0, end)).filter(
        // Without the payload it makes sense.
        ({ length }) => length !== whole.length - field(10, '"hi"').length,
      ),
      // Lengths that lie.
      ...Array.from({ length: 200 }, () => {
        const bytes = Buffer.from(whole);
        bytes.writeUInt32LE(0xffff_fff0 + roll(16), 4);
        return bytes;
      }),
      ...Array.from({ length: 500 }, () => randomBytes(roll(300))),
      // Other versions.
      ...[0, 2, 255].map((version) => publication({ head: [0x7a, version, 1] })),
      // Other names than the channel's, and names that cannot be.
      publication({ rooms: ["b"] }),
      publication({ rooms: [""] }),
      publication({ rooms: ["x".repeat(5_000)] }),
      publication(),
      // Two kinds of receivers.
      publication({ rooms: ["a"], more: [field(6, "")] }),
      publication({ rooms: ["a"], payload: '"hi"},{"type":"said"' }),
      publication({ rooms: ["a"], payload: "" }),
      publication({ rooms: ["a"], route: "$error" }),
      publication({ rooms: ["a"], route: "say" }),
      publication({ rooms: ["a"], route: "\n".repeat(100_000) }),
    ];
    const since = performance.now();
    await bus.publish(channelOf("a"), poison);
    await until("the count", () => counters(two).malformed === poison.length);
    one.server.send.said("after").toRoom("a");
    await until("what was sent after", () => heard(there, "after") === 1);
    assert.deepEqual(saidTo(there), ["in a", "after"]);
    await until("the report", () => toldOf(two).length > 0);
    for (const { text, connected } of toldOf(two)) {
      assert.equal(connected, undefined);
      assert.ok(text.length < 400, `${text.length} characters`);
    }
    assert.ok(toldOf(two).length <= 1 + secondsSince(since), "once a second");
    assert.deepEqual([counters(two).missed, counters(two).reconnects], [0, 0]);
  });

  test("of numbers that jump, go back or begin anew is counted as what it claims to be", async (t) => {
    const bus = await Redis.start(t);
    const app = await join(t, bus);
    const client = await Client.open(t, app.url);
    watch(t, app);
    const process = randomBytes(6);
    const of = (number: bigint, epoch: bigint, payload: string) =>
      publication({ process, number, epoch, payload: JSON.stringify(payload) });
    const max = 2n ** 64n - 1n;
    await bus.publish(EVERYBODY, [
      of(10n, 1n, "ten"),
      of(10n, 1n, "ten again"),
      of(9n, 1n, "nine"),
      of(13n, 1n, "thirteen"),
      of(1n, 2n, "a new epoch"),
      of(3n, 2n, "three"),
      of(0n, 3n, "zero"),
    ]);
    await until("zero", () => heard(client, "zero") === 1);
    assert.deepEqual(saidTo(client), ["ten", "thirteen", "a new epoch", "three", "zero"]);
    assert.deepEqual([counters(app).received, counters(app).missed], [5, 3]);
    // Two of the longest jumps are more than a counter can hold.
    for (const epoch of [4n, 5n]) {
      await bus.publish(EVERYBODY, [of(0n, epoch, "begin"), of(max, epoch, "end")]);
    }
    await until("the ends", () => heard(client, "end") === 2);
    assert.ok(counters(app).missed >= 2 ** 63);
    await bus.publish(EVERYBODY, [of(1n, 6n, "still there")]);
    await until("one more", () => heard(client, "still there") === 1);
  });

  test("of ids that were there is ignored", async (t) => {
    const bus = await Redis.start(t);
    const app = await join(t, bus);
    const client = await Client.open(t, app.url);
    const id = randomBytes(16);
    for (const payload of ["1", "2", "3"]) {
      await bus.publish(EVERYBODY, [publication({ id, payload })]);
    }
    await bus.publish(EVERYBODY, [publication({ payload: '"last"' })]);
    await until("the last", () => heard(client, "last") === 1);
    assert.deepEqual(saidTo(client), [1, "last"]);
  });

  test("of messages between processes is counted or ignored, and nobody is disconnected", async (t) => {
    const bus = await Redis.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const there = await Client.open(t, two.url);
    const own = (two.connects[0]?.clientId ?? "").replaceAll("-", "").slice(0, 12);
    const roll = dice(11);
    const poison = Array.from({ length: 4_000 }, () => {
      const fields = Array.from({ length: roll(9) }, () =>
        field(1 + roll(22), randomBytes([0, 1, 2, 4, 6, 8, 16, 32, roll(400)][roll(9)] as number)),
      );
      return Buffer.concat([Buffer.from([0x7a, 1, 2 + roll(5)]), ...fields]);
    });
    await bus.publish(EVERYBODY, poison);
    await bus.publish(`${PREFIX}:p:${own}`, poison);
    // Processes that nobody knows, and that ask who is there.
    const strangers = Array.from({ length: 20_000 }, () =>
      Buffer.concat([
        Buffer.from([0x7a, 1, 2]),
        field(2, randomBytes(6)),
        field(12, Buffer.from([0xe8, 3, 0, 0])),
        field(13, ""),
      ]),
    );
    await bus.publish(EVERYBODY, strangers);
    one.shout("after");
    await until("what was sent after", () => heard(there, "after") === 1);
    await there.roundTrip();
    assert.ok(counters(two).malformed > 0);
    assert.deepEqual([counters(two).missed, counters(two).reconnects], [0, 0]);
    assert.equal(two.disconnects.length, 0);
    assert.deepEqual(await two.server.members("nowhere").catch(() => []), []);
  });

  test("of 30 MiB costs at most a reconnect", async (t) => {
    const bus = await Redis.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const there = await Client.open(t, two.url);
    await bus.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0");
    const before = process.memoryUsage().rss;
    const huge = publication({ payload: JSON.stringify("x".repeat(30 * MIB)) });
    for (let turn = 0; turn < 3; turn += 1) {
      const costOf = (app: App) => counters(app).malformed + counters(app).reconnects;
      const before = [costOf(one), costOf(two)] as const;
      await bus.publish(EVERYBODY, [huge]);
      await until("its end", () => costOf(one) > before[0] && costOf(two) > before[1]);
      await until("both", () => counters(one).connected && counters(two).connected);
    }
    one.shout("after");
    await until("what was sent after", () => heard(there, "after") === 1);
    assert.deepEqual(saidTo(there), ["after"]);
    const more = (process.memoryUsage().rss - before) / MIB;
    t.diagnostic(`${more.toFixed(0)} MiB more`);
  });

  test("of a flood does not pile up in a server that cannot keep up", async (t) => {
    const bus = await Redis.start(t);
    const app = await join(t, bus);
    const clients = await Promise.all(Array.from({ length: 50 }, () => Client.open(t, app.url)));
    for (const client of clients) client.socket.pause();
    const flood = Array.from({ length: 20_000 }, () => publication({ payload: '"x"' }));
    let most = 0;
    const before = process.memoryUsage().rss;
    for (let turn = 0; turn < 20; turn += 1) {
      await bus.publish(EVERYBODY, flood);
      most = Math.max(most, process.memoryUsage().rss - before);
    }
    await until("all of it", () => counters(app).received > 0);
    t.diagnostic(`${(most / MIB).toFixed(0)} MiB more at the most`);
    assert.ok(most < 150 * MIB, "it piled up");
  });
});

describe("two versions side by side", needsRedis, () => {
  test("fields that are not known are skipped, and a route that is not known is counted with what it missed", async (t) => {
    const bus = await Redis.start(t);
    const app = await join(t, bus);
    const client = await Client.open(t, app.url);
    const process = randomBytes(6);
    const newer = { process, more: [field(200, randomBytes(40)), field(201, "")] };
    await bus.publish(EVERYBODY, [
      publication({ ...newer, number: 1n, payload: "1" }),
      publication({ ...newer, number: 4n, route: "added.later", payload: "2" }),
      publication({ ...newer, number: 5n, payload: "3" }),
      // Another kind of message.
      publication({ head: [0x7a, 1, 250] }),
      publication({ head: [0x7a, 2, 1], number: 6n, process }),
    ]);
    await until("all", () => counters(app).malformed === 2);
    await until("the last one", () => heard(client, 3) === 1);
    assert.deepEqual(saidTo(client), [1, 3]);
    assert.deepEqual([counters(app).received, counters(app).missed], [2, 2]);
  });
});
