// How a client notices a dead line: it asks when nothing comes, and gives the socket up when nobody answers.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import type { ClientCloseEvent, ClientOptions } from "@zocket/core";
import { WebSocket as UndiciWebSocket } from "undici";
import { WebSocket } from "ws";

import { open } from "./_client.ts";
import { clock, connect, Fake, FIRST_DELAY } from "./_fake-socket.ts";
import { startPlain } from "./_plain.ts";
import { platform } from "./_platform.ts";
import { startProxy } from "./_proxy.ts";
import { Queue, until } from "./_talk.ts";

const PING = '{"type":"$ping"}';
const DEAD = { code: 4000, reason: "silence", wasClean: false };

/** An open client, a clock that moves in small steps, and what onClose is told. */
function start(t: TestContext, options: ClientOptions = {}, isInBrowser = true) {
  const jump = clock(t);
  const browser = isInBrowser ? platform(t) : undefined;
  const ends: ClientCloseEvent[] = [];
  const client = connect({ onClose: (event) => ends.push(event), ...options });
  const socket = Fake.last.open();
  // Node's mock timers call what is due only once the clock has moved by all of it, which is late.
  const tick = (ms: number) => {
    for (let left = ms; left > 0; left -= 500) jump(Math.min(left, 500));
  };
  const pings = () => socket.sent.filter((text) => text === PING).length;
  return { client, socket, ends, tick, jump, pings, browser };
}

describe("a silent line", () => {
  test("is asked after 25 s, and given up 10 s later; another attempt follows the usual delay", (t) => {
    const { client, socket, ends, tick } = start(t);
    tick(24_999);
    assert.deepEqual(socket.sent, []);
    tick(1);
    assert.deepEqual(socket.sent, [PING]);
    tick(9_999);
    assert.deepEqual([ends, client.state], [[], "open"]);
    tick(1);
    assert.deepEqual([ends, socket.closes, client.state], [[DEAD], [4000], "waiting"]);
    const wait = (client.retryAt ?? 0) - Date.now();
    assert.ok(wait >= 750 && wait <= FIRST_DELAY, `${wait}`);
    tick(wait);
    assert.equal(Fake.all.length, 2);
    // What the old socket still says is nobody's concern.
    socket.say("chat.onMessage", "late");
    socket.end(1006);
    assert.equal(ends.length, 1);
  });

  test("is asked the interval after the last message, whatever that was", (t) => {
    const { socket, tick, pings } = start(t);
    for (const say of [
      () => socket.say("chat.onMessage", "x"),
      () => socket.say("$error", { code: "REJECTED", message: "" }),
      () => socket.emit("message", { data: "no envelope" }),
      () => socket.emit("message", { data: new ArrayBuffer(2) }),
    ]) {
      tick(24_000);
      say();
    }
    assert.equal(pings(), 0);
    tick(24_999);
    assert.equal(pings(), 0);
    tick(1);
    assert.equal(pings(), 1);
  });

  test("that answers lives on, with a $pong or with anything", (t) => {
    const { client, socket, ends, tick, pings } = start(t);
    for (let round = 1; round <= 20; round++) {
      tick(25_000);
      assert.equal(pings(), round);
      tick(9_000);
      socket.say(round % 2 ? "$pong" : "chat.onMessage");
    }
    assert.deepEqual([ends, client.state], [[], "open"]);
  });

  test("is asked at the interval of the option", (t) => {
    const { ends, tick, pings } = start(t, { heartbeatInterval: 1_000 });
    tick(1_000);
    assert.equal(pings(), 1);
    tick(10_000);
    assert.deepEqual(ends, [DEAD]);
  });

  test("is never asked with 0, nor when the network or the page comes back", (t) => {
    const { ends, tick, pings, browser } = start(t, { heartbeatInterval: 0 });
    browser?.online(true);
    browser?.visible(true);
    tick(600_000);
    assert.deepEqual([pings(), ends], [0, []]);
  });

  test("is asked late with an interval that no timer can hold, not at once", (t) => {
    const { tick, pings } = start(t, { heartbeatInterval: Infinity });
    tick(600_000);
    assert.equal(pings(), 0);
  });

  test("is not asked after close(), and the client gives nothing up", (t) => {
    const { client, socket, ends, tick, pings } = start(t);
    tick(25_000);
    client.close();
    tick(600_000);
    assert.deepEqual([pings(), ends, socket.closes], [1, [], [1000]]);
  });

  test("is given up by the deadline where the server began to close and went away", (t) => {
    const { client, socket, ends, tick } = start(t);
    socket.readyState = 2;
    tick(25_000);
    assert.deepEqual([socket.sent, ends], [[], []]);
    tick(10_000);
    assert.deepEqual([ends, client.state], [[DEAD], "waiting"]);
  });

  test("whose class throws at a ping is given up by the deadline", (t) => {
    const { socket, ends, tick } = start(t);
    socket.send = () => {
      throw new Error("mine");
    };
    tick(35_000);
    assert.deepEqual(ends, [DEAD]);
  });

  test("is noticed without window, document and navigator", (t) => {
    const { ends, tick } = start(t, {}, false);
    tick(35_000);
    assert.deepEqual(ends, [DEAD]);
  });

  test("is asked in time by a clock that was put back, and not given up by one put forward", (t) => {
    const { socket, ends, tick, pings } = start(t);
    const { now } = Date;
    let ahead = 0;
    t.mock.method(Date, "now", () => now() + ahead);
    tick(20_000);
    ahead = -3_600_000;
    tick(10_000);
    assert.equal(pings(), 1);
    socket.say("$pong");
    tick(25_000);
    assert.equal(pings(), 2);
    ahead = 3_600_000;
    tick(10_000);
    assert.deepEqual([pings(), ends], [3, []]);
    tick(10_000);
    assert.deepEqual(ends, [DEAD]);
  });
});

