// What a client makes of a refusal: which are worth another attempt, after which delay, and what shouldReconnect says to it.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { ClientCloseEvent, ClientOptions } from "@zocket/core";

import { told } from "./_client.ts";
import { clock, connect, Fake, FIRST_DELAY } from "./_fake-socket.ts";

/** A server refuses, as ours does: 101, the reason, a close frame. */
function refuse(status: number, more: object = {}): object {
  const refused = { status, code: "CONNECT", ...more };
  Fake.last.connect().say("$refused", refused);
  Fake.last.end(4000 + status, "", true);
  return refused;
}

/** A client and its ends. */
function listen(options: ClientOptions = {}) {
  const ends: ClientCloseEvent[] = [];
  const client = connect({ onClose: (event) => ends.push(event), ...options });
  return { client, ends };
}

/** Lets a function of headers be asked, and answered. */
async function answered(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await told();
}

describe("a refusal", () => {
  test("is told to onClose with its reason, and nobody hears of an open connection", (t) => {
    clock(t);
    let opens = 0;
    const { client, ends } = listen({ onOpen: () => (opens += 1) });
    client.send.chat.message("waits");
    const issues = [{ message: "wrong", path: ["authorization"] }];
    const refused = refuse(400, { code: "HEADERS", issues });
    assert.deepEqual(ends, [{ code: 4400, reason: "", wasClean: true, refused }]);
    assert.deepEqual([opens, Fake.last.sent, client.id], [0, [], undefined]);
    // What waits goes on to wait, for a reconnect() with better headers.
    client.reconnect();
    assert.deepEqual(Fake.last.open().payloads, ["waits"]);
  });

  const never = [400, 401, 402, 403, 404, 407, 409, 418, 428, 430, 499];
  const later = [408, 429, 500, 502, 503, 599];
  for (const status of [...never, ...later]) {
    const isForNow = later.includes(status);
    test(`with ${status} is ${isForNow ? "worth another attempt" : "the last word"}`, (t) => {
      const tick = clock(t);
      const { client } = listen();
      refuse(status);
      assert.equal(client.state, isForNow ? "waiting" : "closed");
      tick(60_000);
      assert.equal(Fake.all.length, isForNow ? 2 : 1);
    });
  }

  test("counts by its close code alone, should the reason be missing, and by the reason alone", (t) => {
    clock(t);
    const codes: [number, string][] = [
      [4403, "closed"],
      [4499, "closed"],
      [4399, "waiting"],
      [4500, "waiting"],
      [4000, "waiting"],
      [4429, "waiting"],
    ];
    for (const [code, state] of codes) {
      const { client } = listen();
      Fake.last.connect().end(code, "", true);
      assert.equal(client.state, state, `${code}`);
      client.close();
      client.reconnect();
      Fake.last.open().end(code, "", true);
      assert.equal(client.state, state, `${code} of an open connection`);
    }
    const { client, ends } = listen();
    Fake.last.connect().say("$refused", { status: 403, code: "CONNECT" });
    Fake.last.end(1006, "", false);
    assert.deepEqual([client.state, ends[0]?.refused?.status], ["closed", 403]);
  });

  test("that makes no sense is passed over", (t) => {
    clock(t);
    for (const payload of [undefined, null, 5, [], {}, { status: "403" }]) {
      const { client, ends } = listen();
      Fake.last.connect().say("$refused", payload);
      Fake.last.end();
      assert.deepEqual(ends, [{ code: 1006, reason: "", wasClean: false }]);
      assert.equal(client.state, "waiting");
    }
  });

  for (const status of [408, 429, 503]) {
    test(`with ${status} and retryAfterMs is not tried before`, (t) => {
      const tick = clock(t);
      const { client } = listen();
      refuse(status, { retryAfterMs: 3_600_000 });
      assert.equal(client.retryAt, Date.now() + 3_600_000);
      tick(3_599_999);
      assert.equal(Fake.all.length, 1);
      tick(1);
      assert.equal(Fake.all.length, 2);
    });
  }

  test("with a retryAfterMs that is shorter than the delay, or none, takes the delay", (t) => {
    clock(t);
    for (const retryAfterMs of [0, 1, -5, "soon", null, NaN]) {
      const { client } = listen();
      refuse(429, { retryAfterMs });
      const wait = (client.retryAt ?? 0) - Date.now();
      assert.ok(wait >= 750 && wait <= FIRST_DELAY, `${wait}`);
    }
    const { client } = listen();
    refuse(429, { retryAfterMs: 1e300 });
    assert.equal(client.retryAt, Date.now() + 2 ** 31 - 1);
  });

  test("waits no longer where reconnect() says so", (t) => {
    clock(t);
    const { client } = listen();
    refuse(429, { retryAfterMs: 3_600_000 });
    client.reconnect();
    assert.equal(Fake.all.length, 2);
  });
});

