// Text in a payload is left to the engine to escape: what arrives must be what `JSON.stringify` makes, to the byte.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";

import { createServer, zocket, type ZocketServer } from "@zocket/core";
import { WebSocket } from "ws";

import { Pieces, serialise } from "../dist/border/payload.js";
import { Child } from "./_child.ts";
import { anything } from "./_talk.ts";
import { soon } from "./_wait.ts";

const zo = zocket.create({ headers: anything });
const app = zo.router({ said: zo.message.outgoing({ payload: anything }) }, {});
let server: ZocketServer<typeof app>;
let client: WebSocket;

before(async () => {
  server = createServer(app, zo, { port: 0, maxBackpressure: 2 ** 30 });
  client = new WebSocket(server.url);
  await once(client, "open");
});
after(async () => {
  client.close();
  await server.stop();
});

/** The payloads of the next messages the client gets: JSON text, `undefined` for none. */
async function collect(count: number, send: () => void): Promise<(string | undefined)[]> {
  const start = '{"type":"said"';
  const texts: (string | undefined)[] = [];
  const all = new Promise<void>((resolve) => {
    client.on("message", (data: Buffer) => {
      const text = data.toString();
      assert.ok(text.startsWith(start) && text.endsWith("}"));
      const rest = text.slice(start.length, -1);
      texts.push(rest === "" ? undefined : rest.slice(',"payload":'.length));
      if (texts.length === count) resolve();
    });
  });
  send();
  await soon(`${count} messages`, all);
  client.removeAllListeners("message");
  return texts;
}

/** What the client gets of these payloads. */
const received = (...payloads: readonly unknown[]) =>
  collect(payloads.length, () => {
    for (const payload of payloads) server.send.said(payload).broadcast();
  });

/** The JSON that the engine makes of a payload that was serialised. */
function json(payload: unknown): string | undefined {
  const serialised = serialise(payload);
  if (!(serialised instanceof Pieces)) return serialised as string | undefined;
  const joined = serialised.texts.join("");
  assert.equal(serialised.length, joined.length);
  const words = serialised.words.slice(0, serialised.count).values();
  const word = () => words.next().value as number;
  let text = "";
  let at = 0;
  for (const head of words) {
    const kind = head >>> 29;
    if (kind === 2) text += word();
    else if (kind === 3) text += new Float64Array(Int32Array.of(word(), word()).buffer)[0];
    else {
      const piece = joined.slice(at, at + (head & 0x1fff_ffff));
      text += kind === 1 ? JSON.stringify(piece).slice(1, -1) : piece;
      at += piece.length;
    }
  }
  assert.equal(at, joined.length);
  return text;
}

const long = "some words ".repeat(200);
const everyUnit = Array.from({ length: 0x1_0000 }, (_, unit) =>
  // Surrogates in pairs.
  unit >= 0xd800 && unit < 0xe000 ? "😀" : String.fromCharCode(unit),
).join("");

describe("a payload with text arrives as JSON.stringify has it, taken as it is", () => {
  const cases: Record<string, unknown> = {
    "a text": long,
    "a text of every character": everyUnit,
    "a text that grows six times": "\u0001".repeat(300_000),
    "a text that fills the buffer": "\n".repeat(170_000),
    "a text among others": { a: 1, text: long, b: [1, "x"], more: long + '"', c: null },
    "a text alone": { text: everyUnit },
    "keys that need escaping": { 'a"b\n': long, é: "\ud800" },
    "keys that are numbers": { z: 1, text: long, 2: "two", 1: long },
    "values that JSON leaves out": {
      a: undefined,
      b: () => 1,
      c: Symbol("c"),
      text: long,
      d: undefined,
    },
    "nothing but values that JSON leaves out": { a: undefined, text: long },
    "values with a toJSON": {
      at: new Date(0),
      key: { toJSON: (key: string) => `at ${key}` },
      gone: { toJSON: () => undefined },
      text: long,
    },
    "objects of any kind": {
      map: new Map([[1, 2]]),
      boxed: new String(long),
      list: [long],
      text: long,
    },
    "a key __proto__": JSON.parse(`{"__proto__":{"a":1},"text":"${long}"}`),
    "a long key __proto__": JSON.parse(`{"a":1,"__proto__":"${long}"}`),
    "a key toJSON that is undefined": { toJSON: undefined, text: long },
    "numbers of all kinds": { a: -0, b: NaN, c: Infinity, d: 1e21, e: 0.1, text: long },
    "a getter": {
      get text() {
        return long;
      },
    },
    "symbol keys": { [Symbol("s")]: 1, text: long },
    "more text than is taken that way": { a: "x".repeat(4_000_000), b: "y\n".repeat(500_000) },
  };
  for (const [name, payload] of Object.entries(cases)) {
    test(name, async () => {
      const [text] = await received(payload);
      assert.ok(text === JSON.stringify(payload));
      assert.ok(serialise(payload) instanceof Pieces);
    });
  }
});

