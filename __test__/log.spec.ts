// The log that stands in for `onError`: how much clients can make it write, and what they can put into it.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { format } from "node:util";

import { z } from "zod";

import { Faults } from "../dist/faults/report.js";
import { Scope } from "../dist/user-code/scope.js";
import { Turn } from "../dist/user-code/turn.js";
import { ask, request } from "./_raw.ts";
import { Client, serve, type Given } from "./_support.ts";
import { until } from "./_wait.ts";

interface Entry {
  readonly text: string;
  readonly at: number;
  readonly given: readonly unknown[];
}

/** What is written to the console from now on. */
function logged(t: TestContext): Entry[] {
  const entries: Entry[] = [];
  t.mock.method(console, "error", (...given: unknown[]) => {
    entries.push({ text: format(...given), at: performance.now(), given });
  });
  return entries;
}

/** A server without `onError`. */
const silent = (t: TestContext, given: Given = {}) =>
  serve(t, { ...given, options: { ...given.options, onError: undefined } });

/** Says something so many times, each answered before many more follow. */
async function flood(t: TestContext, url: string, count: number): Promise<void> {
  const client = await Client.open(t, url);
  for (let said = 0; said < count;) {
    for (const end = Math.min(count, said + 500); said < end; said++) client.say("x");
    await until("the replies", () => client.received.length === said);
  }
}

/** The most lines within any second. It is a little shorter here, as a line is written a little after its time was looked at. */
function mostPerSecond(entries: readonly Entry[]): number {
  const lines = entries.flatMap(({ text, at }) => text.split("\n").map(() => at));
  return Math.max(
    0,
    ...lines.map((from) => lines.filter((at) => at >= from && at < from + 900).length),
  );
}

/** How many faults of a code the entries stand for. */
function counted(entries: readonly Entry[], code: string): number {
  const numbers = entries.map(({ text }) => {
    if (text.startsWith(`zocket: ${code}`)) return 1;
    return Number(new RegExp(`^zocket: (?:\\d+ [^,(]*, )*(\\d+) ${code}`).exec(text)?.[1] ?? 0);
  });
  return numbers.reduce((sum, number) => sum + number, 0);
}

const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
const NASTY =
  "x\nzocket: INTERNAL: forged\r\t\u001b[2K\u001b[1A\u0085\u009b31m\u2028\u2029\u202e\u2066\ud800 %o %s %d";
const SHOWN =
  "x\\nzocket: INTERNAL: forged\\r\\t\\u001b[2K\\u001b[1A\\u0085\\u009b31m\\u2028\\u2029\\u202e\\u2066\\ud800 %o %s %d";

