// How the client's headers travel: the subprotocol that carries them, the function that gives them, and the old way in the URL.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import type { ClientCloseEvent, ClientError, ClientOptions } from "@zocket/core";
import { WebSocket as UndiciWebSocket } from "undici";
import { WebSocket } from "ws";

import { open, told } from "./_client.ts";
import { clock, connect, Fake, FIRST_DELAY } from "./_fake-socket.ts";
import { startPlain } from "./_plain.ts";
import { Queue } from "./_talk.ts";

/** What a client is told, in order. */
function listen(options: ClientOptions = {}) {
  const heard: unknown[] = [];
  const client = connect({
    onOpen: () => heard.push("open"),
    onClose: (event) => heard.push(event),
    ...options,
  });
  client.onError((error) => heard.push(error));
  return { client, heard };
}

/** Lets a function of headers be asked, and answered. */
async function answered(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await told();
}

/** The end of an attempt whose headers failed. */
const FAILED = { code: 1006, reason: "headers", wasClean: false };

describe("headers in a subprotocol", () => {
  const cases: Record<string, Record<string, string | undefined>> = {
    plain: { authorization: "Bearer a.b-c_d" },
    "of every length": Object.fromEntries(
      Array.from({ length: 9 }, (_, at) => [`h${at}`, "x".repeat(at)]),
    ),
    "beyond ASCII": { "grüße 🙂": "é 漢 😀 \u0000\u007f\u0080\uffff", 'a"b\\c\n': "\u2028" },
    "named like what objects have": { constructor: "1", toString: "2" },
  };
  for (const [what, headers] of Object.entries(cases)) {
    test(`arrive as they are, and are in no URL: ${what}`, () => {
      connect({ headers });
      assert.deepEqual(Fake.last.headers, headers);
      assert.equal(Fake.last.url, "ws://localhost:3000/");
      // A token of RFC 7230, without padding.
      assert.match(Fake.last.protocols.join(), /^zocket\.1,zocket\.h\.[\w-]+$/);
    });
  }

  test("leave out what is undefined, and half a surrogate pair becomes U+FFFD", () => {
    connect({ headers: { a: "x\ud800y", "\udc00": "1", none: undefined } });
    assert.deepEqual(Fake.last.headers, { a: "x\ufffdy", "\ufffd": "1" });
  });

  test("are no token at all where there are none", () => {
    for (const headers of [undefined, {}, { none: undefined }]) {
      connect({ headers });
      assert.deepEqual(Fake.last.protocols, ["zocket.1"]);
    }
  });

  test("may be called __proto__", () => {
    connect({ headers: JSON.parse('{"__proto__":"x"}') as Record<string, string> });
    assert.equal(JSON.stringify(Fake.last.headers), '{"__proto__":"x"}');
  });

  for (const [name, Class] of [
    ["ws", WebSocket],
    ["undici", UndiciWebSocket as unknown as typeof WebSocket],
  ] as const) {
    test(`are taken by real sockets, and the URL keeps its own query: ${name}`, async (t) => {
      const { url, visits } = await startPlain(t);
      open(t, `${url}/path?kept=1`, { headers: { name: "Ada 😀" }, WebSocket: Class });
      const visit = await visits.next();
      assert.deepEqual(visit.headers, { name: "Ada 😀" });
      assert.equal(visit.request.url, "/path?kept=1");
    });
  }
});