describe("a small payload arrives as JSON.stringify has it", () => {
  const cases: Record<string, unknown> = {
    "nothing in it": {},
    "a flat object": { n: 1, text: "hello", ok: true, not: false, none: null },
    "numbers of all kinds": {
      a: -0,
      b: NaN,
      c: -Infinity,
      d: 1e21,
      e: 5e-324,
      f: 2 ** 53,
      g: -1.5,
    },
    "keys that need escaping": { 'a"b\\\n': 1, é: 2, "\ud800": 3, "\u2028": 4, "": 5 },
    "keys that are numbers": { z: 1, 2: "two", 1: "one" },
    "a key __proto__": JSON.parse('{"__proto__":"x","a":1}'),
    "a key constructor": { constructor: "x", a: 1 },
    "a key toJSON": { toJSON: "x", a: 1 },
    "a toJSON that is undefined": { toJSON: undefined, a: 1 },
    "values that JSON leaves out": { a: undefined, b: () => 1, c: Symbol("c"), d: 4 },
    "values with a toJSON": { at: new Date(0), a: 1 },
    "symbol keys": { [Symbol("s")]: 1, a: "b" },
    "many values": Object.fromEntries(
      Array.from({ length: 40 }, (_, at) => [`k${at}`, at % 2 ? "x" : 0.5]),
    ),
    "objects in it": { a: { b: [1, "c"] }, d: [] },
    "what is not enumerable": Object.defineProperty({ a: 1 }, "b", { value: 2 }),
    "a boxed text": { a: new String("b"), n: new Number(1) },
    "an object frozen": Object.freeze({ a: "b" }),
    "no prototype": Object.assign(Object.create(null), { a: "b" }),
    "a prototype with properties": Object.assign(Object.create({ inherited: 1 }), { a: "b" }),
  };
  for (const [name, payload] of Object.entries(cases)) {
    test(name, async () => assert.deepEqual(await received(payload), [JSON.stringify(payload)]));
  }

  test("long texts, whose length counts too", () => {
    for (const payload of [long, { a: long, b: 1, c: long }, { a: long, b: [1], c: long }]) {
      assert.ok(serialise(payload) instanceof Pieces);
      assert.equal(json(payload), JSON.stringify(payload));
    }
  });

  test("a text of each single character", () => {
    for (let unit = 0; unit < 0x1_0000; unit += 1) {
      const payload = { a: 1, text: `x${String.fromCharCode(unit)}y`, b: 2 };
      assert.equal(json(payload), JSON.stringify(payload));
    }
  });

  for (const [name, descriptor] of Object.entries({
    "a property": { value: "x" },
    "a long text": { value: long },
    "a getter that throws": {
      get: () => assert.fail("read"),
    },
  })) {
    test(`with ${name} on Object.prototype, which is not its own`, () => {
      const shape = { ...descriptor, enumerable: true, configurable: true };
      Object.defineProperty(Object.prototype, "polluted", shape);
      try {
        for (const payload of [{ a: "b" }, { a: undefined, b: 1 }, { a: [1], b: '"' }]) {
          assert.equal(json(payload), JSON.stringify(payload));
        }
      } finally {
        delete (Object.prototype as { polluted?: unknown }).polluted;
      }
    });
  }

  test("after one with other keys, or the same in other places", () => {
    const names = Array.from({ length: 20 }, (_, n) => `key ${n}`);
    for (let n = 0; n < 400; n += 1) {
      const start = (n * 7) % 20;
      const some = [...names.slice(start), ...names.slice(0, start)].slice(0, n % 21);
      const payload = Object.fromEntries(some.map((name, at) => [name, at % 2 ? name : at]));
      assert.equal(json(payload), JSON.stringify(payload));
    }
  });

  test("with more keys than are remembered", () => {
    for (let n = 0; n < 10_000; n += 1) {
      const payload = { [`key "${n}"`]: n };
      assert.equal(json(payload), JSON.stringify(payload));
    }
  });

  test("with keys of any length, alone and among others", () => {
    for (const length of [63, 64, 65, 1_000]) {
      for (const unit of ["k", '"', "é", "\ud800"]) {
        const key = unit.repeat(length);
        for (const payload of [{ [key]: 1 }, { a: "x", [key]: "y", b: 2 }, { [key]: long, a: 1 }]) {
          assert.equal(json(payload), JSON.stringify(payload));
        }
      }
    }
  });
});

