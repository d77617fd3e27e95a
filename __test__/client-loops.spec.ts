// That nothing goes round: reconnect() in onClose, servers that accept and close at once, delays of nothing.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { ClientOptions } from "@zocket/core";

import { counting, deadUrl, open, told } from "./_client.ts";
import { clock, connect, Fake } from "./_fake-socket.ts";
import { startPlain } from "./_plain.ts";
import { until } from "./_talk.ts";

/** Time in ms after which a connection has proven itself. */
const PROVEN = 5_000;

/** How many ms pass until the next attempt. */
function untilNext(tick: (ms: number) => void): number {
  const before = Fake.all.length;
  for (let ms = 0; ms <= 20_000; ms++) {
    if (Fake.all.length > before) return ms;
    tick(1);
  }
  return assert.fail("there is no other attempt");
}

/** Lets so many ms pass while each attempt opens, or fails, at once; returns how many there were. */
async function pass(tick: (ms: number) => void, ms: number, ends: boolean): Promise<number> {
  const before = Fake.all.length;
  for (let step = 0; step < ms / 10; step++) {
    if (Fake.last.readyState === 0) {
      if (ends) Fake.last.end();
      else Fake.last.open();
    }
    for (let turn = 0; turn < 5; turn++) await told();
    tick(10);
  }
  return Fake.all.length - before;
}

describe("delay and count of retries", () => {
  test("go on where a connection was open for less than 5 s, and start anew after that", (t) => {
    const tick = clock(t);
    const client = connect({ reconnectionDelayGrowFactor: 2, maxRetries: 3 });
    for (const base of [1000, 2000, 4000]) {
      Fake.last.open();
      tick(PROVEN - 1);
      Fake.last.end(1013, "", true);
      const delay = untilNext(tick);
      assert.ok(delay >= base * 0.75 && delay <= base * 1.25 + 1, `${delay}, not ${base}`);
    }
    Fake.last.open();
    tick(PROVEN);
    Fake.last.end();
    assert.ok(untilNext(tick) <= 1251);
    for (let attempt = 0; attempt < 2; attempt++) {
      Fake.last.open().end();
      untilNext(tick);
    }
    Fake.last.open().end();
    assert.equal(client.readyState, 3);
  });

  test("grow from a minReconnectionDelay of 0 too", (t) => {
    const tick = clock(t);
    connect({ minReconnectionDelay: 0, reconnectionDelayGrowFactor: 2 });
    Fake.last.open().end();
    assert.ok(untilNext(tick) <= 1);
    for (const base of [200, 400, 800, 1600, 3200, 6400]) {
      Fake.last.open().end();
      const delay = untilNext(tick);
      assert.ok(delay >= base * 0.75 && delay <= base * 1.25 + 1, `${delay}, not ${base}`);
    }
  });

  test("without growth and delay leave pauses all the same", (t) => {
    const tick = clock(t);
    connect({ minReconnectionDelay: 0, reconnectionDelayGrowFactor: 1 });
    Fake.last.end();
    untilNext(tick);
    for (let attempt = 0; attempt < 10; attempt++) {
      Fake.last.end();
      assert.ok(untilNext(tick) >= 75);
    }
  });

  test("hold when each maximum is smaller than the minimum", (t) => {
    const tick = clock(t);
    connect({ minReconnectionDelay: 0, maxReconnectionDelay: 50 });
    for (let attempt = 0; attempt < 20; attempt++) {
      Fake.last.end();
      assert.ok(untilNext(tick) <= 51);
    }
  });
});