describe("headers from a function", () => {
  test("are asked for before each attempt, never before createZocketClient has returned", async (t) => {
    const tick = clock(t);
    let asked = 0;
    const { client } = listen({ headers: () => ({ token: `${(asked += 1)}` }) });
    assert.deepEqual([asked, Fake.all.length, client.readyState], [0, 0, 0]);
    for (const token of ["1", "2", "3"]) {
      await answered();
      assert.deepEqual(Fake.last.headers, { token });
      assert.equal(Fake.all.length, asked);
      Fake.last.open().end();
      tick(10_000);
    }
    await answered();
    client.reconnect();
    Fake.last.open();
    client.reconnect();
    await answered();
    assert.equal(asked, 5);
  });

  test("may come late, as a promise of any class", async (t) => {
    clock(t);
    for (const headers of [
      async () => ({ a: "1" }),
      () => ({ then: (done: (headers: object) => void) => done({ a: "1" }) }),
    ] as ClientOptions["headers"][]) {
      listen({ headers });
      await answered();
      assert.deepEqual(Fake.last.headers, { a: "1" });
    }
  });

  const broken: Record<string, [headers: () => unknown, cause: RegExp]> = {
    throws: [() => raise("mine"), /^Error: mine$/],
    rejects: [async () => raise("mine"), /^Error: mine$/],
    "returns nothing": [() => undefined, /headers\(\): expected a plain object of strings/],
    "returns null": [() => null, /expected a plain object of strings, got null/],
    "returns text": [() => "secret", /expected a plain object of strings, got string$/],
    "returns a list": [() => [["a", "secret"]], /expected a plain object of strings, got Array$/],
    "returns Headers": [() => new Headers({ a: "1" }), /got Headers$/],
    "returns a Map": [async () => new Map([["a", "1"]]), /got Map$/],
    "returns a number in it": [() => ({ age: 5 }), /headers\(\)\["age"\]: expected a string/],
    "returns an object whose getter throws": [
      () => ({
        get a() {
          return raise("mine");
        },
      }),
      /^Error: mine$/,
    ],
  };
  for (const [how, [headers, cause]] of Object.entries(broken)) {
    test(`that ${how} is a failed attempt, told as HEADERS, and others follow`, async (t) => {
      const tick = clock(t);
      let isBroken = true;
      const { client, heard } = listen({
        headers: (() => (isBroken ? headers() : { a: "1" })) as () => Record<string, string>,
      });
      await answered();
      const [error, event, ...more] = heard.splice(0) as [ClientError, ClientCloseEvent];
      assert.equal(error.code, "HEADERS");
      assert.match(String(error.cause), cause);
      assert.doesNotMatch(error.message, /secret|mine/);
      assert.deepEqual([event, more, Fake.all.length], [FAILED, [], 0]);
      assert.deepEqual([client.readyState, client.state], [0, "waiting"]);
      isBroken = false;
      tick(FIRST_DELAY);
      await answered();
      Fake.last.open();
      assert.deepEqual(heard, ["open"]);
    });
  }

  test("that never settles fails after 15 s, and its answer is too late then", async (t) => {
    const tick = clock(t);
    let answer: (headers: object) => void = () => {};
    const never = () => new Promise<Record<string, string>>((done) => (answer = done as never));
    const { client, heard } = listen({ headers: never });
    await answered();
    tick(14_999);
    assert.deepEqual([heard, client.state], [[], "connecting"]);
    tick(1);
    const [error, event] = heard as [ClientError, ClientCloseEvent];
    assert.deepEqual([error.code, event], ["HEADERS", FAILED]);
    answer({ a: "1" });
    await answered();
    assert.equal(Fake.all.length, 0);
    tick(FIRST_DELAY);
    await answered();
    answer({ a: "2" });
    await answered();
    assert.deepEqual(Fake.last.headers, { a: "2" });
  });

  test("leave the attempt 15 s of its own after them", async (t) => {
    const tick = clock(t);
    let answer: (headers: object) => void = () => {};
    const { heard } = listen({ headers: () => new Promise((done) => (answer = done as never)) });
    await answered();
    tick(14_000);
    answer({});
    await answered();
    tick(14_999);
    assert.deepEqual(heard, []);
    tick(1);
    assert.deepEqual(heard, [{ code: 1006, reason: "timeout", wasClean: false }]);
  });

  test("are no reason to wait for close(): it is told once, and nothing connects", async (t) => {
    const tick = clock(t);
    let answer: (headers: object) => void = () => {};
    const { client, heard } = listen({
      headers: () => new Promise((done) => (answer = done as never)),
    });
    await answered();
    client.reconnect();
    client.close();
    assert.deepEqual([heard, client.readyState, client.state], [[], 3, "closed"]);
    await told();
    assert.deepEqual(heard.splice(0), [{ code: 1006, reason: "", wasClean: false }]);
    answer({});
    await answered();
    tick(60_000);
    assert.deepEqual([heard, Fake.all.length], [[], 0]);
    client.reconnect();
    await answered();
    answer({ a: "1" });
    await answered();
    assert.deepEqual(Fake.last.headers, { a: "1" });
  });

  test("that fail go to console.error where nobody listens to onError", async (t) => {
    clock(t);
    const logged = t.mock.method(console, "error", () => {});
    connect({ headers: () => raise("mine") });
    await answered();
    assert.equal(logged.mock.callCount(), 1);
    assert.match(String(logged.mock.calls[0]?.arguments[1]), /mine/);
  });

  test("go to a class that throws: an attempt that failed, and others follow", async (t) => {
    const tick = clock(t);
    t.mock.method(console, "error", () => {});
    class Broken extends Fake {
      constructor() {
        super("");
        throw new Error("mine");
      }
    }
    const { client, heard } = listen({ WebSocket: Broken, headers: () => ({}) });
    await answered();
    assert.deepEqual(heard, [{ code: 1006, reason: "", wasClean: false }]);
    assert.equal(client.state, "waiting");
    tick(FIRST_DELAY);
    await answered();
    assert.equal(heard.length, 2);
  });
});