test("keys that clients choose are not remembered when they are long", async (t) => {
  const child = Child.node(
    t,
    `const server = createServer(router, zo, local);
     // Twice: V8 lets go of the shapes of such objects, and with them of the keys, only then.
     const heap = () => { gc(); gc(); return process.memoryUsage().heapUsed; };
     const send = (payload) => server.send.said(payload).broadcast();
     send({ key: 1 });
     const before = heap();
     for (let n = 0; n < 4_100; n++) send({ [n + "x".repeat(50_000)]: 1 });
     send(Object.fromEntries(Array.from({ length: 60 }, (_, n) => [n + "y".repeat(500_000), n])));
     send({ key: 1 });
     // The buffers let go of what they hold once that is handed over.
     await new Promise(setImmediate);
     console.log("grown " + (heap() - before) + ";");
     await server.stop();`,
    ["--expose-gc"],
  );
  const grown = Number(await child.printed(/grown (-?\d+);/));
  t.diagnostic(`the heap grew by ${grown} bytes`);
  assert.ok(grown < 8 * 2 ** 20, `${grown} bytes`);
  await child.endsWell();
});

test("numbers arrive as JSON.stringify has them", async () => {
  const numbers = [
    0,
    -0,
    1,
    -1,
    0.1,
    1 / 3,
    1e21,
    1e-7,
    2 ** 31,
    2 ** 31 - 1,
    -(2 ** 31),
    2 ** 53,
    5e-324,
    NaN,
  ];
  for (let n = 0; n < 5_000; n += 1) {
    numbers.push(
      n,
      Date.now() + n,
      (Math.random() - 0.5) * 10 ** ((n % 640) - 320),
      Math.fround(n / 7),
    );
  }
  const payloads = numbers.map((n, at) => ({ n, text: at % 2 ? "x" : "é", more: -n, last: true }));
  const all = await received(...payloads);
  for (const [at, payload] of payloads.entries()) {
    assert.equal(all[at], JSON.stringify(payload));
    assert.equal(json(payload), JSON.stringify(payload));
  }
});

test("a payload whose getter sends arrives whole, and so does what it sent", async () => {
  const inner = { b: "inner", n: 2 };
  let reads = 0;
  const outer = {
    a: "outer",
    n: 1.5,
    get more() {
      reads += 1;
      if (reads === 1) server.send.said(inner).broadcast();
      return 3;
    },
    c: "end",
  };
  const texts = await collect(2, () => server.send.said(outer).broadcast());
  assert.deepEqual(texts, [JSON.stringify(inner), '{"a":"outer","n":1.5,"more":3,"c":"end"}']);
});

test("payloads of one batch are told apart, whatever characters they have", async () => {
  const texts = [
    "plain",
    "é",
    "€uro",
    "😀",
    "\n",
    '"',
    "",
    "\ud83d",
    long,
    "ж".repeat(9_000),
    everyUnit,
  ];
  const payloads = texts.flatMap((a) =>
    texts.map((b) => ({ a, n: 1, b, more: a.length > 9_000 ? [a] : null })),
  );
  const all = await received(...payloads, ...texts);
  const expected = [...payloads, ...texts].map((payload) => JSON.stringify(payload));
  assert.ok(all.every((text, at) => text === expected[at]));
});

describe("a payload that only looks like it arrives as JSON.stringify has it", () => {
  class Message {
    text = long;
    toJSON() {
      return "short";
    }
  }
  const cases: Record<string, unknown> = {
    "a lone surrogate": { text: `${long}\ud800` },
    "an object with a toJSON": { text: long, toJSON: () => "short" },
    "an object with a toJSON that is no function": { text: long, toJSON: 1 },
    "a class instance": new Message(),
    "an array": [long],
    "an array with the prototype of objects": Object.setPrototypeOf([long], Object.prototype),
    "a text too long": "x".repeat(5_000_000),
    "an object without prototype": Object.assign(Object.create(null), { text: long }),
    nothing: undefined,
    "a function": () => long,
  };
  for (const [name, payload] of Object.entries(cases)) {
    test(name, async () => {
      const [text] = await received(payload);
      assert.ok(text === JSON.stringify(payload));
      assert.ok(!(serialise(payload) instanceof Pieces));
    });
  }
});

test("a payload may hide a toJSON of all objects; what is in it does not", () => {
  const payload = { toJSON: undefined, a: 1, text: long, b: { c: 1 }, d: '"' };
  Object.defineProperty(Object.prototype, "toJSON", {
    value: (key: string) => `at ${key}`,
    configurable: true,
  });
  try {
    assert.ok(serialise(payload) instanceof Pieces);
    assert.equal(json(payload), JSON.stringify(payload));
  } finally {
    delete (Object.prototype as { toJSON?: unknown }).toJSON;
  }
});

test("a payload with long text that JSON cannot hold throws what JSON.stringify throws", () => {
  const cycle: Record<string, unknown> = { text: long };
  cycle["self"] = cycle;
  const thrower = {
    text: long,
    get broken(): string {
      throw new RangeError("mine");
    },
  };
  assert.throws(() => serialise(cycle), TypeError);
  assert.throws(() => serialise({ text: long, big: 1n }), TypeError);
  assert.throws(() => serialise(thrower), new RangeError("mine"));
});
