// What schemas say is wrong, when that itself is hostile: the one who sent it is told all the same, and nothing ends.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";

import type { StandardSchemaV1 } from "@standard-schema/spec";

import { ask, request } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { soon, until } from "./_wait.ts";

const throws = (): never => {
  throw new Error("from the schema's issues");
};
const fails = (shouldFail: (key: string | symbol, reads: number) => boolean) => {
  let reads = 0;
  return new Proxy([{ message: "wrong" }], {
    get: (target, key, receiver): unknown =>
      shouldFail(key, (reads += 1)) ? throws() : Reflect.get(target, key, receiver),
  });
};

/** Lists of issues, and what is left of them for the one who is told. */
const HOSTILE: Record<
  string,
  [list: () => unknown[], told: { message: string; path?: unknown }[]]
> = {
  "an item that throws": [
    () => Object.defineProperty([1, { message: "wrong" }], 0, { get: throws }),
    [{ message: "" }, { message: "wrong" }],
  ],
  "a proxy whose items throw": [() => fails((key) => key === "0"), [{ message: "" }]],
  "a proxy that throws from the second look on": [() => fails((_, reads) => reads > 1), []],
  "an iterator that throws": [
    () => Object.assign([{ message: "wrong" }], { [Symbol.iterator]: throws }),
    [{ message: "wrong" }],
  ],
  "a message that throws": [
    () => [Object.defineProperty({}, "message", { get: throws })],
    [{ message: "" }],
  ],
  "a message and a path that JSON cannot hold": [
    () => [{ message: 1n, path: [2n, Symbol("key")] }],
    [{ message: "1", path: ["2", "Symbol(key)"] }],
  ],
  "a path with methods of its own": [
    () => [{ message: 1n, path: Object.assign(["key"], { slice: throws, map: throws }) }],
    [{ message: "1", path: ["key"] }],
  ],
  "a cycle": [
    () => {
      const issue: Record<string, unknown> = { message: "wrong" };
      issue["self"] = issue;
      return [issue];
    },
    [{ message: "wrong" }],
  ],
  "a length of four billion": [
    () => Object.assign([], { length: 2 ** 32 - 1 }),
    Array(64).fill({ message: "" }),
  ],
  "an issue for each of very many items": [
    () => Array.from({ length: 100_000 }, (_, index) => ({ message: `wrong ${index}` })),
    Array.from({ length: 64 }, (_, index) => ({ message: `wrong ${index}` })),
  ],
};

describe("issues", () => {
  for (const [what, [list, told]] of Object.entries(HOSTILE)) {
    for (const when of ["at once", "later"]) {
      const validate = () => {
        const result = { issues: list() as StandardSchemaV1.Issue[] };
        return when === "later" ? Promise.resolve(result) : result;
      };
      const hostile = { "~standard": { version: 1, vendor: "specs", validate } } as const;

      test(`that are ${what}, ${when}: a message gets its $error, a request its 400`, async (t) => {
        const app = serve(t, { payload: hostile });
        const client = await Client.open(t, app.url);
        client.say("x");
        const { type, payload } = await client.next();
        const { code, issues } = payload as { code: string; issues: unknown };
        assert.deepEqual([type, code, issues], ["$error", "INVALID_PAYLOAD", told]);
        client.say("y");
        await client.next();
        assert.equal(app.server.metrics().bad.INVALID_PAYLOAD, 2);

        const refusing = serve(t, { headers: hostile });
        const { status, body } = await ask(t, refusing.port, request());
        assert.equal(status, 400);
        const details = told.map((issue) =>
          "path" in issue ? issue : { ...issue, message: "not accepted" },
        );
        assert.deepEqual(JSON.parse(body), { error: "Invalid headers", details });
        await until("onError", () => refusing.errors.length === 1);
        assert.deepEqual(
          [...app.errors, ...refusing.errors].map((error) => error.code),
          ["INVALID_PAYLOAD", "INVALID_PAYLOAD", "HEADERS"],
        );
      });
    }
  }
});

/** Most bytes of a `$error`, and of the 400 for headers. */
const MOST = 16 * 1024;

/** Issues that would be long, and longer still as JSON in UTF-8. */
const LONG: Record<string, unknown[]> = Object.fromEntries(
  Object.entries({
    letters: "x",
    "characters of three bytes": "\u8a9e",
    "surrogate pairs": "\u{1f642}",
    "lone surrogates": "\ud800",
    "control characters": "\0",
    "quotation marks": '"',
  }).flatMap(([what, character]) => {
    const long = character.repeat(2000);
    return [
      [
        `64 paths of 64 steps of ${what}`,
        Array(64).fill({ message: long, path: Array(64).fill(long) }),
      ],
      [`messages of ${what}`, Array(64).fill({ message: long, path: ["field"] })],
      [`one message of ${what}`, [{ message: character.repeat(100_000), path: ["field"] }]],
      [`keys of ${what}`, Array(64).fill({ message: "m", path: [{ key: long }], [long]: long })],
    ];
  }),
);

