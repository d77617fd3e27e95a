// The client where the platform is thin: nothing but the language, a URL of React Native's kind, promises of another class.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";

import { createZocketClient, type ZocketClient } from "@zocket/core";
import { build } from "esbuild";
import { WebSocket } from "ws";

import { told, type routes } from "./_client.ts";
import { connect, Fake } from "./_fake-socket.ts";
import { startPlain } from "./_plain.ts";
import { Queue, until } from "./_talk.ts";

const { outputFiles } = await build({
  stdin: {
    contents: 'export { createZocketClient } from "@zocket/core/client";',
    resolveDir: fileURLToPath(new URL("../", import.meta.url)),
  },
  bundle: true,
  platform: "neutral",
  mainFields: ["module", "main"],
  format: "iife",
  globalName: "zocket",
  write: false,
});
const script = outputFiles[0]?.text ?? "";

/** The client in a realm that has the language's own globals and these. */
function load(globals: object): typeof createZocketClient {
  const context = createContext(Object.assign(Object.create(null), globals));
  runInContext(script, context);
  return (runInContext("zocket", context) as { createZocketClient: typeof createZocketClient })
    .createZocketClient;
}

const timers = { setTimeout, clearTimeout };

describe("in a realm with the language's own globals alone", () => {
  test("the client loads, touches none of the platform's, and says what is missing", () => {
    const touched: string[] = [];
    const names = ["URL", "URLSearchParams", "TextEncoder", "WebSocket", "location", "window"];
    const globals = {};
    for (const name of [...names, "process", "Buffer", "navigator", "document", "performance"]) {
      Object.defineProperty(globals, name, { get: () => void touched.push(name) });
    }
    const create = load(globals);
    assert.deepEqual(touched, []);
    assert.throws(
      () => create("ws://localhost"),
      (error: Error) => error.name === "TypeError" && /no global WebSocket/.test(error.message),
    );
    assert.throws(() => load({})("ws://localhost"), /no global WebSocket/);
  });

  test("and a WebSocket, timers and a console, it talks, waits, and comes back", async (t) => {
    const { url, visits } = await startPlain(t);
    const create = load({ ...timers, console, WebSocket });
    const options = { headers: { "ü b": "x&y=\ud800 😀" }, minReconnectionDelay: 1 };
    const client = create<typeof routes>(`${url}#hash`, options);
    t.after(() => client.close());
    const got = new Queue<unknown>("the listener");
    client.on.onSaid((payload) => got.push(payload));
    const errors = new Queue<{ code: string }>("onError");
    client.onError((error) => errors.push(error));
    client.send.say("漢".repeat(340_000));
    client.send.say("漢".repeat(10_000));
    assert.equal((await errors.next()).code, "QUEUE_FULL");
    for (let round = 0; round < 2; round++) {
      const visit = await visits.next();
      assert.deepEqual(visit.headers, { "ü b": "x&y=\ufffd 😀" });
      if (round === 0) assert.equal(String((await visit.messages.next()).payload).length, 340_000);
      client.send.say("😀");
      assert.equal((await visit.messages.next()).payload, "😀");
      visit.say("onSaid", round);
      assert.equal(await got.next(), round);
      visit.socket.terminate();
    }
  });

  test("a path is a TypeError where there is no page", () => {
    const create = load({ ...timers, WebSocket });
    for (const path of ["/socket", "socket", "//host/socket", "?a=1", ""]) {
      assert.throws(() => create(path), { name: "TypeError", message: /expected a whole URL/ });
    }
  });
});

