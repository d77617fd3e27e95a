// What schemas say is wrong, when that itself is hostile: the one who sent it is told all the same, and nothing ends.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { StandardSchemaV1 } from "@standard-schema/spec";

import { ask, request } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { until } from "./_wait.ts";

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
const HOSTILE: Record<string, [list: () => unknown[], told: unknown[]]> = {
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
        assert.deepEqual(JSON.parse(body), { error: "Invalid headers", details: told });
        await until("onError", () => refusing.errors.length === 1);
        assert.deepEqual(
          [...app.errors, ...refusing.errors].map((error) => error.code),
          ["INVALID_PAYLOAD", "INVALID_PAYLOAD", "HEADERS"],
        );
      });
    }
  }
});
