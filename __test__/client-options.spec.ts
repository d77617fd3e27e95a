// What `createZocketClient` is given: its options and its URL, on platforms that are whole and on those that are not.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { ClientOptions } from "@zocket/core";

import { clock, connect, Fake } from "./_fake-socket.ts";

describe("the options", () => {
  test("that are wrong are a TypeError that names them", () => {
    const wrong: [object, RegExp][] = [
      [{ WebSocket: {} }, /options\.WebSocket: expected a class, got object/],
      [{ minReconnectionDelay: NaN }, /options\.minReconnectionDelay: expected a number from 0/],
      [{ maxReconnectionDelay: -1 }, /options\.maxReconnectionDelay: expected a number from 0/],
      [{ reconnectionDelayGrowFactor: 0.5 }, /GrowFactor: expected a number from 1, got 0\.5/],
      [{ maxRetries: "3" }, /options\.maxRetries: expected a number from 0, got 3/],
      [{ onOpen: 1 }, /options\.onOpen: expected a function, got number/],
      [{ onClose: {} }, /options\.onClose: expected a function, got object/],
    ];
    for (const [options, message] of wrong) {
      assert.throws(() => connect(options), { name: "TypeError", message });
    }
    assert.throws(() => connect({}, "no url"), TypeError);
    assert.equal(Fake.all.length, 0);
  });

  test("that are undefined are left out", () => {
    const names = ["headers", "maxReconnectionDelay", "maxRetries", "debug", "onOpen", "onClose"];
    connect(Object.fromEntries(names.map((name) => [name, undefined])));
    assert.equal(Fake.last.url, "ws://localhost:3000/");
  });

  test("leave the URL's own query as it is, and take the page's scheme and host for a path", (t) => {
    const urlOf = (url: string | URL, headers?: ClientOptions["headers"]) => {
      connect({ headers }, url);
      return Fake.last.url;
    };
    const headers = { Name: "é&=+ ", none: undefined, empty: "" };
    assert.equal(
      urlOf("ws://h/?a=%20b&c#d", headers),
      "ws://h/?a=%20b&c&Name=%C3%A9%26%3D%2B+&empty=",
    );
    assert.equal(urlOf("ws://h?", { a: "1" }), "ws://h/?a=1");
    assert.equal(urlOf(new URL("https://h/x?y=1")), "wss://h/x?y=1");
    Object.assign(globalThis, { location: { href: "https://example.com/page?x=1#y" } });
    t.after(() => Reflect.deleteProperty(globalThis, "location"));
    assert.equal(urlOf("/socket", { a: "1" }), "wss://example.com/socket?a=1");
  });

  test("debug tells console.debug what happens, but not what the headers say", (t) => {
    clock(t);
    const debug = t.mock.method(console, "debug", () => {});
    connect({ headers: { authorization: "secret" } }).close();
    assert.equal(debug.mock.callCount(), 0);
    connect({ debug: true, headers: { authorization: "secret" } });
    Fake.last.open().end();
    const lines = debug.mock.calls.map((call) => call.arguments.join(" "));
    assert.ok(lines.length >= 3);
    for (const line of lines) assert.doesNotMatch(line, /secret/);
  });
});
