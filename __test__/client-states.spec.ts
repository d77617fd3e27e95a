// What a client says it is doing: state, retryAt and onState, a client that does not connect yet, and one without a network.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import type { ClientOptions, ClientState } from "@zocket/core";

import { told } from "./_client.ts";
import { clock, connect, Fake, FIRST_DELAY } from "./_fake-socket.ts";
import { platform } from "./_platform.ts";

/** A client and what onState is told. */
function watch(options: ClientOptions = {}, url = "ws://example.com") {
  const client = connect(options, url);
  const states: string[] = [];
  const ats: (number | undefined)[] = [];
  client.onState((state, retryAt) => {
    states.push(state);
    ats.push(retryAt);
  });
  return { client, states, ats };
}

describe("the state of a client", () => {
  test("goes from connecting to open, waiting and back, with the time of the next attempt", (t) => {
    const tick = clock(t);
    const { client, states, ats } = watch();
    assert.deepEqual([client.state, client.retryAt, states], ["connecting", undefined, []]);
    Fake.last.open();
    assert.deepEqual([client.state, client.retryAt], ["open", undefined]);
    Fake.last.end();
    assert.equal(client.state, "waiting");
    const { retryAt = 0 } = client;
    assert.ok(retryAt >= Date.now() + 750 && retryAt <= Date.now() + FIRST_DELAY, `${retryAt}`);
    tick(retryAt - Date.now() - 1);
    assert.equal(client.state, "waiting");
    tick(1);
    assert.deepEqual([client.state, client.retryAt], ["connecting", undefined]);
    assert.deepEqual(states, ["open", "waiting", "connecting"]);
    assert.deepEqual(ats, [undefined, retryAt, undefined]);
  });

  test("is closed at once by close(), and told after it has returned", async (t) => {
    clock(t);
    const { client, states } = watch();
    Fake.last.open();
    states.length = 0;
    client.close();
    assert.deepEqual([client.state, client.readyState, states], ["closed", 2, []]);
    await told();
    Fake.last.end(1000, "", true);
    client.close();
    await told();
    assert.deepEqual([states, client.readyState], [["closed"], 3]);
  });

  test("is closed once the retries are used up", (t) => {
    const tick = clock(t);
    const { client, states } = watch({ maxRetries: 1 });
    Fake.last.end();
    tick(FIRST_DELAY);
    Fake.last.end();
    assert.deepEqual([client.state, client.retryAt, client.readyState], ["closed", undefined, 3]);
    assert.deepEqual(states, ["waiting", "connecting", "closed"]);
  });

  test("is told in order, also where listeners call methods", async (t) => {
    clock(t);
    const client = connect();
    const heard: string[] = [];
    client.onOpen(() => {
      heard.push("onOpen");
      client.close();
      client.reconnect();
    });
    client.onClose(({ code }) => heard.push(`onClose ${code}`));
    client.onState((state) => heard.push(state));
    Fake.last.open();
    await told();
    assert.deepEqual(heard, ["onOpen", "open", "closed", "onClose 1000", "connecting"]);
  });

  test("is told after onOpen and onClose, whose messages go out first", (t) => {
    const tick = clock(t);
    const client = connect();
    const heard: string[] = [];
    client.onState((state) => {
      heard.push(state);
      if (state === "open") client.send.chat.message("of onState");
    });
    client.onOpen(() => {
      heard.push("onOpen");
      client.send.chat.message("of onOpen");
    });
    client.onClose(() => heard.push("onClose"));
    client.send.chat.message("waited");
    Fake.last.open();
    assert.deepEqual(Fake.last.payloads, ["of onOpen", "waited", "of onState"]);
    Fake.last.end();
    tick(FIRST_DELAY);
    assert.deepEqual(heard, ["onOpen", "open", "onClose", "waiting", "connecting"]);
  });

  test("is told to as many listeners as there are, and no more to one that was removed", (t) => {
    t.mock.method(console, "error", () => {});
    const { client, states } = watch();
    client.onState(() => {
      throw new Error("mine");
    });
    const { states: others } = { states: [] as ClientState[] };
    client.onState((state) => others.push(state));
    client.onState((state) => others.push(state))();
    Fake.last.open();
    assert.deepEqual([states, others], [["open"], ["open"]]);
    assert.throws(() => client.onState(5 as never), {
      name: "TypeError",
      message: "client.onState: expected a function, got number",
    });
  });

  for (const [how, answer] of [
    ["at once", (reconnect: () => void) => reconnect()],
    ["after an await", async (reconnect: () => void) => void (await told(), reconnect())],
  ] as const) {
    test(`makes no storm where each change is answered with reconnect() ${how}`, async (t) => {
      const tick = clock(t);
      const client = connect();
      client.onState(() => answer(() => client.reconnect()));
      for (let step = 0; step < 3_000; step++) {
        if (Fake.last.readyState === 0) Fake.last.end();
        for (let turn = 0; turn < 5; turn++) await told();
        tick(10);
      }
      // Alone it makes 10 of them.
      assert.ok(Fake.all.length <= 25, `${Fake.all.length} attempts in 30 s`);
      const before = Fake.all.length;
      for (let step = 0; step < 3_000; step++) {
        if (Fake.last.readyState === 0) Fake.last.open();
        for (let turn = 0; turn < 5; turn++) await told();
        tick(10);
      }
      const made = Fake.all.length - before;
      assert.ok(made <= 5 + 30_000 / 5_000 + 1, `${made} connections in 30 s`);
    });
  }
});

