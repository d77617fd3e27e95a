// What `createZocketClient` is given: its options and its URL, on platforms that are whole and on those that are not.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { runInNewContext } from "node:vm";

import { createZocketClient, type ClientOptions } from "@zocket/core";

import { told } from "./_client.ts";
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

  test("that do not exist are a TypeError that names them, and the right name where one is near", () => {
    const near: [wrong: string, right: string][] = [
      ["retries", "maxRetries"],
      ["maxRetry", "maxRetries"],
      ["header", "headers"],
      ["Headers", "headers"],
      ["websocket", "WebSocket"],
      ["websoket", "WebSocket"],
      ["reconnectionDelay", "minReconnectionDelay"],
      ["minReconnectDelay", "minReconnectionDelay"],
      ["reconnectionDelayMax", "maxReconnectionDelay"],
      ["maxQueueBytes", "maxQueuedBytes"],
      ["heartbeat", "heartbeatInterval"],
      ["heartBeatInterval", "heartbeatInterval"],
      ["lazy", "autoConnect"],
      ["autoconnect", "autoConnect"],
      ["headerIn", "headersIn"],
      ["shouldRetry", "shouldReconnect"],
      ["onopen", "onOpen"],
      ["onclose", "onClose"],
      ["Debug", "debug"],
      ["extraHeaders", "headers"],
      ["onError", "client.onError(listener)"],
    ];
    for (const [wrong, right] of near) {
      for (const value of [1, undefined]) {
        assert.throws(() => connect({ [wrong]: value } as object), {
          name: "TypeError",
          message: `createZocketClient: options.${wrong}: unknown option; did you mean ${right}?`,
        });
      }
    }
    for (const wrong of ["tls", "pingInterval", "", "__proto__", "x".repeat(10_000)]) {
      assert.throws(
        () => connect({ [wrong]: 1 } as object),
        /^TypeError: createZocketClient: options\..*: unknown option; expected one of headers, /,
      );
    }
    assert.equal(Fake.all.length, 0);
  });

  test("of a wrong kind are a TypeError that says what came", () => {
    const pairs: [string, string][] = [["authorization", "secret"]];
    const kinds: [unknown, string][] = [
      [new Map(pairs), "Map"],
      [new Headers(pairs), "Headers"],
      [new URLSearchParams(pairs), "URLSearchParams"],
      [Promise.resolve({}), "Promise"],
      [new (class Own {})(), "object"],
      [pairs, "Array"],
      [null, "null"],
      [5, "number"],
      ["authorization=secret", "string"],
    ];
    for (const [headers, kind] of kinds) {
      assert.throws(() => connect({ headers: headers as object as Record<string, string> }), {
        name: "TypeError",
        message: `createZocketClient: options.headers: expected a plain object of strings, got ${kind}`,
      });
    }
    for (const [value, kind] of [
      [5, "number"],
      [null, "null"],
      [["secret"], "Array"],
      [true, "boolean"],
    ] as const) {
      const headers = { good: "1", 'odd"name': value } as object as Record<string, string>;
      assert.throws(() => connect({ headers }), {
        name: "TypeError",
        message: `createZocketClient: options.headers["odd\\"name"]: expected a string, got ${kind}`,
      });
    }
    const wrong: [object, RegExp][] = [
      [{ debug: "yes" }, /options\.debug: expected true or false, got string/],
      [{ debug: null }, /options\.debug: expected true or false, got null/],
      [{ autoConnect: 0 }, /options\.autoConnect: expected true or false, got number/],
      [{ headersIn: "url" }, /options\.headersIn: expected "protocol" or "query", got url/],
      [{ headersIn: null }, /options\.headersIn: expected "protocol" or "query", got null/],
      [{ heartbeatInterval: -1 }, /options\.heartbeatInterval: expected a number from 0, got -1/],
      [{ heartbeatInterval: NaN }, /options\.heartbeatInterval: expected a number from 0/],
      [{ shouldReconnect: true }, /options\.shouldReconnect: expected a function, got boolean/],
      [{ shouldReconnect: null }, /options\.shouldReconnect: expected a function, got null/],
      [{ onOpen: null }, /options\.onOpen: expected a function, got null/],
      [{ onClose: [] }, /options\.onClose: expected a function, got Array/],
      [{ WebSocket: null }, /options\.WebSocket: expected a class, got null/],
      [{ WebSocket: "ws" }, /options\.WebSocket: expected a class, got string/],
      [{ maxQueuedBytes: -1 }, /options\.maxQueuedBytes: expected a number from 0, got -1/],
      [{ maxRetries: null }, /options\.maxRetries: expected a number from 0, got null/],
      [{ maxRetries: 1n }, /options\.maxRetries: expected a number from 0, got bigint/],
      [{ maxRetries: {} }, /options\.maxRetries: expected a number from 0, got object/],
    ];
    for (const [options, message] of wrong) {
      assert.throws(() => connect(options), { name: "TypeError", message });
    }
    for (const options of [null, 5, "secret", [], new Map(), () => {}]) {
      assert.throws(() => createZocketClient("ws://host", options as object), {
        name: "TypeError",
        message: /^createZocketClient: options: expected an object, got /,
      });
    }
    assert.equal(Fake.all.length, 0);
  });

  test("headers may be any plain object, of this realm or of another one", () => {
    const bare = Object.assign(Object.create(null), { a: "1" }) as Record<string, string>;
    const foreign = runInNewContext("({ a: '1' })") as Record<string, string>;
    const headers = new Proxy({ a: "1" }, {});
    for (const given of [bare, foreign, headers, Object.freeze({ a: "1" })]) {
      connect({ headers: given });
      assert.deepEqual(Fake.last.headers, { a: "1" });
      connect({ headers: given, headersIn: "query" });
      assert.equal(Fake.last.url, "ws://localhost:3000/?a=1");
    }
  });

  test("that are undefined are left out", () => {
    const names = ["headers", "maxReconnectionDelay", "maxRetries", "debug", "onOpen", "onClose"];
    connect(Object.fromEntries(names.map((name) => [name, undefined])));
    assert.equal(Fake.last.url, "ws://localhost:3000/");
  });

  test("leave the URL's own query as it is, and take the page's scheme and host for a path", (t) => {
    const urlOf = (url: string | URL, headers?: ClientOptions["headers"]) => {
      connect({ headers, headersIn: "query" }, url);
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

  test("debug tells console.debug what happens, but not what the headers and the payloads say", async (t) => {
    const tick = clock(t);
    const debug = t.mock.method(console, "debug", () => {});
    const headers = { authorization: "secret" };
    connect({ headers }).close();
    const quiet = connect({ headers });
    quiet.send.chat.message("secret");
    Fake.last.open().say("chat.onMessage", "secret");
    assert.equal(debug.mock.callCount(), 0);

    const client = connect(
      { debug: true, headers, maxQueuedBytes: 100 },
      "ws://secret/secret?secret",
    );
    client.send.chat.message("secret 漢");
    client.send.chat.message("secret".repeat(100));
    const socket = Fake.last.open();
    socket.say("chat.onMessage", "secret");
    socket.say(`\u001b[31m${"x".repeat(10_000)}`, "secret");
    socket.emit("message", { data: "secret" });
    socket.end(4000, "line\nbreak");
    tick(10_000);
    client.reconnect();
    client.close();
    await told();
    const lines = debug.mock.calls.map((call) => call.arguments.join(" "));
    for (const line of lines) {
      assert.match(line, /^zocket: [\x20-\x7e]*$/);
      assert.doesNotMatch(line, /secret/);
      assert.ok(line.length < 200, line);
    }
    const all = lines.join("\n");
    const bytes = Buffer.byteLength('{"type":"chat.message","payload":"secret 漢"}');
    for (const part of [
      "attempt 1 to connect",
      'discards "chat.message", ',
      "open",
      `sends "chat.message", ${bytes} bytes`,
      'received "chat.onMessage", ',
      "received a message that is not an envelope",
      'closed with 4000 "line\\nbreak"',
      "next attempt in ",
      "attempt 2 to connect",
    ]) {
      assert.ok(all.includes(`zocket: ${part}`), `${part} is missing in\n${all}`);
    }
  });
});
