// What the dispatcher does when the engine, a schema or `onError` misbehaves in ways no real server can be made to: against
// an engine that the test plays itself.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";

import { zocket } from "@zocket/core";

import { BAD, HEAD, MESSAGE, PIECE } from "../dist/border/codes.js";
import type { Upgrade } from "../dist/connections/upgrade.js";
import { serve } from "../dist/server/serve.js";
import { Turn } from "../dist/user-code/turn.js";
import { anything, schema } from "./_talk.ts";
import { until } from "./_wait.ts";

const OPCODES: Record<number, string> = { 1: "ADMIT", 2: "REFUSE", 3: "RELEASE", 13: "ERROR" };
const UPGRADE = -1;
const CLOSED = -2;
const STOPPED = -5;
const DIED = -6;
/** The value of the end of a client that closed its connection. */
const LEFT = [0, 1000, ""];
const NONE = 0xffff_ffff;
/** A piece of a payload that is text. */
const { TEXT } = PIECE;
/** A message for the second route. */
const STRANGE = 1 << MESSAGE.BITS;

interface Callbacks {
  onConnect?: () => object | Promise<object>;
  onDisconnect?: (ctx: object, clientId: string) => void;
}

/** The value of an UPGRADE event, as the engine makes it of a request of our own. */
const upgradeOf = (handle: number): Upgrade => [
  `id-${handle}`,
  {},
  null,
  null,
  "/",
  null,
  "localhost:1",
  "127.0.0.1",
  50_000,
  null,
  null,
];

/** A server on an engine of two shards that does what the test says. */
function play(t: TestContext, callbacks: Callbacks = {}, options: object = {}) {
  // A busy machine uses a turn up at any place. What happens then is tested with floods of messages.
  t.mock.getter(Turn.prototype, "isOver", () => false);
  t.mock.method(Turn.prototype, "look", () => false);
  t.mock.method(Turn.prototype, "next", () => undefined);
  const inboxes: { heads: number[]; text: string }[][] = [[], []];
  const commands: { name: string | undefined; words: number[]; bytes: Buffer }[] = [];
  const texts: string[] = [];
  const sizes: number[] = [];
  const errors: { error: unknown; code: string; clientId?: string }[] = [];
  let ring = () => {};
  const engine = {
    port: 1,
    hostname: "::1",
    secure: false,
    shards: 2,
    maxHandlersInFlight: 256,
    maxPayload: 1_048_576,
    maxBackpressure: 1_000_000,
    handshakeTimeout: 10_000,
    maxRoomsPerClient: 10,
    isShared: false,
    workers: () => [],
    orphaned: () => 0,
    busTrouble: () => null,
    take(shard: number, heads: Buffer) {
      const batch = inboxes[shard]?.shift();
      const words = new Int32Array(heads.buffer);
      // No more to take without a bell, and no bytes.
      words[HEAD.MORE] = 0;
      words[HEAD.BESIDE] = 0;
      batch?.heads.forEach((number, at) => {
        const event = HEAD.FIRST + HEAD.WORDS * (at >> 1);
        words[event + ((at & 1) === 0 ? HEAD.HANDLE : HEAD.CODE)] = number;
        words[event + HEAD.BYTES] = 1;
        words[event + HEAD.WEIGHT] = 0;
      });
      return batch?.text ?? null;
    },
    takeBeside() {},
    hold() {},
    weigh() {},
    setTls() {},
    takeOver: () => false,
    wake() {},
    pair: () => null,
    enter: () => null,
    refuse: () => new Uint8Array(),
    submit(buffer: Uint8Array, length: number, text: Uint8Array, size: number) {
      sizes.push(length + size);
      texts.push(Buffer.from(text.subarray(0, size)).toString());
      const bytes = Buffer.from(buffer.subarray(0, length));
      for (let at = 0; at < length;) {
        const size = 4 * bytes.readUInt32LE(at + 4);
        const own = bytes.subarray(at + 8, at + size);
        const words = Array.from({ length: own.length / 4 }, (_, word) =>
          own.readUInt32LE(4 * word),
        );
        commands.push({ name: OPCODES[bytes.readUInt32LE(at)], words, bytes: own });
        at += size;
      }
    },
    opened: () => 0,
    order() {},
    ordered() {},
    bus: () => null,
    stopBus: t.mock.fn(),
    metrics: () => ({}) as never,
    stop() {},
    drain() {},
    ref() {},
    unref() {},
    dispose: t.mock.fn(),
  };
  const zo = zocket.create({ headers: anything, ...callbacks });
  const strange: { schema: (value: unknown) => unknown } = { schema: (value) => ({ value }) };
  const handled: unknown[] = [];
  const app = zo.router(
    {
      say: zo.message.incoming({ payload: anything }),
      strange: zo.message.incoming({ payload: schema((value) => strange.schema(value)) }),
      said: zo.message.outgoing({ payload: anything }),
    },
    {
      say: ({ payload, ctx }) => {
        handled.push(payload);
        if (payload === "stop") void server.stop();
        if (payload === "join")
          for (const room of ["red", "\ud800", "é".repeat(9)]) ctx.rooms.join(room);
        if (payload === "big") ctx.send.said("é".repeat(300_000)).to(ctx.clientId);
        if (payload === "many") {
          for (let count = 0; count < 100; count++) ctx.send.said("x".repeat(2000)).broadcast();
        }
        if (payload === "throw") throw new Error("no");
      },
      strange: ({ payload }) => void handled.push(payload),
    },
  );
  const start: Parameters<typeof serve>[0] = (_options, _incoming, _outgoing, bell) => {
    ring = bell;
    return engine;
  };
  const onError = (error: unknown, info: { code: string; clientId?: string }) =>
    errors.push({ error, ...info });
  const server = serve(start, app, zo, { onError, ...options });
  const tell = (shard: number, ...triples: unknown[]) => {
    const heads = triples.filter((_, at) => at % 3 < 2) as number[];
    const values = triples.filter((_, at) => at % 3 === 2);
    inboxes[shard]?.push({ heads, text: JSON.stringify(values) });
    ring();
  };
  const admit = (handle: number) => tell(handle % 2, handle, UPGRADE, upgradeOf(handle));
  return {
    server,
    engine,
    errors,
    handled,
    strange,
    tell,
    admit,
    sizes,
    /** The payloads of each hand-over. */
    texts,
    /** A batch as the engine wrote it. */
    raw(text: string) {
      inboxes[0]?.push({ heads: [], text });
      ring();
    },
    /** What was commanded since the last call. */
    commanded: () => commands.splice(0),
    names: () => commands.splice(0).map(({ name }) => name),
  };
}