describe("what clients can provoke", () => {
  for (const [name, given] of Object.entries<Given>({
    "errors of a handler": {
      say: () => {
        throw new Error("no\nluck");
      },
    },
    "rejections of a handler": { say: () => Promise.reject(new Error("no luck")) },
    "room names that are too long": { say: (_, { rooms }) => rooms.join("x".repeat(5_000)) },
    "room names that are no text": { say: (_, { rooms }) => rooms.join({} as string) },
    "rooms past the limit": {
      say: (_, { rooms }) => {
        rooms.join("a");
        rooms.join("b");
      },
      options: { maxRoomsPerClient: 1 },
    },
    "a payload that JSON cannot hold": { say: (_, { send }) => send.said(1n).broadcast() },
  })) {
    test(`${name} get ten lines a second at most, and all are counted`, async (t) => {
      const entries = logged(t);
      const app = silent(t, given);
      await flood(t, app.url, 3_000);
      await app.server.stop();
      t.diagnostic(`${entries.length} entries, ${mostPerSecond(entries)} lines in a second`);
      assert.ok(mostPerSecond(entries) <= 10);
      assert.equal(counted(entries, "HANDLER_ERROR"), 3_000);
      for (const { text } of entries) assert.doesNotMatch(text, UNSAFE);
      assert.match(
        entries[0]?.text ?? "",
        /, client [-0-9a-f]{36}: route say: \w*Error: .* \| at /,
      );
    });
  }

  test("faults of clients and of the application share the ten lines, and each kind shows its first", async (t) => {
    const entries = logged(t);
    const fail = () => {
      throw new Error("no luck");
    };
    const app = silent(t, { say: fail, onDisconnect: fail });
    const client = await Client.open(t, app.url);
    for (let number = 0; number < 500; number++) {
      client.socket.send("no json");
      client.send("nowhere", 1);
      client.say(1);
    }
    await until("the replies", () => client.received.length === 1_500);
    await client.close();
    await app.server.stop();
    assert.ok(mostPerSecond(entries) <= 10);
    for (const [code, count] of [
      ["BAD_MESSAGE", 500],
      ["NO_ROUTE", 500],
      ["HANDLER_ERROR", 500],
      ["DISCONNECT", 1],
    ] as const) {
      assert.equal(counted(entries, code), count, code);
    }
    assert.ok(entries.some(({ text }) => text.startsWith("zocket: HANDLER_ERROR,")));
    assert.ok(entries.some(({ text }) => text.startsWith("zocket: 1 BAD_MESSAGE,")));
  });

  test("a flood that lasts gets ten lines in any of its seconds", async (t) => {
    const entries = logged(t);
    const app = silent(t, {
      say: () => {
        throw new Error("no luck");
      },
    });
    const client = await Client.open(t, app.url);
    const end = performance.now() + 2_500;
    let sent = 0;
    while (performance.now() < end) {
      client.socket.send("no json");
      client.say(1);
      sent += 2;
      await until("the replies", () => client.received.length === sent);
    }
    await app.server.stop();
    t.diagnostic(`${mostPerSecond(entries)} lines in a second for ${sent} faults`);
    assert.ok(mostPerSecond(entries) <= 10);
    const all = counted(entries, "HANDLER_ERROR") + counted(entries, "BAD_MESSAGE");
    assert.equal(all, sent);
  });

  for (const [name, onError] of Object.entries({
    throws: (error: unknown) => {
      throw error;
    },
    rejects: (error: unknown) => Promise.reject(error),
  })) {
    test(`an onError that ${name} gets ten lines a second at most`, async (t) => {
      const entries = logged(t);
      const app = serve(t, {
        say: () => {
          throw new Error("a\nb");
        },
        options: { onError },
      });
      await flood(t, app.url, 1_000);
      await app.server.stop();
      assert.ok(mostPerSecond(entries) <= 10);
      assert.match(
        entries[0]?.text ?? "",
        /^zocket: onError failed: Error: a\\nb \| at .*; it was called for HANDLER_ERROR, client [-0-9a-f]+: route say: Error: a\\nb/,
      );
      assert.equal(
        counted(entries, "calls of onError") + counted(entries, "onError failed"),
        1_000,
      );
    });
  }
});