test("a line that still takes what was sent before is slow, not dead", (t) => {
  class Slow extends Fake {
    bufferedAmount = 0;
  }
  const { ends, socket, tick, pings } = start(t, { WebSocket: Slow });
  const slow = socket as Slow;
  slow.bufferedAmount = 5_000_000;
  for (let second = 0; second < 60; second++) {
    tick(1_000);
    slow.bufferedAmount -= 50_000;
  }
  assert.deepEqual(ends, []);
  assert.ok(pings() >= 3);
  // It takes nothing any more.
  tick(20_000);
  assert.deepEqual(ends, [DEAD]);
});

describe("a page that slept", () => {
  test("asks anew when the deadline comes late, and gives up after that one", (t) => {
    const { client, ends, tick, jump, pings } = start(t);
    tick(25_000);
    jump(3_600_000);
    assert.deepEqual([pings(), ends, client.state], [2, [], "open"]);
    tick(9_999);
    assert.deepEqual(ends, []);
    tick(1);
    assert.deepEqual(ends, [DEAD]);
  });

  test("lives on when the answer comes after it woke", (t) => {
    const { socket, ends, tick, jump } = start(t);
    for (let round = 0; round < 5; round++) {
      tick(25_000);
      jump(60_000);
      socket.say("$pong");
    }
    assert.deepEqual(ends, []);
  });

  test("does not count a deadline as late within a second", (t) => {
    const { ends, tick, jump } = start(t);
    tick(34_500);
    jump(1_500);
    assert.deepEqual(ends, [DEAD]);
  });

  test("and whose timers are always late, as in the background, still notices a dead line", (t) => {
    const { ends, jump, pings } = start(t);
    for (let minute = 0; minute < 10; minute++) jump(60_000);
    assert.deepEqual([ends.slice(0, 1), pings()], [[DEAD], 3]);
  });
});

describe("a network that is back, or a page that is seen again,", () => {
  for (const how of ["online", "visible"] as const) {
    test(`asks at once and waits 5 s only: ${how}`, (t) => {
      const { ends, tick, pings, browser } = start(t);
      tick(3_000);
      browser?.[how](true);
      assert.equal(pings(), 1);
      tick(4_999);
      assert.deepEqual(ends, []);
      tick(1);
      assert.deepEqual(ends, [DEAD]);
    });
  }

  test("lives on with an answer, and is asked again after the interval", (t) => {
    const { socket, ends, tick, pings, browser } = start(t);
    browser?.online(true);
    tick(1_000);
    socket.say("$pong");
    tick(24_999);
    assert.equal(pings(), 1);
    tick(1);
    assert.deepEqual([pings(), ends], [2, []]);
  });

  test("puts no deadline off, however often it comes", (t) => {
    const { ends, tick, browser } = start(t);
    for (let second = 0; second < 6 && ends.length === 0; second++) {
      browser?.visible(true);
      tick(1_000);
    }
    assert.deepEqual(ends, [DEAD]);
  });

  test("does not put off the deadline of a question that was asked before", (t) => {
    const { ends, tick, browser } = start(t);
    tick(33_000);
    browser?.online(true);
    tick(2_000);
    assert.deepEqual(ends, [DEAD]);
  });

  test("is nothing to a page that goes, and to a client that is not open", (t) => {
    const { client, ends, tick, pings, browser } = start(t);
    browser?.visible(false);
    browser?.online(false);
    assert.equal(pings(), 0);
    client.close();
    browser?.online(true);
    browser?.visible(true);
    tick(60_000);
    assert.deepEqual([pings(), ends], [0, []]);
  });
});

for (const [name, Class] of [
  ["ws", WebSocket],
  ["undici", UndiciWebSocket as unknown as typeof WebSocket],
] as const) {
  test(`a proxy that swallows all bytes is noticed, and what was sent before is not told as lost: ${name}`, async (t) => {
    const { url, visits } = await startPlain(t);
    const proxy = await startProxy(t, url);
    const ends = new Queue<ClientCloseEvent>("onClose");
    // The deadline is 10 s, however short the interval; this test waits for it once.
    const client = open(t, proxy.url, {
      WebSocket: Class,
      heartbeatInterval: 50,
      onClose: (event) => ends.push(event),
    });
    const errors: unknown[] = [];
    client.onError((error) => errors.push(error));
    const visit = await visits.next();
    assert.equal((await visit.messages.next()).type, "$ping");
    await until(() => client.state === "open", "it is open");
    proxy.state.isFrozen = true;
    client.send.say("swallowed");
    assert.deepEqual(await ends.next(), DEAD);
    assert.notEqual(client.state, "open");
    proxy.state.isFrozen = false;
    client.send.say("after");
    const again = await visits.next();
    let message = await again.messages.next();
    while (message.type === "$ping") message = await again.messages.next();
    assert.equal(message.payload, "after");
    assert.deepEqual(errors, []);
  });
}