describe("the engine", () => {
  test("that hands over garbage is reported, and the next batch is dispatched", (t) => {
    const { raw, errors, admit, names } = play(t);
    raw("no JSON");
    assert.deepEqual(
      errors.map(({ code }) => code),
      ["INTERNAL"],
    );
    admit(0);
    assert.deepEqual(names(), ["ADMIT"]);
  });

  test("that tells of something unknown is reported, and the rest of the batch is dispatched", (t) => {
    const { tell, errors, admit, handled } = play(t);
    admit(0);
    tell(0, 0, -99, null, 7, 0, "nobody", 0, 0, "somebody");
    assert.deepEqual(
      errors.map(({ code }) => code),
      ["INTERNAL"],
    );
    assert.deepEqual(handled, ["somebody"]);
  });

  test("that does not take commands is reported, and nothing is thrown", (t) => {
    const { engine, errors, server } = play(t);
    engine.submit = () => {
      throw new Error("broken");
    };
    server.send["said"]?.("x").broadcast();
    return turn().then(() =>
      assert.deepEqual(
        errors.map(({ code }) => code),
        ["INTERNAL"],
      ),
    );
  });

  test("that does not take commands loses those alone: what onError sends then is handed over whole", async (t) => {
    const sent: string[] = [];
    let broken = true;
    const onError = () => server.send["said"]?.("after").broadcast();
    const { engine, server } = play(t, {}, { onError });
    engine.submit = (commands, length, text, size) => {
      if (broken) throw new Error("broken");
      const words = Buffer.from(commands.subarray(0, length));
      sent.push(`${words.readUInt32LE(4) * 4 === length} ${Buffer.from(text.subarray(0, size))}`);
    };
    server.send["said"]?.("lost").broadcast();
    await Promise.resolve().then(() => (broken = false));
    await turn();
    assert.deepEqual(sent, ['true "after"']);
  });

  test("whose shard died has lost its clients: each gets its onDisconnect, and stop() resolves", async (t) => {
    const gone: string[] = [];
    const onDisconnect = (_: object, id: string) => void gone.push(id);
    const { admit, tell, errors, server, commanded, engine } = play(t, { onDisconnect });
    for (const handle of [0, 1, 2, 3]) admit(handle);
    commanded();
    tell(1, 1, DIED, "boom");
    assert.deepEqual(gone, ["id-1", "id-3"]);
    assert.equal(errors[0]?.code, "INTERNAL");
    assert.match(String(errors[0]?.error), /boom/);
    server.send["said"]?.("x").to(["id-1", "id-2", "id-3"]);
    await turn();
    // Payload, route, count, client, and the pieces of `"x"`.
    assert.deepEqual(commanded()[0]?.words, [NONE, 0, 1, 2, 1, TEXT | 1, 1]);
    const stopped = server.stop();
    tell(0, 0, CLOSED, LEFT, 2, CLOSED, LEFT, 0, STOPPED, null);
    await stopped;
    assert.deepEqual(gone, ["id-1", "id-3", "id-0", "id-2"]);
    assert.equal(engine.dispose.mock.callCount(), 1);
  });
});

