// What handlers do with their argument, and that `signal` and `fail` survive it.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { runInThisContext } from "node:vm";

import { createServer, zocket } from "@zocket/core";
import { z } from "zod";

import { usesOf } from "../dist/messages/run.js";
import { Line } from "./_line.ts";
import { latch, until } from "./_wait.ts";

const { message, router } = zocket.create({ headers: z.object({}) });
const errors = { NO: z.undefined() };
const routes = {
  plain: message.incoming({ payload: z.string() }),
  call: message.incoming({ payload: z.string(), reply: z.string(), errors }),
};

interface Argument {
  readonly payload: string;
  readonly ctx: { readonly clientId: string };
  readonly signal: AbortSignal;
  readonly fail: (code: "NO") => Error;
}

type Hand = (message: Argument) => Promise<string>;

/** Handlers that hand on what they get. */
const WAYS: Record<string, (hand: Hand) => Hand> = {
  "passes it on": (hand) => (message) => hand(message),
  "spreads it": (hand) => (message) => hand({ ...message }),
  "assigns it": (hand) => (message) => hand(Object.assign({}, message)),
  "takes the rest of it": (hand) => {
    return ({ payload, ...rest }) => hand({ payload, ...rest });
  },
  "takes it out of arguments": (hand) => {
    return function ({ payload }) {
      // oxlint-disable-next-line prefer-rest-params -- the case under test
      return hand({ ...(arguments[0] as Argument), payload });
    };
  },
  "copies its entries": (hand) => (message) => {
    return hand(Object.fromEntries(Object.entries(message)) as never);
  },
  "takes names out of it": (hand) => {
    return ({ payload, ctx, signal, fail }) => hand({ payload, ctx, signal, fail });
  },
};

function serve(t: TestContext, way: (hand: Hand) => Hand) {
  const seen: Argument[] = [];
  const open = latch();
  const hand = async (given: Argument) => {
    seen.push(given);
    await open.promise;
    if (given.payload === "fail") throw given.fail("NO");
    return given.payload;
  };
  const zo = zocket.create({ headers: z.object({}) });
  const handler = way(hand) as never;
  const server = createServer(router(routes, { plain: handler, call: handler }), zo, {
    port: 0,
    hostname: "127.0.0.1",
    onError: () => {},
  });
  t.after(() => server.stop(true));
  return { server, seen, open: open.open };
}

describe("a handler that", () => {
  for (const [name, way] of Object.entries(WAYS)) {
    test(`${name} keeps signal and fail`, async (t) => {
      const { server, seen, open } = serve(t, way);
      const line = await Line.open(t, server);
      line.say({ id: 1, type: "call", payload: "one" });
      line.say({ id: 2, type: "call", payload: "fail" });
      line.say({ type: "plain", payload: "three" });
      await until("the handlers", () => seen.length === 3);
      for (const { payload, ctx, signal, fail } of seen) {
        assert.ok(signal instanceof AbortSignal && !signal.aborted, payload);
        assert.equal(typeof fail, "function");
        assert.equal(typeof ctx.clientId, "string");
      }
      line.say({ id: 1, type: "$abort" });
      await until("the abort", () => seen[0]?.signal.aborted);
      open();
      const { payload } = await line.end(2);
      assert.equal((payload as { code: string }).code, "NO");
      assert.equal(seen[1]?.signal.aborted, false);
    });
  }

  test("copies its argument has the same signal in the copy", async (t) => {
    const pairs: (readonly [AbortSignal, AbortSignal])[] = [];
    const app = router(routes, {
      plain: (message) => void pairs.push([{ ...message }.signal, message.signal]),
      call: (message) => {
        pairs.push([{ ...message }.signal, message.signal]);
        return "";
      },
    });
    const zo = zocket.create({ headers: z.object({}) });
    const server = createServer(app, zo, { port: 0, hostname: "127.0.0.1" });
    t.after(() => server.stop(true));
    const line = await Line.open(t, server);
    line.say({ type: "plain", payload: "" });
    line.say({ id: 1, type: "call", payload: "" });
    await line.end(1);
    assert.equal(pairs.length, 2);
    for (const [copied, own] of pairs) assert.equal(copied, own);
  });
});

describe("the source of a handler", () => {
  const names = [
    "({ payload }) => payload",
    "async ({ payload, ctx }) => {}",
    "async({payload}) => {}",
    "({ payload: text, ctx: $_1 }, more) => {}",
    "({\n  payload,\n  ctx,\n}) => {}",
    "function ({ payload }) {}",
    "function named({ payload }) {}",
    "async function named ({ payload }) {}",
    "function* ({ payload }) {}",
    "async function* named({ payload }) {}",
    "({ payload } = {}) => {}",
    "({}) => {}",
  ];
  const methods = [
    "say({ payload }) {}",
    "async say({ payload }) {}",
    "async *say({ payload }) {}",
  ];
  const others = [
    "(message) => {}",
    "message => {}",
    "() => {}",
    "(...all) => {}",
    "({ payload, ...rest }) => {}",
    "({ payload /* } */, ...rest }) => {}",
    "({ payload = {}, ...rest }) => {}",
    '({ payload = "}", ...rest }) => {}',
    "({ payload: { text }, ...rest }) => {}",
    "function ({ payload }) { return arguments[0]; }",
    "function ({ payload }) { return eval(payload); }",
    "function (message) {}",
    "(function (message) {}).bind(null)",
    "Math.max",
    "new Proxy(({ payload }) => {}, {})",
  ];
  /** A function with exactly this source, where it is one. */
  const made = (source: string) => runInThisContext(`(${source})`) as unknown;
  const method = (source: string) => (made(`{ ${source} }`) as { say: unknown }).say;

  test("says whether it can only read properties by their names", () => {
    for (const source of names) assert.equal(usesOf(made(source)).copies, false, source);
    for (const source of methods) assert.equal(usesOf(method(source)).copies, false, source);
    for (const source of others) assert.equal(usesOf(made(source)).copies, true, source);
    assert.equal(usesOf(method("say(message) {}")).copies, true);
  });

  test("says whether it can read the context", () => {
    const without = ["({ payload }) => payload", "async ({ payload, fail }) => {}", "({}) => {}"];
    const reading = ["({ payload, ctx }) => {}", "({\n  ctx: context,\n}) => {}", ...others];
    for (const source of without) assert.equal(usesOf(made(source)).takesContext, false, source);
    for (const source of reading) assert.equal(usesOf(made(source)).takesContext, true, source);
  });
});
