// What the owner hears when the origin rule withholds headers: once, and with the remedies.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createServer, zocket } from "@zocket/core";

import { Raw, request } from "./_raw.ts";
import { anything, serve } from "./_support.ts";
import { until } from "./_wait.ts";

type Fields = Record<string, string>;

async function admitted(t: TestContext, port: number, fields: Fields): Promise<void> {
  const raw = new Raw(t, port);
  raw.write(request(fields));
  assert.equal((await raw.answer()).status, 101);
}

const WITHHELD = { Host: "backend:3000", Origin: "https://app.example", Cookie: "a=secret" };

describe("headers that are withheld", () => {
  test("are told once to onError, as ORIGIN, with the two hosts and the remedies", async (t) => {
    const { port, errors } = serve(t);
    for (let i = 0; i < 3; i += 1) await admitted(t, port, WITHHELD);
    const [told, ...others] = errors;
    assert.deepEqual(others, []);
    assert.equal(told?.code, "ORIGIN");
    assert.ok(told.error instanceof Error);
    const { message } = told.error;
    for (const part of ['"app.example"', '"backend:3000"', "trustProxy", "allowedOrigins"]) {
      assert.ok(message.includes(part), message);
    }
    assert.ok(!message.includes("secret"), message);
  });

  test("are told in one line of the default log, however much else it has to say", async (t) => {
    const lines: string[] = [];
    t.mock.method(console, "error", (...parts: unknown[]) => lines.push(parts.join(" ")));
    const zo = zocket.create({
      headers: anything<Fields>(),
      onConnect: () => {
        throw new Error("go away");
      },
    });
    const server = createServer(zo.router({}, {}), zo, { port: 0, hostname: "127.0.0.1" });
    t.after(() => server.stop(true));
    for (let i = 0; i < 20; i += 1) {
      const raw = new Raw(t, server.port);
      raw.write(request(i < 15 ? {} : { ...WITHHELD, Origin: "https://a\u009b.example" }));
      await raw.answer();
    }
    await until("the line", () => lines.some((line) => line.includes("trustProxy")));
    const told = lines.filter((line) => line.includes("trustProxy"));
    assert.equal(told.length, 1);
    assert.match(told[0] ?? "", /^zocket: ORIGIN: .*backend:3000/);
    assert.doesNotMatch(told[0] ?? "", /[\n\u009b]/);
  });

  test("are not told of where nothing is withheld", async (t) => {
    const { port, errors } = serve(t);
    // What every browser sends.
    const page = { Origin: "https://app.example", "Cache-Control": "no-cache", Pragma: "no-cache" };
    await admitted(t, port, { ...page, "User-Agent": "a browser", "Accept-Language": "en" });
    await admitted(t, port, { Host: "app.example", Origin: "https://app.example", Cookie: "a=1" });
    await admitted(t, port, { Cookie: "a=1", "X-Forwarded-For": "203.0.113.7" });
    assert.deepEqual(errors, []);
    for (const allowedOrigins of [["https://app.example"], () => true]) {
      const ruled = serve(t, { options: { allowedOrigins } });
      await admitted(t, ruled.port, WITHHELD);
      assert.deepEqual(ruled.errors, []);
    }
  });

  test("are told of for `null` and for an origin without a host", async (t) => {
    for (const origin of ["null", "nonsense", ""]) {
      const { port, errors } = serve(t);
      await admitted(t, port, { ...WITHHELD, Origin: origin });
      assert.equal(errors.length, 1);
      assert.ok(String(errors[0]?.error).includes(`"${origin}"`));
    }
  });
});