describe("autoConnect: false", () => {
  test("makes a client that is closed until reconnect()", async (t) => {
    const tick = clock(t);
    const { client, states } = watch({ autoConnect: false });
    client.send.chat.message("waits");
    tick(60_000);
    assert.deepEqual([Fake.all.length, client.state, client.readyState], [0, "closed", 3]);
    client.close();
    await told();
    assert.deepEqual(states, []);
    client.reconnect();
    assert.deepEqual([Fake.all.length, client.state, client.readyState], [1, "connecting", 0]);
    Fake.last.open();
    assert.deepEqual([Fake.last.payloads, states], [["waits"], ["connecting", "open"]]);
  });

  test("needs no WebSocket before, and throws at reconnect() where there is still none", (t) => {
    clock(t);
    const kept = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
    Reflect.deleteProperty(globalThis, "WebSocket");
    t.after(() => kept && Object.defineProperty(globalThis, "WebSocket", kept));
    assert.throws(() => connect({ WebSocket: undefined }), /no global WebSocket/);
    const { client } = watch({ autoConnect: false, WebSocket: undefined });
    for (let call = 0; call < 2; call++) {
      assert.throws(() => client.reconnect(), {
        name: "TypeError",
        message: /no global WebSocket/,
      });
      assert.deepEqual([client.state, client.readyState], ["closed", 3]);
    }
    client.close();
    Object.defineProperty(globalThis, "WebSocket", { value: Fake, configurable: true });
    t.after(() => Reflect.deleteProperty(globalThis, "WebSocket"));
    client.reconnect();
    Fake.last.open();
    assert.equal(client.state, "open");
  });

  test("comes back after close() as any other", async (t) => {
    clock(t);
    const { client } = watch({ autoConnect: false });
    client.reconnect();
    Fake.last.open();
    client.close();
    client.reconnect();
    Fake.last.open();
    await told();
    assert.deepEqual([client.state, Fake.all.length], ["open", 2]);
  });
});

/** A client with a browser around it. */
function inBrowser(t: TestContext, options: ClientOptions = {}, url?: string) {
  const tick = clock(t);
  const browser = platform(t);
  return { tick, browser, start: () => watch(options, url) };
}