function raise(text: string): never {
  throw new Error(text);
}

describe("a client that speaks zocket.1", () => {
  test("is open at the welcome, not before, and has its id then", (t) => {
    clock(t);
    const { client, heard } = listen();
    client.send.chat.message("waits");
    const socket = Fake.last.connect();
    socket.say("chat.onMessage", "too early");
    assert.deepEqual([client.readyState, client.state, client.id], [0, "connecting", undefined]);
    assert.deepEqual([socket.sent, heard], [[], []]);
    socket.say("$welcome", { clientId: "c7", maxPayload: 1000, heartbeatInterval: 30_000 });
    assert.deepEqual([client.readyState, client.state, client.id], [1, "open", "c7"]);
    assert.deepEqual([socket.payloads, heard], [["waits"], ["open"]]);
    socket.end();
    assert.equal(client.id, undefined);
  });

  test("takes a welcome that says little", () => {
    for (const payload of [undefined, null, 5, {}, { clientId: 5, maxPayload: "1" }]) {
      const { client } = listen();
      Fake.last.connect().say("$welcome", payload);
      client.send.chat.message("x".repeat(10_000));
      assert.deepEqual([client.state, client.id, Fake.last.sent.length], ["open", undefined, 1]);
    }
  });

  test("hears one welcome, and no refusal after it", () => {
    const { client, heard } = listen();
    Fake.last.open({ clientId: "c1" }).say("$welcome", { clientId: "c2" });
    Fake.last.say("$refused", { status: 403, code: "CONNECT" });
    Fake.last.end();
    assert.deepEqual(heard, ["open", { code: 1006, reason: "", wasClean: false }]);
    assert.equal(client.state, "waiting");
  });

  for (const protocol of ["", "chat", "zocket.10"]) {
    test(`closes with 4000 a socket that opens with "${protocol}": a failed attempt`, (t) => {
      const tick = clock(t);
      const { client, heard } = listen();
      const socket = Fake.last.connect(protocol);
      assert.deepEqual(heard, [{ code: 4000, reason: "protocol", wasClean: false }]);
      assert.deepEqual([socket.closes, client.state], [[4000], "waiting"]);
      socket.say("$welcome", {});
      socket.end();
      tick(FIRST_DELAY);
      assert.deepEqual([heard.length, Fake.all.length], [1, 2]);
    });
  }

  test("closes with 4000 a socket that opens and gets no welcome in 15 s: a failed attempt", (t) => {
    const tick = clock(t);
    const { client, heard } = listen();
    const socket = Fake.last.connect();
    socket.say("$pong");
    tick(14_999);
    assert.deepEqual(heard, []);
    tick(1);
    assert.deepEqual(heard, [{ code: 4000, reason: "timeout", wasClean: false }]);
    assert.deepEqual([socket.closes, client.state], [[4000], "waiting"]);
  });

  test("does not open after close()", (t) => {
    const tick = clock(t);
    const { client, heard } = listen();
    const socket = Fake.last.connect();
    client.close();
    socket.say("$welcome", {});
    tick(60_000);
    assert.deepEqual([heard, client.readyState], [[], 2]);
    socket.end(1000, "", true);
    assert.deepEqual(heard, [{ code: 1000, reason: "", wasClean: true }]);
  });

  test("gives up real servers that choose no subprotocol, or say nothing", async (t) => {
    const { url, visits, state } = await startPlain(t);
    // `ws` gives up by itself.
    state.speaks = false;
    const ends = new Queue<ClientCloseEvent>("onClose");
    open(t, url, { onClose: (event) => ends.push(event) });
    assert.equal((await ends.next()).code, 1006);
    // A class that loses the subprotocols connects, and hears nothing.
    class Deaf extends WebSocket {
      constructor(address: string) {
        super(address);
      }
    }
    visits.drain();
    const deaf = new Queue<ClientCloseEvent>("onClose");
    open(t, url, { WebSocket: Deaf, onClose: (event) => deaf.push(event) });
    assert.deepEqual(await deaf.next(), { code: 4000, reason: "protocol", wasClean: false });
    const codes: number[] = [];
    while (!codes.includes(4000)) codes.push(await (await visits.next()).end());
  });
});