/** As in React Native 0.72: no setters, getters that throw, and a slash behind any path. */
class PoorURL {
  readonly #url: string;
  constructor(url: string) {
    const isWhole = /[?#]|\/$/.test(url);
    this.#url = isWhole ? url : `${url}/`;
  }
  get href() {
    return this.#url;
  }
  toString() {
    return this.#url;
  }
}
for (const name of ["hash", "host", "hostname", "origin", "pathname", "port", "protocol"]) {
  Object.defineProperty(PoorURL.prototype, name, { get: notImplemented });
}
for (const name of ["search", "searchParams"]) {
  Object.defineProperty(PoorURL.prototype, name, { get: notImplemented });
}
class PoorURLSearchParams {
  append = notImplemented;
  set = notImplemented;
  toString = notImplemented;
}
function notImplemented(): never {
  throw new Error("not implemented");
}

/** A whole one without setters. */
class ReadOnlyURL {
  readonly #url: URL;
  constructor(url: string, base?: string) {
    this.#url = new URL(url, base);
  }
  get href() {
    return this.#url.href;
  }
  get protocol() {
    return this.#url.protocol;
  }
  get hash() {
    return this.#url.hash;
  }
  get search() {
    return this.#url.search;
  }
  toString() {
    return this.#url.href;
  }
}

describe("with a URL of", () => {
  const cases: [given: string, becomes: string][] = [
    ["ws://host", "ws://host/?a=1"],
    ["wss://host:8080/", "wss://host:8080/?a=1"],
    ["ws://host/socket", "ws://host/socket?a=1"],
    ["ws://host/socket/", "ws://host/socket/?a=1"],
    ["ws://host/socket?b=%20c&d", "ws://host/socket?b=%20c&d&a=1"],
    ["ws://host?b", "ws://host/?b&a=1"],
    ["ws://host?", "ws://host/?a=1"],
    ["ws://host/x#hash?no", "ws://host/x?a=1"],
    ["ws://host#hash", "ws://host/?a=1"],
    ["http://host/x", "ws://host/x?a=1"],
    ["https://host/x", "wss://host/x?a=1"],
    [" ws://host/x ", "ws://host/x?a=1"],
    ["ws://[::1]:80/x", "ws://[::1]/x?a=1"],
    ["ws://user:pass@host/x", "ws://user:pass@host/x?a=1"],
  ];
  for (const [name, URL] of [
    ["React Native's kind", PoorURL],
    ["getters alone", ReadOnlyURL],
    ["no kind at all", undefined],
  ] as const) {
    test(`${name} the address is the same`, () => {
      const globals = { ...timers, WebSocket: Fake, URL, URLSearchParams: PoorURLSearchParams };
      const create = load(globals);
      for (const [given, expected] of cases) {
        // Only a whole one leaves out the port that is the scheme's own.
        const becomes = URL === ReadOnlyURL ? expected : expected.replace("[::1]/", "[::1]:80/");
        const client = create(given, { headers: { a: "1" }, headersIn: "query" });
        assert.equal(Fake.last.url, becomes, given);
        client.close();
      }
    });
  }
});

test("a wrong URL is a TypeError", (t) => {
  const wrong = ["no url", "/path", "", undefined, null, 5, {}, [], () => {}, "ws://", "http://"];
  for (const url of wrong) {
    assert.throws(
      () => createZocketClient(url as string, { WebSocket: Fake }),
      TypeError,
      String(url),
    );
  }
  Object.assign(globalThis, { location: { href: "https://example.com/page" } });
  t.after(() => Reflect.deleteProperty(globalThis, "location"));
  for (const url of [undefined, null, 5, {}, [], () => {}]) {
    assert.throws(
      () => createZocketClient(url as never, { WebSocket: Fake }),
      /url: expected a string or a URL, got /,
    );
  }
  assert.equal(Fake.all.length, 0);
});

/** What the listener returns, and what console.error is told of it. */
const RETURNED: Record<string, [make: () => unknown, logged: unknown[]]> = {
  "a promise of a class with then alone, which rejects": [
    () => new Foreign(Promise.reject(new Error("mine"))),
    ["mine"],
  ],
  "one that resolves to one that rejects": [
    () => new Foreign(Promise.resolve(new Foreign(Promise.reject(new Error("inner"))))),
    ["inner"],
  ],
  "one whose then throws": [() => ({ then: () => fail("then") }), ["then"]],
  "one whose then cannot be read": [
    () => Object.defineProperty({}, "then", { get: () => fail("getter") }),
    ["getter"],
  ],
  "one that rejects twice": [
    () => ({
      then(_: unknown, no: (reason: unknown) => void) {
        no(new Error("first"));
        no(new Error("second"));
      },
    }),
    ["first"],
  ],
  "one that resolves, rejects and throws": [
    () => ({
      then(yes: () => void, no: (reason: unknown) => void) {
        yes();
        no(new Error("late"));
        fail("later");
      },
    }),
    [],
  ],
  "a function that is one": [
    () =>
      Object.assign(() => {}, { then: (_: unknown, no: (it: Error) => void) => no(Error("f")) }),
    ["f"],
  ],
  "one that never settles": [() => ({ then() {} }), []],
  "an object that is none": [() => ({ then: 5 }), []],
  "a part of the client": [() => connect().send, []],
};

class Foreign {
  readonly #promise: Promise<unknown>;
  constructor(promise: Promise<unknown>) {
    this.#promise = promise;
  }
  then(...handlers: Parameters<Promise<unknown>["then"]>) {
    return this.#promise.then(...handlers);
  }
}
function fail(text: string): never {
  throw new Error(text);
}

describe("a listener that returns", () => {
  for (const [what, [make, expected]] of Object.entries(RETURNED)) {
    test(`${what} stops no other, and its error goes to console.error once`, async (t) => {
      const unhandled = watchRejections(t);
      const logged = t.mock.method(console, "error", () => {});
      const client = connect();
      const heard: string[] = [];
      const adds: ((listener: () => unknown) => unknown)[] = [
        client.on.chat.onMessage as never,
        client.onOpen as ZocketClient<never>["onOpen"],
        client.onClose as never,
        client.onError as never,
      ];
      for (const [index, add] of adds.entries()) {
        add(make);
        add(() => heard.push(`${index}`));
      }
      const socket = Fake.all[0] ?? Fake.last;
      socket.open();
      socket.say("chat.onMessage", "x");
      socket.say("$error", { code: "REJECTED", message: "no" });
      socket.end();
      assert.deepEqual(heard, ["1", "0", "3", "2"]);
      await until(() => logged.mock.callCount() >= 4 * expected.length, "they are logged");
      await new Promise((resolve) => setTimeout(resolve, 5));
      await told();
      const texts = logged.mock.calls.map(({ arguments: [, error] }) => (error as Error).message);
      assert.deepEqual(texts, [...expected, ...expected, ...expected, ...expected]);
      assert.deepEqual(unhandled, []);
    });
  }
});

/** The rejections that nobody handled during the test. */
function watchRejections(t: TestContext): unknown[] {
  const seen: unknown[] = [];
  const see = (reason: unknown) => void seen.push(reason);
  process.on("unhandledRejection", see);
  t.after(() => process.off("unhandledRejection", see));
  return seen;
}