describe("a refusal with 401", () => {
  test("is worth one more attempt where headers is a function, with what it returns then", async (t) => {
    const tick = clock(t);
    let token = "expired";
    const { client, ends } = listen({ headers: async () => ({ token }) });
    await answered();
    assert.deepEqual(Fake.last.headers, { token: "expired" });
    refuse(401);
    token = "fresh";
    assert.equal(client.state, "waiting");
    tick(FIRST_DELAY);
    await answered();
    assert.deepEqual(Fake.last.headers, { token: "fresh" });
    Fake.last.open();
    assert.deepEqual([client.state, ends.length], ["open", 1]);
  });

  test("twice in a row is the last word; a welcome in between renews the one attempt", async (t) => {
    const tick = clock(t);
    const { client } = listen({ headers: () => ({}) });
    for (let round = 0; round < 3; round++) {
      await answered();
      refuse(401);
      tick(10_000);
      await answered();
      Fake.last.open();
      assert.equal(client.state, "open");
      // Too short to have proven itself: that is about delays.
      Fake.last.end();
      tick(10_000);
    }
    await answered();
    refuse(401);
    tick(10_000);
    await answered();
    // Another failure in between changes nothing.
    Fake.last.end();
    tick(10_000);
    await answered();
    refuse(401);
    assert.equal(client.state, "closed");
    const made = Fake.all.length;
    tick(600_000);
    await answered();
    assert.equal(Fake.all.length, made);
    // A reconnect() is a new start.
    client.reconnect();
    await answered();
    refuse(401);
    assert.equal(client.state, "waiting");
  });

  test("is the last word where maxRetries says so", async (t) => {
    clock(t);
    const { client } = listen({ headers: () => ({}), maxRetries: 0 });
    await answered();
    refuse(401);
    assert.equal(client.state, "closed");
  });
});

describe("shouldReconnect", () => {
  test("is asked after each end with its event, and overrides the rules both ways", (t) => {
    const tick = clock(t);
    const asked: ClientCloseEvent[] = [];
    let answer = true;
    const { client, ends } = listen({
      shouldReconnect: (event) => {
        asked.push(event);
        return answer;
      },
    });
    refuse(403);
    tick(10_000);
    Fake.last.end();
    tick(10_000);
    Fake.last.connect("").end();
    tick(10_000);
    Fake.last.open().end(1001, "", true);
    assert.equal(client.state, "waiting");
    tick(10_000);
    answer = false;
    refuse(503);
    assert.equal(client.state, "closed");
    assert.deepEqual(asked, ends);
    assert.deepEqual(
      asked.map(({ code }) => code),
      [4403, 1006, 4000, 1001, 4503],
    );
  });

  test("is asked about a failed function of headers and a dead line too", async (t) => {
    const tick = clock(t);
    const asked: (string | number)[] = [];
    const { client } = listen({
      headers: () => {
        if (asked.length === 0) throw new Error("mine");
        return {};
      },
      shouldReconnect: ({ code, reason }) => asked.push(code, reason) < 4,
    });
    client.onError(() => {});
    await answered();
    tick(10_000);
    await answered();
    Fake.last.open();
    tick(25_000);
    tick(10_000);
    assert.deepEqual(asked, [1006, "headers", 4000, "silence"]);
    assert.equal(client.state, "closed");
  });

  test("is not asked after close() and reconnect(), nor beyond maxRetries", async (t) => {
    const tick = clock(t);
    let asked = 0;
    const { client } = listen({ maxRetries: 1, shouldReconnect: () => (asked += 1) > 0 });
    Fake.last.open();
    client.reconnect();
    Fake.last.open();
    client.close();
    Fake.last.end(1000, "", true);
    await told();
    assert.equal(asked, 0);
    client.reconnect();
    Fake.last.end();
    tick(10_000);
    Fake.last.end();
    tick(60_000);
    assert.deepEqual([asked, client.state], [1, "closed"]);
  });

  test("that throws, or says neither yes nor no, leaves it to the rules", (t) => {
    clock(t);
    const logged = t.mock.method(console, "error", () => {});
    const answers: (() => unknown)[] = [
      () => {
        throw new Error("mine");
      },
      () => undefined,
      () => "yes",
    ];
    for (const answer of answers) {
      const shouldReconnect = answer as () => boolean;
      const first = listen({ shouldReconnect });
      refuse(403);
      assert.equal(first.client.state, "closed");
      const second = listen({ shouldReconnect });
      refuse(503);
      assert.equal(second.client.state, "waiting");
    }
    assert.equal(logged.mock.callCount(), 2);
  });

  test("may close the client or reconnect it meanwhile, which is what counts", async (t) => {
    const tick = clock(t);
    const first = listen({
      shouldReconnect: () => {
        first.client.close();
        return true;
      },
    });
    Fake.last.end();
    tick(60_000);
    assert.deepEqual([first.client.state, Fake.all.length], ["closed", 1]);
    const second = listen({
      shouldReconnect: () => {
        second.client.reconnect();
        return false;
      },
    });
    Fake.last.open().end();
    await told();
    assert.deepEqual([second.client.state, Fake.all.length], ["connecting", 3]);
    Fake.last.open();
    assert.equal(second.client.state, "open");
  });

  test('works with headersIn: "query" too', (t) => {
    clock(t);
    const { client } = listen({ headersIn: "query", shouldReconnect: ({ code }) => code !== 1008 });
    Fake.last.open().end(1008, "", true);
    assert.equal(client.state, "closed");
  });
});