test("a handle is released at once when its client is gone, and onDisconnect waits for onConnect", async (t) => {
  const gone: unknown[] = [];
  let connect: (context: object) => void = () => {};
  const { admit, tell, names } = play(t, {
    onConnect: () => new Promise<object>((resolve) => (connect = resolve)),
    onDisconnect: (ctx) => void gone.push(ctx),
  });
  admit(0);
  tell(0, 0, CLOSED, 2);
  assert.deepEqual(names(), ["RELEASE"]);
  assert.deepEqual(gone, []);
  connect({ user: "Ada" });
  await turn();
  assert.deepEqual(gone, [{ user: "Ada", clientId: "id-0", rooms: new Set() }]);
  assert.deepEqual(names(), []);
});

describe("commands", () => {
  test("of one batch are handed over together", (t) => {
    const { admit, tell, sizes } = play(t);
    admit(0);
    sizes.length = 0;
    tell(0, 0, 0, "join", 0, 0, "join", 0, 0, "throw");
    assert.equal(sizes.length, 1);
  });

  test("are handed over early when they are many, and a large one whole", (t) => {
    const { admit, tell, sizes, texts, commanded } = play(t);
    admit(0);
    commanded();
    sizes.length = 0;
    tell(0, 0, 0, "many", 0, 0, "big");
    assert.ok(
      sizes.every((size) => size < 80_000 || size > 600_000),
      String(sizes),
    );
    assert.ok(sizes.length > 3);
    const all = commanded();
    assert.equal(all.length, 101);
    assert.deepEqual(all.at(-1)?.words, [NONE, 0, 1, 0, 1, TEXT | 300_000, 1]);
    assert.equal(texts.at(-1), JSON.stringify("é".repeat(300_000)));
  });

  test("mark room names that are no well-formed text, and pad with zeros", (t) => {
    const { admit, tell, commanded } = play(t);
    admit(0);
    commanded();
    tell(0, 0, 0, "join");
    const bytes = commanded().map(({ bytes }) => [...bytes]);
    const name = "é".repeat(9);
    assert.deepEqual(bytes, [
      [0, 0, 0, 0, 3, 0, 0, 0, ...Buffer.from("red"), 0],
      [0, 0, 0, 0, 3, 0, 0, 0, 0xff, 0x00, 0xd8, 0],
      [0, 0, 0, 0, 18, 0, 0, 0, ...Buffer.from(name), 0, 0],
    ]);
  });

  test("pause a client with more than 64 messages behind a pending one, and resume it", async (t) => {
    const { admit, tell, commanded, strange, handled } = play(t);
    admit(0);
    commanded();
    let finish: (result: object) => void = () => {};
    strange.schema = () => new Promise<object>((resolve) => (finish = resolve));
    tell(
      0,
      0,
      STRANGE,
      "first",
      ...Array.from({ length: 64 }, (_, number) => [0, 0, number]).flat(),
    );
    assert.deepEqual(commanded(), []);
    tell(0, 0, 0, 64);
    assert.equal(commanded().length, 1);
    finish({ value: "first" });
    await until("all messages", () => handled.length === 66);
    assert.deepEqual(handled, ["first", ...Array.from({ length: 65 }, (_, number) => number)]);
    assert.equal(commanded().length, 1);
  });
});