describe("reconnect()", () => {
  test("does nothing while the client connects", async () => {
    const ends: number[] = [];
    const client = connect({ onClose: ({ code }) => ends.push(code) });
    for (let call = 0; call < 10; call++) client.reconnect();
    await told();
    assert.deepEqual([Fake.all.length, Fake.last.closes, ends], [1, [], []]);
    Fake.last.open();
    assert.equal(client.readyState, 1);
  });

  test("connects at once while the client waits, again and again", async (t) => {
    const tick = clock(t);
    const hour = 3_600_000;
    const client = connect({ minReconnectionDelay: hour, maxReconnectionDelay: hour });
    for (let attempt = 1; attempt < 50; attempt++) {
      Fake.last.end();
      tick(10);
      client.reconnect();
      assert.equal(Fake.all.length, attempt + 1);
    }
  });

  test("closes and connects while it is open, again and again", async () => {
    const client = connect();
    for (let attempt = 1; attempt < 50; attempt++) {
      const socket = Fake.last.open();
      client.reconnect();
      await told();
      assert.deepEqual([socket.closes, Fake.all.length], [[1000], attempt + 1]);
    }
  });

  test("after close() tells the end of what was left, and connects", async () => {
    const ends: [number, boolean][] = [];
    const client = connect({ onClose: ({ code, wasClean }) => ends.push([code, wasClean]) });
    client.close();
    client.reconnect();
    Fake.last.open();
    client.close();
    client.reconnect();
    await told();
    assert.deepEqual(ends, [
      [1006, false],
      [1000, true],
    ]);
    assert.deepEqual([Fake.all.length, client.readyState], [3, 0]);
  });

  test("with a class that throws is an attempt that failed, and others follow", async (t) => {
    const tick = clock(t);
    t.mock.method(console, "error", () => {});
    let isBroken = false;
    class Breaking extends Fake {
      constructor(url: string, protocols?: string[]) {
        if (isBroken) throw new Error("no token");
        super(url, protocols);
      }
    }
    const ends: number[] = [];
    const client = connect({ WebSocket: Breaking, onClose: ({ code }) => ends.push(code) });
    Fake.last.open();
    isBroken = true;
    client.reconnect();
    await told();
    assert.deepEqual([ends, client.readyState], [[1000, 1006], 0]);
    isBroken = false;
    untilNext(tick);
  });
});

/** The ways to answer an end with reconnect(). */
const ANSWERS: Record<string, (reconnect: () => void) => unknown> = {
  "at once": (reconnect) => reconnect(),
  "after an await": async (reconnect) => {
    await told();
    reconnect();
  },
  "after fetching a token": async (reconnect) => {
    await new Promise((done) => setTimeout(done, 300));
    reconnect();
  },
  "after fetching a token for long": async (reconnect) => {
    await new Promise((done) => setTimeout(done, PROVEN + 1_000));
    reconnect();
  },
  "in a chain of promises": (reconnect) => Promise.resolve().then(reconnect),
  twice: async (reconnect) => {
    reconnect();
    await told();
    reconnect();
  },
};

describe("reconnect() in onClose", () => {
  for (const [how, answer] of Object.entries(ANSWERS)) {
    test(`${how} makes one connection of one reconnect()`, async (t) => {
      const tick = clock(t);
      const client = connect();
      client.onClose(() => answer(() => client.reconnect()));
      Fake.last.open();
      tick(PROVEN);
      client.reconnect();
      assert.equal(Fake.all.length, 2);
      assert.equal(await pass(tick, 30_000, false), 0);
      // It works as ever afterwards.
      client.reconnect();
      await pass(tick, 30_000, false);
      assert.equal(Fake.all.length, 3);
    });

    test(`${how} makes two connections at most of a lost one`, async (t) => {
      const tick = clock(t);
      const client = connect();
      client.onClose(() => answer(() => client.reconnect()));
      Fake.last.open();
      tick(PROVEN);
      Fake.last.end();
      await pass(tick, 30_000, false);
      const made = Fake.all.length - 1;
      assert.ok(made === 1 || made === 2, `${made}`);
    });

    test(`${how} does not hurry a client whose server is dead`, async (t) => {
      const tick = clock(t);
      const options = { minReconnectionDelay: 1_000, reconnectionDelayGrowFactor: 2 };
      const client = connect({ ...options, maxRetries: 2 });
      client.onClose(() => answer(() => client.reconnect()));
      // Alone it makes 1 + 2 of them, and then one each 10 s.
      const made = await pass(tick, 30_000, true);
      assert.ok(made <= 12, `${made} attempts in 30 s`);
    });
  }

  for (const ms of [0, 10, 1_000]) {
    test(`by a timer of ${ms} ms, which nobody can see, makes no storm`, async (t) => {
      const tick = clock(t);
      const client = connect({ minReconnectionDelay: 100, maxReconnectionDelay: 60_000 });
      client.onClose(() => void setTimeout(() => client.reconnect(), ms));
      Fake.last.open();
      client.reconnect();
      const open = await pass(tick, 60_000, false);
      assert.ok(open <= 5 + 60_000 / PROVEN, `${open} connections in a minute`);
      const dead = await pass(tick, 60_000, true);
      assert.ok(dead <= 30, `${dead} attempts in a minute`);
    });
  }

  test("of a listener that never ends takes one other call for its own, and no more", async (t) => {
    clock(t);
    const client = connect();
    client.onClose(() => new Promise(() => {}));
    Fake.last.open();
    client.reconnect();
    await told();
    Fake.last.open();
    client.reconnect();
    assert.equal(Fake.all.length, 2);
    client.reconnect();
    assert.equal(Fake.all.length, 3);
  });

  test("that comes too often is carried out once the connection was open for 5 s", async (t) => {
    const tick = clock(t);
    const client = connect({ onClose: () => {} });
    for (let call = 0; call < 5; call++) {
      Fake.last.open();
      client.reconnect();
      await told();
    }
    assert.equal(Fake.all.length, 6);
    Fake.last.open();
    client.reconnect();
    client.reconnect();
    tick(PROVEN - 1);
    assert.deepEqual([Fake.all.length, Fake.last.closes], [6, []]);
    tick(1);
    assert.equal(Fake.all.length, 7);
    // Nothing is left over for the next one.
    Fake.last.open();
    tick(60_000);
    assert.equal(Fake.all.length, 7);
    client.reconnect();
    assert.equal(Fake.all.length, 8);
  });

  test("is no reason to forget a button: after 5 s it always connects at once", async (t) => {
    const tick = clock(t);
    const hour = 3_600_000;
    const delays = { minReconnectionDelay: hour, maxReconnectionDelay: hour };
    const client = connect({ ...delays, onClose: () => new Promise(() => {}) });
    for (let attempt = 1; attempt < 20; attempt++) {
      Fake.last.end();
      tick(PROVEN);
      client.reconnect();
      assert.equal(Fake.all.length, attempt + 1);
    }
  });

  test("opens a client that gave up, after the delay", async (t) => {
    const tick = clock(t);
    const client = connect({ maxRetries: 0 });
    client.onClose(() => client.reconnect());
    Fake.last.end();
    assert.equal(Fake.all.length, 2);
    Fake.last.end();
    assert.deepEqual([Fake.all.length, client.readyState], [2, 0]);
    assert.ok(untilNext(tick) >= 750);
  });

  test("brings back a client that was closed", async (t) => {
    clock(t);
    const client = connect();
    client.onClose(() => client.reconnect());
    for (let round = 1; round < 10; round++) {
      Fake.last.open();
      client.close();
      Fake.last.end(1000, "", true);
      assert.equal(Fake.all.length, round + 1);
    }
  });
});

