// What the 400 tells of headers that a schema refused: enough for the one who wrote the client, and nothing of what a browser or a
// proxy added to the request.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";

import { ask, request } from "./_raw.ts";
import { serve, type Headers } from "./_support.ts";

const SECRET = "secret-of-the-proxy";
const OWN = "what-the-client-said";

type Schema = StandardSchemaV1<unknown, Headers>;
type Detail = { message: string; path?: unknown[] };

const byHand = (validate: (headers: Headers) => unknown) =>
  ({ "~standard": { version: 1, vendor: "specs", validate } }) as Schema;
const quoting =
  (path: unknown[], field = "") =>
  (headers: Headers) => ({
    issues: [{ message: JSON.stringify(headers[field] ?? headers), path, input: headers }],
  });
/** A schema of any library: what comes out of it does not matter here. */
const any = (schema: unknown) => schema as Schema;

/** Schemas that refuse the field `x-user`. */
const REFUSING_FIELD: Record<string, Schema> = {
  "Zod 4": any(z.object({ "x-user": z.enum(["a", "b"]) })),
  "Zod 4, a message that quotes": any(
    z.object({ "x-user": z.string().refine(() => false, { error: (it) => `got ${it.input}` }) }),
  ),
  "Zod 4, a union": any(
    z.object({
      "x-user": z.union([z.literal("a"), z.string().regex(/^b/)]),
    }),
  ),
  "Zod 4, asynchronous": any(z.object({ "x-user": z.string().refine(async () => false) })),
  "Zod 4, JSON in it": any(
    z.object({
      "x-user": z
        .string()
        .transform((text) => ({ [text]: text }) as object as Record<string, number>)
        .pipe(z.record(z.string(), z.number())),
    }),
  ),
  "Valibot 1": any(v.object({ "x-user": v.picklist(["a", "b"]) })),
  "Valibot 1, a union": any(v.object({ "x-user": v.union([v.literal("a"), v.literal("b")]) })),
  "Valibot 1, asynchronous": any(v.objectAsync({ "x-user": v.picklist(["a", "b"]) })),
  "ArkType 2": any(type({ "x-user": "'a' | 'b'" })),
  "ArkType 2, a pattern": any(type({ "x-user": /^a+$/ })),
  "a schema written by hand": byHand(quoting(["x-user"], "x-user")),
  "a schema written by hand, later": byHand(async (headers) =>
    quoting(["x-user"], "x-user")(headers),
  ),
  "a schema written by hand, in capitals": byHand(quoting(["X-User"], "x-user")),
  "a schema written by hand, by an object": byHand(
    quoting([{ key: "X-USER", value: SECRET }, SECRET], "x-user"),
  ),
};

/** Schemas that refuse the headers as a whole. */
const REFUSING_WHOLE: Record<string, Schema> = {
  "Zod 4, a check of the object": any(
    z.looseObject({}).refine(() => false, { error: (it) => JSON.stringify(it.input) }),
  ),
  "Zod 4, a union of objects": any(
    z.union([z.object({ a: z.string() }), z.object({ b: z.string() })]),
  ),
  "Valibot 1, a type": any(v.record(v.string(), v.pipe(v.string(), v.maxLength(1)))),
  "ArkType 2, a narrowed object": any(
    type({ "x-user": "string" }).narrow((_, ctx) => ctx.reject("else")),
  ),
  "ArkType 2, an array": any(type("string[]")),
  "a schema written by hand": byHand(quoting([])),
  "a schema written by hand, with no array as the path": byHand(
    quoting("role" as unknown as unknown[]),
  ),
  "a schema written by hand, without a path": byHand(({ ...headers }) => ({
    issues: [{ message: JSON.stringify(headers), issues: [{ message: SECRET, path: ["role"] }] }],
  })),
};

async function detailsOf(
  t: Parameters<typeof serve>[0],
  headers: Schema,
  changes: Parameters<typeof request>[0] = { "X-User": SECRET },
  target = `/?role=${OWN}`,
  options = {},
): Promise<{ details: Detail[]; body: string }> {
  const app = serve(t, { headers, options });
  const { status, body } = await ask(t, app.port, request(changes, `GET ${target} HTTP/1.1`));
  assert.equal(status, 400);
  assert.equal(app.connects.length, 0);
  // `onError` is the application's own, and is told everything.
  const told = app.errors[0]?.error as { issues?: unknown[] } | undefined;
  assert.ok(told?.issues?.length);
  const { error, details, ...rest } = JSON.parse(body);
  assert.deepEqual([error, rest], ["Invalid headers", {}]);
  for (const detail of details) {
    assert.deepEqual(
      Object.keys(detail).filter((key) => key !== "path"),
      ["message"],
    );
  }
  return { details, body };
}