describe("a schema's hostile promise", () => {
  const hostile: Record<string, () => unknown> = {
    "with a `then` that throws when it is read": () =>
      Object.defineProperty({}, "then", { get: () => assert.fail("read") }),
    "with a `then` that throws": () => ({ then: () => assert.fail("called") }),
    "that resolves with garbage": () => ({ then: (resolve: (_: unknown) => void) => resolve(5) }),
    "that rejects with nothing": () => Promise.reject(),
    "whose own `then` throws although it is a promise": () =>
      Object.assign(Promise.resolve(5), { then: () => assert.fail("called") }),
    "with issues that throw when they are read": () =>
      Object.defineProperty({}, "issues", { get: () => assert.fail("read") }),
  };
  for (const [name, result] of Object.entries(hostile)) {
    test(`${name} is a schema that threw`, async (t) => {
      const { admit, tell, commanded, texts, strange, errors, handled } = play(t);
      admit(0);
      commanded();
      strange.schema = result;
      tell(0, 0, STRANGE, "strange", 0, 0, "next");
      // On a busy machine the first may use up its turn, and the next waits for another.
      await until("the next message", () => handled.length > 0);
      assert.deepEqual(
        errors.map(({ code }) => code),
        ["INVALID_PAYLOAD"],
      );
      assert.deepEqual(handled, ["next"]);
      const [reply] = commanded();
      // Its client, the code and the route; the engine makes the `$error`.
      assert.deepEqual(reply, {
        name: "ERROR",
        words: [NONE, 0, BAD.INVALID_PAYLOAD, 1, 0, NONE],
        bytes: reply?.bytes,
      });
      assert.equal(texts.at(-1), "");
    });
  }

  test("that resolves twice, and at once, counts once", async (t) => {
    const { admit, tell, strange, handled, errors } = play(t);
    admit(0);
    strange.schema = () => ({
      then(resolve: (_: unknown) => void, reject: (_: unknown) => void) {
        resolve({ value: "once" });
        resolve({ value: "twice" });
        reject(new Error("late"));
      },
    });
    tell(0, 0, STRANGE, "strange", 0, 0, "next");
    await turn();
    assert.deepEqual(handled, ["once", "next"]);
    assert.deepEqual(errors, []);
  });

  test("that never settles holds up that client alone, and goes with it", async (t) => {
    const { admit, tell, strange, handled } = play(t);
    admit(0);
    admit(2);
    strange.schema = () => ({ then() {} });
    tell(0, 0, STRANGE, "strange", 0, 0, "never", 2, 0, "other");
    tell(0, 0, CLOSED, LEFT);
    await turn();
    assert.deepEqual(handled, ["other"]);
  });
});

test("an onError that throws or rejects is told to the console, and the batch goes on", async (t) => {
  const shown = t.mock.method(console, "error", () => {});
  const onError = (error: unknown) => {
    if (String(error) === "Error: no") return Promise.reject(new Error("rejected"));
    throw new Error("thrown");
  };
  const { admit, tell, handled } = play(t, {}, { onError });
  admit(0);
  tell(0, 0, -99, null, 0, 0, "throw", 0, 0, "next");
  // On a busy machine the first may use up its turn, and the next waits for another.
  await until("both messages, and the rejection", () => {
    return handled.length === 2 && shown.mock.callCount() >= 2;
  });
  assert.deepEqual(handled, ["throw", "next"]);
  const text = shown.mock.calls.map(({ arguments: [line, error] }) => `${line} ${String(error)}`);
  assert.ok(text.some((line) => line.includes("thrown")));
  assert.ok(text.some((line) => line.includes("rejected")));
});

test("while 10,000 calls of onError are pending, the log gets the errors, and loses none", async (t) => {
  const shown = t.mock.method(console, "error", () => {});
  const settle: (() => void)[] = [];
  const onError = () => new Promise<void>((resolve) => settle.push(resolve));
  const { admit, tell, handled } = play(t, {}, { onError });
  admit(0);
  for (let batch = 1; batch <= 201; batch++) {
    tell(0, ...Array.from({ length: 50 }, () => [0, 0, "throw"]).flat());
    await until("the batch", () => handled.length === batch * 50);
  }
  assert.equal(settle.length, 10_000);
  const lines = () => shown.mock.calls.map(({ arguments: [line] }) => String(line));
  const told = () =>
    lines()
      .flatMap((line) => [...line.matchAll(/(\d+ )?HANDLER_ERROR/g)])
      .reduce((sum, [, count = "1"]) => sum + Number(count), 0);
  await until("the log to have told of all others", () => told() >= 50);
  assert.equal(told(), 50);
  assert.equal(lines().filter((line) => line.includes("10000 calls of onError")).length, 1);
  for (const go of settle.splice(0)) go();
  await turn();
  tell(0, 0, 0, "throw");
  await until("onError to be told again", () => settle.length === 1);
});

test("stop() in a handler, in the middle of a batch, lets the batch go on", (t) => {
  const { admit, tell, handled } = play(t);
  admit(0);
  tell(0, 0, 0, "stop", 0, 0, "next");
  assert.deepEqual(handled, ["stop", "next"]);
});