describe('headersIn: "query"', () => {
  test("offers no subprotocol, and hands the class one argument", () => {
    const given: unknown[][] = [];
    class Watched extends Fake {
      constructor(...all: [string]) {
        super(...all);
        given.push(all);
      }
    }
    listen({ headersIn: "query", headers: { a: "1 ü" }, WebSocket: Watched });
    assert.deepEqual(given, [["ws://localhost:3000/?a=1+%C3%BC"]]);
  });

  test("is open at the socket's open, without id, pings and limits", (t) => {
    const tick = clock(t);
    const { client, heard } = listen({ headersIn: "query" });
    client.send.chat.message("waits");
    const socket = Fake.last.open();
    client.send.chat.message("x".repeat(5_000_000));
    assert.deepEqual([heard, client.readyState, client.id], [["open"], 1, undefined]);
    tick(600_000);
    assert.deepEqual([socket.sent.length, heard], [2, ["open"]]);
  });

  test("asks a function before each attempt too", async (t) => {
    const tick = clock(t);
    let asked = 0;
    listen({ headersIn: "query", headers: async () => ({ token: `${(asked += 1)}` }) });
    for (const token of [1, 2]) {
      await answered();
      assert.equal(Fake.last.url, `ws://localhost:3000/?token=${token}`);
      Fake.last.end();
      tick(10_000);
    }
  });

  test("connects again after any close code, as it always did", (t) => {
    const tick = clock(t);
    const { client } = listen({ headersIn: "query" });
    for (const code of [4400, 4401, 4403, 4500]) {
      Fake.last.open().end(code, "", true);
      assert.equal(client.state, "waiting");
      tick(10_000);
    }
    assert.equal(Fake.all.length, 5);
  });
});

/** The order of what happens is a promise too. */
test("a token that is asked for on each attempt is told to nobody", async (t: TestContext) => {
  const tick = clock(t);
  const debug = t.mock.method(console, "debug", () => {});
  const { client } = listen({ debug: true, headers: () => ({ authorization: "secret" }) });
  await answered();
  client.send.chat.message("x");
  Fake.last.open().end(4401, "", true);
  tick(10_000);
  await answered();
  const lines = debug.mock.calls.map((call) => call.arguments.join(" ")).join("\n");
  const token = Buffer.from('{"authorization":"secret"}').toString("base64url");
  assert.doesNotMatch(lines, new RegExp(`secret|${token.slice(4, 20)}`));
});
