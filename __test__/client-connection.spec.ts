// The client with a WebSocket class that does what the test says and a clock that the test moves: what real sockets do
// too seldom to wait for. How it gets along with servers is in client.spec.ts and client-reconnect.spec.ts.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { inspect } from "node:util";

import type { ClientCloseEvent, ClientError } from "@zocket/core";

import { told } from "./_client.ts";
import { clock, connect, Fake, FIRST_DELAY, MIB } from "./_fake-socket.ts";

describe("an attempt to connect", () => {
  test("ends after 15 s, which is longer than a server takes to refuse it", (t) => {
    const tick = clock(t);
    const closes: ClientCloseEvent[] = [];
    connect({ onClose: (event) => closes.push(event) });
    tick(14_999);
    assert.deepEqual([closes, Fake.last.closes.length], [[], 0]);
    tick(1);
    assert.deepEqual(closes, [{ code: 1006, reason: "timeout", wasClean: false }]);
    assert.equal(Fake.last.closes.length, 1);
    // What the socket says afterwards is nobody's concern.
    Fake.last.end();
    tick(FIRST_DELAY);
    assert.deepEqual([Fake.all.length, closes.length], [2, 1]);
  });

  test("that succeeded has no deadline any more", (t) => {
    const tick = clock(t);
    connect();
    Fake.last.open();
    tick(60_000);
    assert.deepEqual([Fake.all.length, Fake.last.closes.length], [1, 0]);
  });

  test("fails once, with an error event alone, a close event alone, or both", (t) => {
    const tick = clock(t);
    const closes: number[] = [];
    connect({ onClose: ({ code }) => closes.push(code) });
    for (const events of [["error"], ["close"], ["error", "close"]]) {
      if (events.includes("error")) Fake.last.emit("error");
      if (events.includes("close")) Fake.last.end();
      tick(1);
      tick(10_000);
    }
    assert.deepEqual([closes, Fake.all.length], [[1006, 1006, 1006], 4]);
  });

  test("fails when the class throws; the first time it throws to the caller", (t) => {
    const tick = clock(t);
    const logged = t.mock.method(console, "error", () => {});
    let broken = true;
    class Breaking extends Fake {
      constructor(url: string, protocols?: string[]) {
        if (broken) throw new Error("no token");
        super(url, protocols);
      }
    }
    assert.throws(() => connect({ WebSocket: Breaking }), /no token/);
    tick(60_000);
    assert.equal(logged.mock.callCount(), 0);
    broken = false;
    const client = connect({ WebSocket: Breaking });
    broken = true;
    Fake.last.end();
    tick(FIRST_DELAY);
    assert.equal(logged.mock.callCount(), 1);
    assert.equal(client.readyState, 0);
    broken = false;
    tick(10_000);
    assert.equal(Fake.all.length, 2);
  });

  test("of reconnect() is a first one, with all retries after it", (t) => {
    const tick = clock(t);
    const client = connect({ maxRetries: 2 });
    const failAll = () => {
      while (client.readyState === 0) {
        Fake.last.end();
        tick(10_000);
      }
      return Fake.all.length;
    };
    assert.equal(failAll(), 3);
    client.reconnect();
    assert.equal(failAll(), 6);
  });

  test("follows any number of failed ones by default", (t) => {
    const tick = clock(t);
    const client = connect();
    for (let attempt = 1; attempt <= 500; attempt++) {
      Fake.last.end();
      assert.equal(client.readyState, 0);
      tick(10_000);
      assert.equal(Fake.all.length, attempt + 1);
    }
  });

  test("comes late, not at once, where no timer can hold the delay", (t) => {
    const tick = clock(t);
    connect({ minReconnectionDelay: 1e12, maxReconnectionDelay: Infinity });
    Fake.last.end();
    tick(1_000_000_000);
    assert.equal(Fake.all.length, 1);
  });
});

