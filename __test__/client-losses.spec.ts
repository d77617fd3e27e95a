// The messages that do not make it: each reaches onError, as far as the client can know.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { ClientError } from "@zocket/core";
import { WebSocket as UndiciWebSocket } from "undici";
import { WebSocket } from "ws";

import { open, told } from "./_client.ts";
import { clock, connect, Fake, FIRST_DELAY } from "./_fake-socket.ts";
import { startPlain } from "./_plain.ts";
import { until } from "./_talk.ts";

const AROUND = '{"type":"chat.message","payload":""}'.length;

/** A client, and the codes and routes that onError is told, with what onClose is told between them. */
function listen(options: Parameters<typeof connect>[0] = {}) {
  const heard: unknown[] = [];
  const client = connect({ onClose: ({ code }) => heard.push(code), ...options });
  client.onError(({ code, route }) => heard.push(`${code} ${route}`));
  const send = client.send as never as Record<string, (payload?: string) => void>;
  return { client, heard, send };
}

describe("a message larger than the server takes", () => {
  test("is not sent and told as TOO_LARGE, to the byte of its envelope in UTF-8; the connection lives on", async () => {
    for (const unit of ["x", "é", "漢", "😀"]) {
      const bytes = Buffer.byteLength(unit);
      const maxPayload = AROUND + bytes * 100;
      const { client, heard } = listen();
      const socket = Fake.last.open({ maxPayload });
      client.send.chat.message(unit.repeat(100));
      client.send.chat.message(`${unit.repeat(100)}x`);
      assert.deepEqual(heard, []);
      await told();
      assert.deepEqual(heard, ["TOO_LARGE chat.message"]);
      client.send.chat.message("after");
      assert.deepEqual(socket.payloads, [unit.repeat(100), "after"]);
      assert.equal(client.state, "open");
    }
  });

  test("is measured at the welcome if it waited, and the others go out in order", (t) => {
    const tick = clock(t);
    const { client, heard } = listen();
    for (const text of ["1", "x".repeat(200), "2", "y".repeat(200), "3"]) {
      client.send.chat.message(text);
    }
    assert.deepEqual(Fake.last.open({ maxPayload: 100 }).payloads, ["1", "2", "3"]);
    assert.deepEqual(heard.splice(0), ["TOO_LARGE chat.message", "TOO_LARGE chat.message"]);
    // The next server may take more.
    Fake.last.end();
    client.send.chat.message("x".repeat(200));
    tick(FIRST_DELAY);
    assert.deepEqual(Fake.last.open({ maxPayload: 1_000 }).payloads, ["x".repeat(200)]);
    assert.deepEqual(heard, [1006]);
  });

  test("of an onOpen listener is told too", async () => {
    const { client, heard } = listen({ onOpen: () => client.send.chat.message("x".repeat(200)) });
    Fake.last.open({ maxPayload: 100 });
    await told();
    assert.deepEqual([heard, Fake.last.sent], [["TOO_LARGE chat.message"], []]);
  });

  test("is found by whoever closes with 1009 in between, such as a proxy", () => {
    const { heard, send } = listen();
    Fake.last.open({ maxPayload: 1_000 });
    send["small"]?.("x");
    send["large"]?.("x".repeat(500));
    Fake.last.end(1009, "", true);
    assert.deepEqual(heard, ["TOO_LARGE large", 1009]);
  });
});

/** A socket that passes on what the test says. */
class Slow extends Fake {
  bufferedAmount = 0;
  override send(text: string): void {
    super.send(text);
    this.bufferedAmount += Buffer.byteLength(text);
  }
  pass(messages: number): void {
    const gone = this.sent.slice(this.#passed, (this.#passed += messages));
    this.bufferedAmount -= Buffer.byteLength(gone.join(""));
  }
  #passed = 0;
}

describe("what is still in the socket when a connection ends", () => {
  const start = () => {
    const { client, heard, send } = listen({ WebSocket: Slow });
    const socket = Fake.last.open() as Slow;
    return { client, heard, send, socket };
  };

  test("is told as LOST, message by message, before onClose", () => {
    const { heard, send, socket } = start();
    for (const route of ["a", "b", "c", "d"]) send[route]?.("x漢".repeat(route.charCodeAt(0)));
    socket.pass(2);
    socket.end();
    assert.deepEqual(heard, ["LOST c", "LOST d", 1006]);
  });

  test("includes a message of which a part is gone", () => {
    const { heard, send, socket } = start();
    for (const route of ["a", "b"]) send[route]?.("x".repeat(100));
    socket.pass(1);
    socket.bufferedAmount -= 50;
    socket.end();
    assert.deepEqual(heard, ["LOST b", 1006]);
  });

  test("is told of a dead line too, and a ping is none of it", (t) => {
    const tick = clock(t);
    const { heard, send, socket } = start();
    send["a"]?.("x");
    socket.pass(1);
    for (let second = 0; second < 35; second++) tick(1_000);
    assert.deepEqual(heard.splice(0), [4000]);
    tick(10_000);
    const next = Fake.last.open() as Slow;
    for (let second = 0; second < 25; second++) tick(1_000);
    assert.equal(next.sent.length, 1);
    send["b"]?.("x");
    for (let second = 0; second < 10; second++) tick(1_000);
    assert.deepEqual(heard, ["LOST b", 4000]);
  });

  test("is nothing where everything went out, or the class does not say", () => {
    const { heard, send, socket } = start();
    for (let count = 0; count < 1_000; count++) {
      send["a"]?.("x");
      if (count % 7 === 0) socket.pass(7);
    }
    socket.bufferedAmount = 0;
    socket.end();
    assert.deepEqual(heard, [1006]);
    const silent = listen();
    Fake.last.open();
    silent.send["a"]?.("x");
    Fake.last.end();
    assert.deepEqual(silent.heard, [1006]);
  });

  test("belongs to its own connection", (t) => {
    const tick = clock(t);
    const { heard, send, socket } = start();
    send["a"]?.("x");
    socket.end();
    tick(10_000);
    const next = Fake.last.open() as Slow;
    send["b"]?.("x");
    next.pass(1);
    next.end();
    assert.deepEqual(heard, ["LOST a", 1006, 1006]);
  });

  for (const [name, Class] of [
    ["ws", WebSocket],
    ["undici", UndiciWebSocket as unknown as typeof WebSocket],
  ] as const) {
    test(`is told of real sockets, and no more than that: ${name}`, async (t) => {
      const { url, visits, state } = await startPlain(t);
      const client = open(t, url, { WebSocket: Class });
      const lost: (string | undefined)[] = [];
      let ended = 0;
      client.onError(({ code, route }: ClientError) => lost.push(code, route));
      client.onClose(() => (ended += 1));
      const visit = await visits.next();
      await until(() => client.state === "open", "it is open");
      for (let count = 0; count < 100; count++) client.send.say("x".repeat(1_000));
      await visit.messages.take(100);
      state.accepts = false;
      visit.socket.terminate();
      await until(() => ended > 0, "the end");
      assert.deepEqual(lost, []);
    });
  }
});

test("what waits for a connection waits on when the client is closed, and comes with reconnect()", async (t) => {
  const tick = clock(t);
  const { client, heard } = listen({ maxRetries: 0 });
  client.send.chat.message("1");
  Fake.last.end();
  client.send.chat.message("2");
  client.close();
  client.send.chat.message("3");
  tick(600_000);
  await told();
  assert.deepEqual(heard, [1006]);
  client.reconnect();
  assert.deepEqual(Fake.last.open().payloads, ["1", "2", "3"]);
});