const found = (issues: unknown) =>
  ({
    "~standard": { version: 1, vendor: "specs", validate: () => ({ issues }) },
  }) as StandardSchemaV1<unknown, Record<string, string>>;

/** The text of the next message. */
async function nextText(client: Client, send: () => void): Promise<string> {
  const text = once(client.socket, "message") as Promise<[Buffer]>;
  send();
  return String((await soon("a message", text))[0]);
}

describe("a $error has 16 KiB at most, and so has the 400 for headers:", () => {
  for (const [what, issues] of Object.entries(LONG)) {
    test(what, async (t) => {
      const app = serve(t, { payload: found(issues) });
      const client = await Client.open(t, app.url);
      const text = await nextText(client, () => client.say("x"));
      const { body } = await ask(t, serve(t, { headers: found(issues) }).port, request());
      for (const [told, list] of [
        [text, JSON.parse(text).payload.issues],
        [body, JSON.parse(body).details],
      ] as const) {
        assert.ok(Buffer.byteLength(told) <= MOST, `${Buffer.byteLength(told)} bytes`);
        assert.ok(list.length > 0);
        assert.ok(list[0].message.length > 0);
      }
    });
  }

  test("issues that are as long as may be are told as they are, and a little longer ones in short", async (t) => {
    let issues: unknown[] = [];
    const list = new Proxy([], { get: (_, key) => Reflect.get(issues, key) as unknown });
    const client = await Client.open(t, serve(t, { payload: found(list) }).url);
    const tell = async (length: number) => {
      issues = [{ message: "m", path: [], more: "\u8a9e".repeat(1000) + "x".repeat(length) }];
      const text = await nextText(client, () => client.say("x"));
      const [told] = JSON.parse(text).payload.issues;
      return { bytes: Buffer.byteLength(text), isWhole: "more" in told };
    };
    const room = MOST - (await tell(0)).bytes;
    for (const length of [0, room - 1, room]) {
      assert.deepEqual(await tell(length), { bytes: MOST - room + length, isWhole: true });
    }
    const { bytes, isWhole } = await tell(room + 1);
    assert.ok(bytes < 200 && !isWhole);
  });

  test("of many issues the last ones are left out, whole", async (t) => {
    const issues = Array.from({ length: 64 }, (_, at) => ({
      message: `${at}`.padEnd(400, "."),
      path: ["field", at],
    }));
    const client = await Client.open(t, serve(t, { payload: found(issues) }).url);
    const text = await nextText(client, () => client.say("x"));
    const told = JSON.parse(text).payload.issues;
    assert.deepEqual(told, issues.slice(0, told.length));
    assert.ok(told.length < 64 && Buffer.byteLength(text) > MOST - 500);
  });

  test("a text is cut between characters", async (t) => {
    const issues = [511, 512].map((length) => ({
      message: `${"x".repeat(length)}\u{1f642}`.padEnd(20_000, "."),
      path: ["field"],
    }));
    const client = await Client.open(t, serve(t, { payload: found(issues) }).url);
    client.say("x");
    const { payload } = await client.next();
    const told = (payload as { issues: { message: string }[] }).issues;
    assert.deepEqual(
      told.map(({ message }) => message),
      ["x".repeat(511), "x".repeat(512)],
    );
  });

  test("the engine's own are shorter, whatever the name of a route that there is not", async (t) => {
    const client = await Client.open(t, serve(t).url);
    const names = [
      ...["\\u0000", "\\u0041", "\\ud83d\\ude42", "\\ud800"].map(
        (it) => [it, it.length / 6] as const,
      ),
      ["x", 1],
      ["\u8a9e", 1],
    ] as const;
    for (const [character, units] of names) {
      for (const count of [300, 1024, 1025, 100_000]) {
        const name = character.repeat(Math.ceil(count / units));
        const send = () => client.socket.send(`{"type":"${name}","payload":1}`);
        const text = await nextText(client, send);
        assert.equal(JSON.parse(text).payload.code, "NO_ROUTE");
        assert.ok(Buffer.byteLength(text) <= 7 * 1024, `${Buffer.byteLength(text)} bytes`);
      }
    }
  });
});