describe("the end of a connection", () => {
  test("comes to onClose once, also when reconnect() did not wait for it", (t) => {
    clock(t);
    const events: ClientCloseEvent[] = [];
    const client = connect({ onClose: (event) => events.push(event) });
    const first = Fake.last.open();
    client.reconnect();
    assert.deepEqual([Fake.all.length, first.closes, client.readyState], [2, [1000], 0]);
    Fake.last.open();
    first.end(1000, "", true);
    assert.equal(client.readyState, 1);
    assert.deepEqual(events, [{ code: 1000, reason: "", wasClean: true }]);
  });

  test("is told with code and reason as they came", (t) => {
    clock(t);
    const events: ClientCloseEvent[] = [];
    const client = connect({ onClose: (event) => events.push(event) });
    Fake.last.open();
    client.close();
    assert.equal(client.readyState, 2);
    Fake.last.end(1000, "bye", true);
    assert.equal(client.readyState, 3);
    assert.deepEqual(events, [{ code: 1000, reason: "bye", wasClean: true }]);
  });

  test("is told whole where the platform's event is not, as in React Native", (t) => {
    const tick = clock(t);
    const events: ClientCloseEvent[] = [];
    connect({ onClose: (event) => events.push(event) });
    for (const event of [{}, { code: 1000 }, { code: 1006, reason: null }]) {
      Fake.last.emit("close", event);
      tick(10_000);
    }
    assert.deepEqual(events, [
      { code: 1006, reason: "", wasClean: false },
      { code: 1000, reason: "", wasClean: true },
      { code: 1006, reason: "", wasClean: false },
    ]);
  });

  test("leaves what it did not take any more to the next one", (t) => {
    const tick = clock(t);
    const client = connect();
    const first = Fake.last;
    first.send = (text) => {
      first.sent.push(text);
      first.readyState = 2;
    };
    for (const text of ["1", "2", "3"]) client.send.chat.message(text);
    first.open();
    // It closes by now, so that this would be lost with it.
    client.send.chat.message("4");
    first.end();
    tick(FIRST_DELAY);
    Fake.last.open();
    assert.deepEqual([first.payloads, Fake.last.payloads], [["1"], ["2", "3", "4"]]);
  });
});

test("the queue holds 1 MiB to the byte", async () => {
  const client = connect();
  const errors: ClientError[] = [];
  client.onError((error) => errors.push(error));
  const around = '{"type":"chat.message","payload":""}'.length;
  client.send.chat.message("é".repeat(1000));
  const rest = MIB - 2 * around - 2000;
  client.send.chat.message("x".repeat(rest + 1));
  await told();
  assert.deepEqual(
    errors.map(({ code, route }) => [code, route]),
    [["QUEUE_FULL", "chat.message"]],
  );
  client.send.chat.message("x".repeat(rest));
  await told();
  assert.equal(errors.length, 1);
  assert.equal(Buffer.byteLength(Fake.last.open().sent.join("")), MIB);
});

describe("an open connection whose server does not read", () => {
  class Full extends Fake {
    bufferedAmount: number | undefined;
  }
  function fill(maxQueuedBytes?: number) {
    const client = connect({ WebSocket: Full, maxQueuedBytes });
    const errors: unknown[] = [];
    client.onError(({ code, route }) => errors.push(code, route));
    const socket = Fake.last.open() as Full;
    const send = async (bufferedAmount: number | undefined) => {
      socket.bufferedAmount = bufferedAmount;
      const sent = socket.sent.length;
      client.send.chat.message("x".repeat(1000));
      await told();
      return [socket.sent.length - sent, ...errors.splice(0)];
    };
    return { client, send };
  }
  const FULL = [0, "QUEUE_FULL", "chat.message"];

  test("takes messages while less than 16 MiB wait in its socket", async () => {
    const { client, send } = fill();
    assert.deepEqual(await send(16 * MIB - 1), [1]);
    assert.deepEqual(await send(16 * MIB), FULL);
    assert.deepEqual(await send(100 * MIB), FULL);
    assert.deepEqual(await send(0), [1]);
    // What was refused does not come later.
    client.reconnect();
    assert.deepEqual(Fake.last.open().sent, []);
  });

  test("takes as much as may wait while it is not open, if that is more", async () => {
    const { send } = fill(20 * MIB);
    assert.deepEqual(await send(20 * MIB - 1), [1]);
    assert.deepEqual(await send(20 * MIB), FULL);
    assert.deepEqual(await fill(0).send(16 * MIB - 1), [1]);
  });

  test("takes everything where the class does not say what waits", async () => {
    assert.deepEqual(await fill().send(undefined), [1]);
  });
});