describe("a 400 for headers", () => {
  for (const [what, schema] of Object.entries(REFUSING_FIELD)) {
    test(`(${what}) says of a real header that it is not accepted, and nothing of its value`, async (t) => {
      const { details, body } = await detailsOf(t, schema);
      assert.ok(!body.includes(SECRET) && !body.includes(OWN), body);
      assert.equal(details.length, 1);
      assert.equal(details[0]?.message, "not accepted");
      const [field, ...deeper] = details[0]?.path ?? [];
      assert.match(String(Object(field).key ?? field), /^x-user$/i);
      assert.deepEqual(deeper, []);
      // The same where the client named nothing, so that all headers are real.
      assert.equal((await detailsOf(t, schema, undefined, "/")).body, body);
    });

    test(`(${what}) says what is wrong with a field that the client named`, async (t) => {
      // A real header of that name would win, and then it is not the client's.
      const { details } = await detailsOf(t, schema, {}, `/?x-user=${OWN}`);
      assert.notEqual(details[0]?.message, "not accepted");
      const { details: mixed, body } = await detailsOf(t, schema, undefined, `/?X-User=${OWN}`);
      assert.equal(mixed[0]?.message, "not accepted");
      assert.ok(!body.includes(SECRET));
    });
  }

  for (const [what, schema] of Object.entries(REFUSING_WHOLE)) {
    test(`(${what}) tells nothing of an issue about all of them`, async (t) => {
      const { details, body } = await detailsOf(t, schema);
      assert.ok(!body.includes(SECRET), body);
      assert.ok(details.length > 0);
      for (const { message, path } of details) {
        assert.ok(path !== undefined || message === "not accepted");
      }
    });
  }

  const MISSING: Record<string, Schema> = {
    "Zod 4": any(z.object({ token: z.string() })),
    "Zod 4, asynchronous": any(z.object({ token: z.string().refine(async () => true) })),
    "Valibot 1": any(v.object({ token: v.string() })),
    "ArkType 2": any(type({ token: "string" })),
  };
  for (const [what, schema] of Object.entries(MISSING)) {
    test(`(${what}) says of a missing field what the library says`, async (t) => {
      const { details, body } = await detailsOf(t, schema);
      assert.ok(!body.includes(SECRET) && !body.includes(OWN), body);
      assert.equal(details.length, 1);
      assert.match(details[0]?.message ?? "", /string|token/);
      const field = details[0]?.path?.[0];
      assert.equal(Object(field).key ?? field, "token");
    });
  }

  test("says nothing of a value that a schema complains about under another name", async (t) => {
    const renamed: Record<string, Schema> = {
      "Valibot 1": any(
        v.pipe(
          v.object({ "x-user": v.string() }),
          v.transform((it) => ({ user: it["x-user"] })),
          v.object({ user: v.picklist(["a"]) }),
        ),
      ),
      "ArkType 2": any(
        type({ "x-user": "string" })
          .pipe((it) => ({ user: it["x-user"] }))
          .to({ user: "'a'" }),
      ),
    };
    for (const [what, schema] of Object.entries(renamed)) {
      for (const value of [SECRET, SECRET + "x".repeat(2000)]) {
        const { details, body } = await detailsOf(t, schema, { "X-User": value });
        assert.ok(!body.includes(SECRET), `${what}: ${body}`);
        assert.equal(details[0]?.message, "not accepted");
      }
    }
  });

  test("knows a real header by a name that is too long to be told", async (t) => {
    const name = `x-${"long".repeat(200)}`;
    const { details, body } = await detailsOf(t, byHand(quoting([name], name)), { [name]: "ada" });
    assert.ok(!body.includes("ada"));
    assert.equal(details[0]?.message, "not accepted");
  });

  test("knows real headers that the schema took out of what it was given", async (t) => {
    const taking = byHand((headers) => {
      const issues = quoting(["x-user"], "x-user")({ ...headers });
      for (const name of Object.keys(headers)) delete headers[name];
      return issues;
    });
    // Also where the client named nothing, so that all of them are real.
    for (const target of [`/?role=${OWN}`, "/"]) {
      const { details } = await detailsOf(t, taking, undefined, target);
      assert.deepEqual(details, [{ message: "not accepted", path: ["x-user"] }], target);
    }
  });

  const named = any(z.object({ role: z.enum(["a"]) }));
  test("has no issues for a page of another site", async (t) => {
    for (const Origin of ["https://evil.example", "null", "http://localhost:1"]) {
      const { details } = await detailsOf(t, named, { Origin });
      assert.deepEqual(details, []);
    }
  });

  test("has issues for the server's own pages and for those that are let in", async (t) => {
    const lets = ["https://app.example"];
    for (const [Origin, options] of [
      ["http://localhost", {}],
      ["https://app.example", { allowedOrigins: lets }],
      ["https://app.example", { allowedOrigins: () => true }],
    ] as const) {
      const { details } = await detailsOf(t, named, { Origin }, undefined, options);
      assert.equal(details.length, 1);
      assert.notEqual(details[0]?.message, "not accepted");
    }
  });
});
