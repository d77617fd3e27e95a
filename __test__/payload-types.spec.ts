// What a client receives of what the server sends. `Jsonify` says so for types, and each case here holds it to what arrives:
// `received` is typed by `sent`, and compared with what came through a socket.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { WebSocket } from "ws";

import { createServer, createZocketClient, zocket, type Jsonify } from "@zocket/core";

import { anything } from "./_support.ts";
import { soon } from "./_wait.ts";

interface Case<TSent> {
  sent: TSent;
  received: Jsonify<TSent>;
}
const of = <TSent>(sent: TSent, received: Jsonify<TSent>): Case<unknown> => ({ sent, received });

declare const brand: unique symbol;
type UserId = string & { readonly [brand]: "UserId" };
interface Tree {
  at: Date;
  inner: Tree[];
}
class Point {
  #secret = 1;
  x = 1;
  move(): number {
    return this.#secret;
  }
}
class Money {
  readonly #cents = 100;
  toJSON() {
    return { euros: this.#cents / 100, at: new Date(0) };
  }
}
class Refusal extends Error {
  code = 403;
}
const epoch = "1970-01-01T00:00:00.000Z";
const maybe = (value?: string): string | undefined => value;
const visit = (): { kind: "guest" } | { kind: "member"; since: Date } => ({
  kind: "member",
  since: new Date(0),
});
const pair: readonly [Date, ...(string | undefined)[]] = [new Date(0), undefined, "b"];

const cases: Record<string, Case<unknown>> = {
  "text, numbers, booleans and null": of(
    { a: "a", b: 1.5, c: true, d: null },
    { a: "a", b: 1.5, c: true, d: null },
  ),
  "a Date, as text": of(new Date(0), epoch),
  "a Date inside, as text": of({ at: new Date(0) as Date | null }, { at: epoch }),
  "a URL, as text": of({ url: new URL("http://a.b/c") }, { url: "http://a.b/c" }),
  "what toJSON says, as JSON": of({ price: new Money() }, { price: { euros: 1, at: epoch } }),
  "a Buffer, as its toJSON says": of(Buffer.of(1, 2), { type: "Buffer", data: [1, 2] }),
  "typed arrays, by index": of(
    { bytes: Uint8Array.of(7), floats: new Float64Array([0.5]) },
    { bytes: { "0": 7 }, floats: { "0": 0.5 } },
  ),
  "an ArrayBuffer and a DataView, as nothing": of(
    { buffer: new ArrayBuffer(8), view: new DataView(new ArrayBuffer(8)) },
    { buffer: {}, view: {} },
  ),
  "a Map, a Set, a RegExp, a Promise, as nothing": of(
    { map: new Map([["a", 1]]), set: new Set([1]), pattern: /a/, promise: Promise.resolve(1) },
    { map: {}, set: {}, pattern: {}, promise: {} },
  ),
  "an error, without its own words": of({ error: new Error("a") }, { error: {} }),
  "an error's further properties": of({ error: new Refusal("a") }, { error: { code: 403 } }),
  "what only looks like an error": of({ name: "Ada", message: "a" }, { name: "Ada", message: "a" }),
  "a class's own fields": of(new Point(), { x: 1 }),
  "functions, classes, symbols and undefined, left out of objects": of(
    { run: () => 1, type: Point, sign: Symbol("a"), gone: undefined, [Symbol.iterator]: 1, a: 1 },
    { a: 1 },
  ),
  "what may be undefined, left out where it is": of({ a: maybe(), b: maybe("b") }, { b: "b" }),
  "an optional property": of({} as { a?: Date; b?: string }, {}),
  "what may be a function, left out where it is": of(
    { a: (() => 1) as string | (() => number), b: "b" as string | symbol },
    { b: "b" },
  ),
  "null in arrays, for what is left out of objects": of(
    [maybe(), maybe("b"), () => 1, Symbol("a")],
    [null, "b", null, null],
  ),
  "a tuple": of(pair, [epoch, null, "b"]),
  "a tuple with optional elements": of([new Date(0)] as [Date, string?], [epoch]),
  "a branded string": of({ id: "1" as UserId }, { id: "1" as UserId }),
  "a union": of(visit(), { kind: "member", since: epoch }),
  "a record": of({ a: new Date(0) } as Record<string, Date>, { a: epoch }),
  "a record of what may be undefined": of(
    { a: undefined, b: "b" } as Record<string, string | undefined>,
    { b: "b" },
  ),
  "keys that are numbers": of({ 7: new Date(0) }, { 7: epoch }),
  "a recursive type": of<Tree>(
    { at: new Date(0), inner: [{ at: new Date(0), inner: [] }] },
    { at: epoch, inner: [{ at: epoch, inner: [] }] },
  ),
  "what is not known": of<unknown>({ at: new Date(0) }, { at: epoch }),
  "a property that is not known, left out where it is undefined": of(
    { a: undefined as unknown, b: 1 as unknown },
    { b: 1 },
  ),
  "numbers that JSON lacks, which types do not tell": of<unknown>(
    { a: NaN, b: Infinity, c: -0 },
    { a: null, b: null, c: 0 },
  ),
};

describe("a client receives", () => {
  for (const [what, { sent, received }] of Object.entries(cases)) {
    test(what, async (t) => {
      const zo = zocket.create({ headers: anything<object>() });
      const routes = {
        ask: zo.message.incoming({ payload: anything<undefined>() }),
        onAnswer: zo.message.outgoing({ payload: anything<unknown>() }),
      };
      const router = zo.router(routes, {
        ask: ({ ctx }) => ctx.send.onAnswer(sent).to(ctx.clientId),
      });
      const server = createServer(router, zo, { port: 0, hostname: "127.0.0.1" });
      t.after(() => server.stop(true));
      const client = createZocketClient<typeof router>(server.url, { WebSocket });
      t.after(() => client.close());
      const answer = new Promise<unknown>((resolve) => client.on.onAnswer(resolve));
      client.send.ask();
      assert.deepEqual(await soon("the answer", answer), received);
    });
  }

  test("nothing where nothing was sent", async (t) => {
    const zo = zocket.create({ headers: anything<object>() });
    const routes = { onAnswer: zo.message.outgoing({ payload: anything<undefined>() }) };
    const server = createServer(zo.router(routes, {}), zo, { port: 0, hostname: "127.0.0.1" });
    t.after(() => server.stop(true));
    const client = createZocketClient<typeof routes>(server.url, { WebSocket });
    t.after(() => client.close());
    const answer = new Promise<unknown[]>((resolve) => {
      client.on.onAnswer((...payloads) => resolve(payloads));
    });
    await soon("the open connection", new Promise<void>((resolve) => client.onOpen(resolve)));
    server.send.onAnswer().broadcast();
    assert.deepEqual(await soon("the answer", answer), [undefined]);
  });

  test("no bigint: sending it throws", (t) => {
    const zo = zocket.create({ headers: anything<object>() });
    const routes = { onAnswer: zo.message.outgoing({ payload: anything<{ n: bigint }>() }) };
    const server = createServer(zo.router(routes, {}), zo, { port: 0, hostname: "127.0.0.1" });
    t.after(() => server.stop(true));
    assert.throws(() => server.send.onAnswer({ n: 1n }), TypeError);
    const received: Jsonify<{ n: bigint }> | undefined = undefined;
    // @ts-expect-error there is no such value
    const impossible: Jsonify<{ n: bigint }> = { n: 1 };
    assert.notDeepEqual(impossible, received);
  });
});