test("maxQueuedBytes bounds what waits, to the byte, and 0 keeps nothing", async () => {
  for (const maxQueuedBytes of [0, 100, 3 * MIB]) {
    const client = connect({ maxQueuedBytes });
    const errors: ClientError[] = [];
    client.onError((error) => errors.push(error));
    const around = '{"type":"chat.message","payload":""}'.length;
    const fits = "x".repeat(Math.max(maxQueuedBytes - around, 0));
    client.send.chat.message(`${fits}y`);
    await told();
    assert.deepEqual(
      errors.map(({ code }) => code),
      ["QUEUE_FULL"],
    );
    client.send.chat.message(fits);
    await told();
    const isKept = maxQueuedBytes > 0;
    assert.equal(errors.length, isKept ? 1 : 2);
    assert.deepEqual(Fake.last.open().payloads, isKept ? [fits] : []);
  }
});

test("bytes are counted as UTF-8 has them", async () => {
  const texts = ["a", "é", "漢", "😀", "\u007f\u0080\u07ff\u0800\uffff", "x😀é漢".repeat(99)];
  for (const text of texts) {
    const bytes = Buffer.byteLength(JSON.stringify({ type: "chat.message", payload: text }));
    const client = connect({ maxQueuedBytes: bytes });
    client.send.chat.message(text);
    client.send.chat.message(text);
    assert.deepEqual(Fake.last.open().payloads, [text]);
    const smaller = connect({ maxQueuedBytes: bytes - 1 });
    smaller.send.chat.message(text);
    assert.deepEqual(Fake.last.open().payloads, []);
  }
});

describe("a close with 1009", () => {
  function listen() {
    const heard: unknown[] = [];
    const client = connect({ onClose: ({ code }) => heard.push(code) });
    client.onError(({ code, route }) => heard.push([code, route]));
    const send = client.send as never as Record<string, (payload: string) => void>;
    return { client, heard, send };
  }

  test("is told to onError as TOO_LARGE, with the route of the longest message, before onClose", () => {
    const { heard, send } = listen();
    send["waited"]?.("xx");
    Fake.last.open();
    send["large"]?.("x".repeat(100));
    send["small"]?.("x");
    Fake.last.end(1009, "", true);
    assert.deepEqual(heard, [["TOO_LARGE", "large"], 1009]);
  });

  test("is no fault of the client's where it sent nothing on that connection", (t) => {
    const tick = clock(t);
    const { heard, send } = listen();
    Fake.last.open();
    send["large"]?.("x".repeat(100));
    Fake.last.end(1001, "", true);
    tick(10_000);
    Fake.last.open().end(1009, "", true);
    assert.deepEqual(heard, [1001, 1009]);
  });
});

test("listeners that come or go during a message count at once, or from the next one on", () => {
  const client = connect();
  const heard: string[] = [];
  client.on.chat.onMessage(() => {
    heard.push("first");
    second();
    if (heard.length === 1) client.on.chat.onMessage(() => heard.push("third"));
  });
  const second = client.on.chat.onMessage(() => heard.push("second"));
  const data = '{"type":"chat.onMessage","payload":"hello"}';
  Fake.last.open().emit("message", { data });
  assert.deepEqual(heard, ["first"]);
  Fake.last.emit("message", { data });
  assert.deepEqual(heard, ["first", "first", "third"]);
});

test("awaiting, printing and serialising a client or its parts sends nothing", async () => {
  const client = connect();
  Fake.last.open();
  const parts = [client, client.send, client.on, client.send.chat, client.send.chat.message];
  for (const part of parts) {
    assert.equal(await part, part);
    inspect(part, { depth: 5 });
    inspect(part, { depth: 5, showProxy: true });
    JSON.stringify(part);
    assert.equal(typeof `${String(part)}${Object.prototype.toString.call(part)}`, "string");
  }
  assert.deepEqual(Fake.last.sent, []);
});

test("a route may have the name of a function's own property", () => {
  const client = connect();
  const names = ["name", "length", "call", "apply", "bind", "constructor", "prototype"];
  const send = client.send as unknown as Record<string, (payload: number) => void>;
  for (const name of names) send[name]?.(1);
  const types = Fake.last.open().sent.map((text) => (JSON.parse(text) as { type: string }).type);
  assert.deepEqual(types, names);
});