describe("an entry about a client", () => {
  test("is one line, and a terminal finds nothing to obey in it, wherever the client's words stand", async (t) => {
    const entries = logged(t);
    const app = silent(t, {
      say: (payload) => {
        throw payload === "named"
          ? Object.assign(new Error("m"), { name: NASTY })
          : new Error(NASTY);
      },
      onConnect: ({ reason }) => {
        if (reason !== undefined) throw new Error(NASTY);
      },
    });
    const client = await Client.open(t, app.url);
    client.send(NASTY.slice(0, -1), 1);
    client.say("named");
    client.say("text");
    await until("the replies", () => client.received.length === 3);
    await ask(t, app.port, request({ Reason: "x" }));
    await until("four entries", () => entries.length === 4);
    for (const { text, given } of entries) {
      assert.doesNotMatch(text, UNSAFE);
      // Whatever stands in for the console's `error` may take the first argument as a format.
      assert.doesNotMatch(String(given[0]), /%|x\\n/);
    }
    const text = entries.map((entry) => entry.text).join("\n");
    assert.match(text, /^zocket: 1 NO_ROUTE, client [-0-9a-f]+: /m);
    assert.match(text, /^zocket: 1 CONNECT, client [-0-9a-f]+: /m);
    assert.equal(text.split(SHOWN).length - 1, 3);
  });

  test("is short, however long what the client sent is", async (t) => {
    const entries = logged(t);
    const app = silent(t, {
      say: (payload) => {
        throw new Error(String(payload), { cause: new Error(String(payload)) });
      },
    });
    const client = await Client.open(t, app.url);
    for (const text of ["\u0001".repeat(100_000), "\n    at x".repeat(50_000), "😀".repeat(1e5)]) {
      client.say(text);
    }
    client.send("\u0001".repeat(100_000), 1);
    await until("the replies", () => client.received.length === 4);
    assert.equal(entries.length, 4);
    for (const { text } of entries) assert.ok(text.length < 5_000, `${text.length} characters`);
  });

  test("shows what a developer looks for: class, message, code, where it was thrown, and why", async (t) => {
    const entries = logged(t);
    class DatabaseError extends Error {
      override name = "DatabaseError";
      readonly code = "E_DOWN";
    }
    const app = silent(t, {
      say: function sayIt(payload) {
        if (payload === 1)
          throw new DatabaseError("no answer", { cause: new TypeError("a reset") });
        if (payload === 2) throw { status: 5, nested: { text: "a\nb" } };
        throw payload;
      },
    });
    const client = await Client.open(t, app.url);
    for (const payload of [1, 2, "just\ntext", null]) client.say(payload);
    await until("the replies", () => client.received.length === 4);
    const [error, object, text, nothing] = entries.map((entry) =>
      entry.text.split(": ").slice(2).join(": "),
    );
    assert.match(
      error ?? "",
      /^route say: DatabaseError: no answer \[E_DOWN\] \| at .*sayIt .*log\.spec\.ts:\d+:\d+\) \| .* \| caused by TypeError: a reset \| at .*sayIt/,
    );
    assert.equal(object, String.raw`route say: { status: 5, nested: { text: 'a\nb' } }`);
    assert.equal(text, String.raw`route say: 'just\\ntext'`.replace("\\\\", "\\"));
    assert.equal(nothing, "route say: null");
  });

  test("shows the first issues of a payload", async (t) => {
    const entries = logged(t);
    const payload = z.object({
      text: z.string({ error: "a text" }),
      tags: z.array(z.number({ error: () => NASTY })),
    });
    const app = silent(t, { payload });
    const client = await Client.open(t, app.url);
    client.say({ tags: ["a", "b", "c", "d"] });
    client.say({ text: 1, tags: [] });
    await until("the replies", () => client.received.length === 2);
    const [many, one] = entries.map(({ text }) => text);
    assert.match(
      many ?? "",
      /^zocket: 1 INVALID_PAYLOAD, client [-0-9a-f]+: route say: the payload is not valid: text: a text; tags\.0: x\\n/,
    );
    assert.match(many ?? "", /; and 2 more$/);
    assert.doesNotMatch(many ?? "", UNSAFE);
    assert.match(one ?? "", /the payload is not valid: text: a text$/);
  });

  test("shows which headers are not valid, and none of their values", async (t) => {
    const entries = logged(t);
    const validate = () => ({
      issues: [
        { message: "must be a token (was secret)", path: ["authorization"] },
        { message: "secret" },
      ],
    });
    const headers = { "~standard": { version: 1, vendor: "specs", validate } } as const;
    const app = silent(t, { headers });
    assert.equal((await ask(t, app.port, request())).status, 400);
    await until("the entry", () => entries.length === 1);
    assert.match(
      entries[0]?.text ?? "",
      /: the headers do not match the headers schema: authorization; not valid$/,
    );
  });

  test("survives issues that throw at each look", async (t) => {
    const entries = logged(t);
    const hostile = new Proxy({}, { get: () => assert.fail("looked at") });
    const validate = () => ({ issues: [{ message: "first" }, hostile, { message: "third" }] });
    const payload = { "~standard": { version: 1, vendor: "specs", validate } } as never;
    const app = silent(t, { payload });
    const client = await Client.open(t, app.url);
    client.say(1);
    await client.next();
    assert.match(entries[0]?.text ?? "", /the payload is not valid: first/);
  });
});

test("a console that throws ends nothing", async (t) => {
  t.mock.method(console, "error", () => {
    throw new Error("no console");
  });
  const app = silent(t, {
    say: () => {
      throw new Error("no luck");
    },
  });
  await flood(t, app.url, 100);
  await app.server.stop();
});

test("faults that are about no client are written as they come", (t) => {
  const entries = logged(t);
  const faults = new Faults(undefined, new Scope(), new Turn());
  for (let number = 0; number < 100; number++) faults.report(new Error("of ours"), "INTERNAL");
  assert.equal(entries.length, 100);
  assert.match(entries[0]?.text ?? "", /^zocket: INTERNAL: Error: of ours\n {4}at /);
});

test("a fault may stand for many: onError gets their count, and the log shows it", (t) => {
  const entries = logged(t);
  const told: unknown[] = [];
  const fault = () => new Error("again");
  for (const faults of [
    new Faults((_, info) => told.push(info), new Scope(), new Turn()),
    new Faults(undefined, new Scope(), new Turn()),
  ]) {
    faults.reportClient(fault, "NO_ROUTE", "id");
    faults.reportClient(fault, "NO_ROUTE", "id", undefined, 1_234);
  }
  assert.deepEqual(told, [
    { code: "NO_ROUTE", clientId: "id" },
    { code: "NO_ROUTE", clientId: "id", count: 1_234 },
  ]);
  const starts = entries.map(({ given }) => given[0]);
  assert.deepEqual(starts, ["zocket: 1 NO_ROUTE, client id:", "zocket: 1234 NO_ROUTE, client id:"]);
});