describe("reconnect() in other functions of the application makes no storm:", () => {
  for (const [how, answer] of Object.entries(ANSWERS)) {
    test(`in onError, ${how}, where the headers fail again and again`, async (t) => {
      const tick = clock(t);
      let asked = 0;
      const client = connect({
        headers: () => {
          asked += 1;
          throw new Error("no token");
        },
      });
      client.onError(() => answer(() => client.reconnect()));
      for (let step = 0; step < 3_000; step++) {
        for (let turn = 0; turn < 5; turn++) await told();
        tick(10);
      }
      // Alone it asks 10 times.
      assert.ok(asked <= 25, `${asked} questions in 30 s`);
    });

    test(`in shouldReconnect, ${how}`, async (t) => {
      const tick = clock(t);
      const client = connect({
        shouldReconnect: () => {
          void answer(() => client.reconnect());
          return false;
        },
      });
      const made = await pass(tick, 30_000, true);
      assert.ok(made <= 25, `${made} attempts in 30 s`);
    });
  }
});

describe("with real sockets, reconnect() in onClose", () => {
  const tries: [string, (reconnect: () => void) => unknown][] = [
    ["at once", (reconnect) => reconnect()],
    ["after an await", async (reconnect) => void (await told(), reconnect())],
    ["by a timer", (reconnect) => void setTimeout(reconnect, 1)],
  ];
  const quick: ClientOptions = { minReconnectionDelay: 200, maxReconnectionDelay: 10_000 };
  for (const [how, answer] of tries) {
    test(`${how} makes no storm at a dead server, nor at one that closes at once`, async (t) => {
      const dead = counting();
      const first = open(t, await deadUrl(), { ...quick, WebSocket: dead.Counted });
      first.onClose(() => answer(() => first.reconnect()));
      const { url, visits } = await startPlain(t);
      const closing = counting();
      const second = open(t, url, { ...quick, WebSocket: closing.Counted });
      second.onClose(() => answer(() => second.reconnect()));
      const end = performance.now() + 2_000;
      await until(() => {
        for (const visit of visits.drain()) visit.socket.close(1013);
        return performance.now() > end;
      }, "two seconds passed");
      assert.ok(dead.made.length <= 15, `${dead.made.length} attempts`);
      assert.ok(closing.made.length <= 15, `${closing.made.length} connections`);
    });
  }
});