describe("without a network", () => {
  test("a client waits from the start, without a time, and connects at once when it is back", (t) => {
    const { tick, browser, start } = inBrowser(t);
    browser.online(false);
    const { client, states } = start();
    tick(3_600_000);
    assert.deepEqual([client.state, client.retryAt, client.readyState], ["waiting", undefined, 0]);
    assert.equal(Fake.all.length, 0);
    browser.online(true);
    assert.deepEqual([Fake.all.length, states], [1, ["connecting"]]);
  });

  test("a lost connection waits for it, whatever the delay", (t) => {
    const { tick, browser, start } = inBrowser(t);
    const { client, states, ats } = start();
    Fake.last.open();
    browser.online(false);
    // The connection may live on: what the browser says is about new ones.
    assert.equal(client.state, "open");
    Fake.last.end();
    assert.deepEqual([client.state, client.retryAt], ["waiting", undefined]);
    tick(60_000);
    client.reconnect();
    assert.equal(Fake.all.length, 1);
    browser.online(true);
    assert.equal(Fake.all.length, 2);
    assert.deepEqual(states, ["open", "waiting", "connecting"]);
    assert.deepEqual(ats, [undefined, undefined, undefined]);
  });

  test("a client that waits for its next attempt gives up the time, and takes none of its retries", (t) => {
    const { tick, browser, start } = inBrowser(t, { maxRetries: 1 });
    const { client, ats } = start();
    Fake.last.end();
    assert.ok(client.retryAt);
    for (let round = 0; round < 3; round++) {
      browser.online(false);
      assert.deepEqual(
        [client.state, client.retryAt, ats.at(-1)],
        ["waiting", undefined, undefined],
      );
      tick(60_000);
    }
    browser.online(true);
    assert.deepEqual([Fake.all.length, client.state], [2, "connecting"]);
    Fake.last.end();
    assert.equal(client.state, "closed");
  });

  test("a timer that finds none waits for it, and a page that is seen again looks", (t) => {
    const { tick, browser, start } = inBrowser(t);
    const { client } = start();
    Fake.last.end();
    browser.silently(false);
    tick(FIRST_DELAY);
    assert.deepEqual([Fake.all.length, client.state, client.retryAt], [1, "waiting", undefined]);
    browser.visible(false);
    browser.silently(true);
    browser.visible(true);
    assert.equal(Fake.all.length, 2);
  });

  test("the network that is back ends a delay, but a page that is seen again does not", (t) => {
    const { browser, start } = inBrowser(t);
    start();
    Fake.last.end();
    browser.visible(true);
    assert.equal(Fake.all.length, 1);
    browser.online(true);
    assert.equal(Fake.all.length, 2);
    // What is under way goes on.
    browser.online(true);
    assert.deepEqual([Fake.all.length, Fake.last.closes], [2, []]);
  });

  test("what a server asked to wait for still holds when the network is back", (t) => {
    const { tick, browser, start } = inBrowser(t);
    const { client } = start();
    Fake.last.open().end(1001, "reconnect-after=60000", true);
    browser.online(false);
    tick(10_000);
    browser.online(true);
    assert.deepEqual([client.state, client.retryAt], ["waiting", Date.now() + 50_000]);
    tick(49_999);
    assert.equal(Fake.all.length, 1);
    tick(1);
    assert.equal(Fake.all.length, 2);
  });

  test("this machine is still there", (t) => {
    const { tick, browser } = inBrowser(t);
    browser.online(false);
    const here = [
      "localhost",
      "LOCALHOST:80",
      "a.localhost:3000",
      "127.0.0.1",
      "127.9.9.9:1",
      "[::1]:5",
    ];
    const there = [
      "example.com",
      "localhost.example.com",
      "127.0.0.1.example.com",
      "[::2]",
      "10.0.0.1",
    ];
    for (const host of here) watch({}, `ws://${host}/x?y`);
    assert.equal(Fake.all.length, here.length);
    for (const host of [...there, "notlocalhost"]) watch({}, `ws://${host}/localhost`);
    assert.equal(Fake.all.length, here.length);
    const { client } = watch({}, "ws://user:pass@localhost/x");
    Fake.last.end();
    browser.online(false);
    assert.ok(client.retryAt);
    tick(FIRST_DELAY);
    assert.equal(Fake.all.length, here.length + 2);
  });

  test("a platform that would not say when it is back is tried", (t) => {
    clock(t);
    platform(t).silently(false);
    Object.defineProperty(globalThis, "addEventListener", { value: undefined, configurable: true });
    watch();
    assert.equal(Fake.all.length, 1);
  });

  test('headersIn: "query" waits for it too', (t) => {
    const { browser, start } = inBrowser(t, { headersIn: "query" });
    browser.online(false);
    start();
    assert.equal(Fake.all.length, 0);
    browser.online(true);
    assert.equal(Fake.all.length, 1);
  });

  test("no listener is left behind: after close(), after the last retry, before reconnect()", async (t) => {
    const { tick, browser } = inBrowser(t);
    class Broken extends Fake {
      constructor() {
        super("");
        throw new Error("mine");
      }
    }
    assert.throws(() => watch({ WebSocket: Broken }), /mine/);
    const lazy = watch({ autoConnect: false });
    const lost = watch({ maxRetries: 0 });
    Fake.last.end();
    assert.equal(lost.client.state, "closed");
    assert.equal(browser.count(), 0);
    const clients = [lazy.client, lost.client, watch().client];
    for (let round = 0; round < 3; round++) {
      for (const client of clients) client.reconnect();
      assert.equal(browser.count(), 9);
      for (const client of clients) client.close();
      await told();
      assert.equal(browser.count(), 0);
    }
    // And nothing is heard any more.
    const before = Fake.all.length;
    browser.online(false);
    browser.online(true);
    browser.visible(true);
    tick(60_000);
    assert.equal(Fake.all.length, before);
  });
});
