// A transformer: payloads, replies, items and the data of errors arrive as what they were, on both sides.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import {
  createServer,
  createZocketClient,
  zocket,
  ZocketError,
  type ClientError,
  type ErrorInfo,
  type ServerOptions,
  type Transformer,
} from "@zocket/core";
import { message } from "@zocket/core/contract";
import { parse, stringify } from "devalue";
import superjson from "superjson";
import { WebSocket } from "ws";
import { z } from "zod";

import { latch, soon, until } from "./_wait.ts";

const devalue = { serialize: stringify, deserialize: (json: unknown) => parse(json as string) };
const rich = message.withTransformer();
const any = z.unknown();
const routes = {
  say: rich.incoming({ payload: any }),
  bare: rich.incoming({ payload: any }),
  fails: rich.incoming({ payload: any, errors: { TAKEN: any } }),
  chat: {
    echo: rich.incoming({ payload: any, reply: any, errors: { TAKEN: any } }),
    items: rich.incoming({ payload: z.array(any), stream: any, reply: any }),
  },
  onSaid: rich.outgoing({ payload: any }),
  onDate: rich.outgoing({ payload: z.date() }),
};

/** What `echo`, `fails` and `items` do instead of sending back what they got. */
interface Given {
  answer?: (payload: unknown) => unknown;
  transformer?: Transformer;
  /** The transformer of the client, if it is another one. */
  there?: Transformer;
  options?: ServerOptions;
}

function serve(t: TestContext, { answer, transformer, there, options }: Given = {}) {
  const zo = zocket.create({ headers: z.object({}), transformer: transformer ?? superjson });
  const got: unknown[] = [];
  const faults: [unknown, ErrorInfo][] = [];
  const app = zo.router(routes, {
    say: ({ payload, ctx }) => {
      got.push(payload);
      ctx.send.onSaid(payload).to(ctx.clientId);
    },
    bare: ({ payload }) => void got.push(payload),
    fails: ({ payload, fail }) => {
      throw fail("TAKEN", payload);
    },
    chat: {
      echo: async ({ payload, fail }) => {
        got.push(payload);
        if (payload === "fail") throw fail("TAKEN", answer?.(payload));
        return answer ? answer(payload) : payload;
      },
      items: async function* ({ payload }) {
        yield* payload;
        return payload.length === 0 ? undefined : payload[0];
      },
    },
  });
  const server = createServer(app, zo, {
    port: 0,
    hostname: "127.0.0.1",
    onError: (error, info) => void faults.push([error, info]),
    ...options,
  });
  t.after(() => server.stop(true));
  const client = createZocketClient<typeof app>(server.url, {
    WebSocket,
    transformer: there ?? transformer ?? superjson,
  });
  t.after(() => client.close());
  return { server, client, got, faults };
}

/** A client of raw messages. */
async function raw(t: TestContext, url: string) {
  const socket = new WebSocket(url);
  t.after(() => socket.terminate());
  const got: string[] = [];
  socket.on("message", (data) => got.push(String(data)));
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  return {
    send: (text: string) => socket.send(text),
    got,
    next: async () => {
      await until("a message", () => got.length > 0);
      return JSON.parse(got.shift() as string) as { type: string; payload: never };
    },
  };
}

const NOON = new Date("2026-11-28T12:00:00Z");
const RICH = {
  at: NOON,
  tags: new Set(["a", 1n]),
  days: new Map<unknown, unknown>([["noon", { at: NOON }]]),
  n: 2n ** 70n,
  nothing: undefined,
  text: "\u0000\ud83d\ude00",
  numbers: [Number.NaN, Infinity],
  list: [null, NOON],
};

for (const [name, transformer] of Object.entries({ superjson, devalue })) {
  describe(`with ${name}`, () => {
    test("a payload arrives as it was, at the handler and at the listener", async (t) => {
      const { client, got } = serve(t, { transformer });
      const said = latch<unknown>();
      client.on.onSaid(said.open);
      client.send.say(RICH);
      assert.deepEqual(await soon("onSaid", said.promise), RICH);
      assert.deepEqual(got, [RICH]);
    });

    test("replies, items and the data of errors do too", async (t) => {
      const { client } = serve(t, { transformer });
      assert.deepEqual(await client.call.chat.echo(RICH), RICH);
      const items = [];
      const call = client.call.chat.items([RICH, NOON, undefined, null]);
      for await (const item of call) items.push(item);
      assert.deepEqual(items, [RICH, NOON, undefined, null]);
      assert.deepEqual(await call, RICH);
      assert.equal(await client.call.chat.items([]), undefined);
      const failed = latch<ClientError>();
      client.onError(failed.open);
      client.send.fails(RICH);
      const { code, data } = await soon("onError", failed.promise);
      assert.deepEqual([code, data], ["TAKEN", RICH]);
    });

    test("and so does the data of an error that a call rejects with", async (t) => {
      const { client } = serve(t, { transformer, answer: () => RICH });
      const result = await client.call.chat.echo("fail").safe();
      assert.ok(!result.ok && result.error.code === "TAKEN");
      assert.deepEqual(result.error.data, RICH);
    });

    test("a payload that is missing stays missing, and null is not missing", async (t) => {
      const { client, got } = serve(t, { transformer });
      const replies = [await client.call.chat.echo(), await client.call.chat.echo(null)];
      assert.deepEqual(replies, [undefined, null]);
      assert.deepEqual(got, [undefined, null]);
    });

    test("rooms, broadcasts and publish send what the transformer makes, once for all", async (t) => {
      let serialized = 0;
      const counted: Transformer = {
        serialize: (value) => ((serialized += 1), transformer.serialize(value)),
        deserialize: (json: never) => transformer.deserialize(json) as unknown,
      };
      const { server, client } = serve(t, { transformer: counted, there: transformer });
      const others = [await raw(t, server.url), await raw(t, server.url)];
      await client.call.chat.echo(1);
      const before = serialized;
      server.send.onDate(NOON).broadcast();
      assert.equal(serialized, before + 1);
      const payload = JSON.parse(JSON.stringify(transformer.serialize(NOON))) as unknown;
      for (const other of others) assert.deepEqual(await other.next(), { type: "onDate", payload });
      server.publish("red", "onDate", NOON);
      server.send.onDate(NOON).toRoom("red");
      assert.equal(serialized, before + 3);
    });
  });
}

describe("a message that waits", () => {
  test("is serialized when it is sent", async (t) => {
    const { server, client, got } = serve(t);
    client.close();
    const later = createZocketClient<typeof routes>(server.url, {
      WebSocket,
      transformer: superjson,
      autoConnect: false,
    });
    t.after(() => later.close());
    const list = new Set([1]);
    later.send.bare(list);
    list.add(2);
    later.reconnect();
    await until("the message", () => got.length > 0);
    assert.deepEqual(got, [new Set([1])]);
  });
});

describe("a transformer that throws", () => {
  const mine = new RangeError("mine");
  const throwing = (): never => {
    throw mine;
  };
  /** A transformer that fails for one payload alone. */
  const failing = (at: "serialize" | "deserialize", what: unknown = mine): Transformer => ({
    serialize: (value) => {
      if (at === "serialize" && value === "bad") throw what;
      return { value };
    },
    deserialize: (json) => {
      const { value } = json as { value: unknown };
      if (at === "deserialize" && value === "bad") throw what;
      return value;
    },
  });
  /** The same one without the failure. */
  const none: Transformer = {
    serialize: (value) => ({ value }),
    deserialize: (json) => (json as { value: unknown }).value,
  };

  test("at a send of the server is a TypeError there, with the cause, and nothing is sent", async (t) => {
    for (const cause of [mine, null, "text"]) {
      const { server } = serve(t, { transformer: failing("serialize", cause) });
      assert.throws(
        () => server.send.onSaid("bad"),
        (error: Error) => {
          assert.ok(error instanceof TypeError);
          const text = "send.onSaid(…): the transformer cannot serialize the payload";
          assert.equal(error.message, text);
          assert.equal(error.cause, cause);
          return true;
        },
      );
      assert.throws(() => server.publish("red", "onSaid", "bad"), TypeError);
      assert.equal(server.metrics().sent, 0);
    }
  });

  test("for a reply, an item or the data of an error is HANDLER_ERROR", async (t) => {
    const answer = () => "bad";
    const { client, faults } = serve(t, {
      transformer: failing("serialize"),
      there: failing("deserialize", new Error("never")),
      answer,
    });
    const codeOf = async (promise: PromiseLike<unknown>) => {
      const error: unknown = await Promise.resolve(promise).catch((it: unknown) => it);
      return error instanceof ZocketError ? error.code : error;
    };
    assert.equal(await codeOf(client.call.chat.echo("good")), "HANDLER_ERROR");
    assert.equal(await codeOf(client.call.chat.echo("fail")), "HANDLER_ERROR");
    const items = client.call.chat.items(["good", "bad"]);
    const taken: unknown[] = [];
    const loop = (async () => {
      for await (const item of items) taken.push(item);
    })();
    assert.equal(await codeOf(loop), "HANDLER_ERROR");
    assert.deepEqual(taken, ["good"]);
    assert.deepEqual(
      faults.map(([error, { code }]) => [(error as Error).cause, code]),
      [1, 2, 3].map(() => [mine, "HANDLER_ERROR"]),
    );
  });

  test("at a message is INVALID_PAYLOAD, without its text for the client", async (t) => {
    for (const cause of [mine, null]) {
      const { server, faults, got } = serve(t, { transformer: failing("deserialize", cause) });
      const client = await raw(t, server.url);
      client.send('{"type":"say","payload":{"value":"bad"}}');
      const { type, payload } = await client.next();
      assert.equal(type, "$error");
      const { message: text, ...rest } = payload as { message: string };
      assert.deepEqual(rest, { code: "INVALID_PAYLOAD", route: "say" });
      assert.ok(!text.includes("mine"));
      const [[error, info] = []] = faults;
      assert.ok(error instanceof Error);
      assert.equal(error.cause, cause);
      assert.equal(info?.code, "INVALID_PAYLOAD");
      assert.equal(info.route, "say");
      client.send('{"type":"say","payload":{"value":"good"}}');
      assert.deepEqual(await client.next(), { type: "onSaid", payload: { value: "good" } });
      assert.deepEqual(got, ["good"]);
    }
  });

  test("at a send or call of the client is a TypeError there, and nothing is sent", async (t) => {
    const { client, got } = serve(t, { transformer: none, there: failing("serialize") });
    const expected = (method: string) => ({
      name: "TypeError",
      message: `client.${method}: the transformer cannot serialize the payload`,
      cause: mine,
    });
    assert.throws(() => client.send.bare("bad"), expected("send.bare"));
    assert.throws(() => client.call.chat.echo("bad"), expected("call.chat.echo"));
    assert.equal(await client.call.chat.echo("good"), "good");
    assert.deepEqual(got, ["good"]);
  });

  test("at an answer of the server is BAD_REPLY, and ends the stream there", async (t) => {
    const { client } = serve(t, {
      transformer: none,
      there: failing("deserialize"),
      answer: (payload) => (payload === "good" ? "fine" : "bad"),
    });
    const badReply = (error: unknown) => {
      assert.ok(error instanceof ZocketError);
      assert.equal(error.code, "BAD_REPLY");
      assert.equal(error.cause, mine);
      return true;
    };
    await assert.rejects(client.call.chat.echo("x"), badReply);
    await assert.rejects(client.call.chat.echo("fail"), badReply);
    const items = client.call.chat.items(["good", "bad", "good"]);
    const taken: unknown[] = [];
    await assert.rejects(async () => {
      for await (const item of items) taken.push(item);
    }, badReply);
    assert.deepEqual(taken, ["good"]);
    await assert.rejects(client.call.chat.items(["bad"]), badReply);
    assert.equal(await client.call.chat.echo("good"), "fine");
  });

  test("at a message of the server goes to onError of the client, and the next one arrives", async (t) => {
    const { server, client } = serve(t, { transformer: none, there: failing("deserialize") });
    await client.call.chat.echo(1);
    const told = latch<ClientError>();
    const said = latch<unknown>();
    client.onError(told.open);
    client.on.onSaid(said.open);
    server.send.onSaid("bad").broadcast();
    server.send.onSaid("good").broadcast();
    assert.equal(await soon("the message", said.promise), "good");
    const { code, route, cause } = await soon("onError", told.promise);
    assert.deepEqual(
      { code, route, cause },
      { code: "INVALID_PAYLOAD", route: "onSaid", cause: mine },
    );
  });

  test("at the data of a declared error still tells its code", async (t) => {
    const { client } = serve(t, { transformer: none, there: failing("deserialize") });
    const told = latch<ClientError>();
    client.onError(told.open);
    client.send.fails("bad");
    const { code, data, cause } = await soon("onError", told.promise);
    assert.deepEqual({ code, data, cause }, { code: "TAKEN", data: undefined, cause: mine });
  });

  test("does not run for messages that nobody listens to", async (t) => {
    const { server, client } = serve(t, {
      transformer: none,
      there: { serialize: (value) => ({ value }), deserialize: throwing },
    });
    const told: ClientError[] = [];
    client.onError((error) => told.push(error));
    const opened = latch();
    client.onOpen(opened.open);
    await soon("the client", opened.promise);
    server.send.onSaid("bad").broadcast();
    await client.call.chat.echo(1).safe();
    assert.deepEqual(told, []);
  });
});

describe("a transformer that returns", () => {
  const returning = (made: () => unknown): Transformer => ({
    serialize: made,
    deserialize: (json) => json,
  });

  test("what JSON cannot carry makes the send throw", async (t) => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    const made = [() => undefined, () => () => {}, () => Symbol("s"), () => 1n, () => cycle];
    for (const each of made) {
      const { server, client } = serve(t, { transformer: returning(each) });
      assert.throws(() => server.send.onSaid(1), TypeError);
      assert.throws(() => client.send.say(1), TypeError);
      assert.throws(() => client.call.chat.echo(1), TypeError);
    }
  });

  test("a promise makes the send throw, and its rejection ends nothing", async (t) => {
    // oxlint-disable-next-line unicorn/no-thenable -- it is what is tested
    const thenable = { then: (_: unknown, failed: (error: Error) => void) => failed(new Error()) };
    for (const each of [() => Promise.reject(new Error("late")), () => thenable]) {
      const { server, client } = serve(t, { transformer: returning(each) });
      assert.throws(() => server.send.onSaid(1), TypeError);
      assert.throws(() => client.send.say(1), TypeError);
    }
    await new Promise(setImmediate);
  });

  test("a promise of a payload is INVALID_PAYLOAD, and its rejection ends nothing", async (t) => {
    const transformer: Transformer = {
      serialize: (value) => value,
      deserialize: () => Promise.reject(new Error("late")),
    };
    const { server, faults } = serve(t, { transformer });
    const client = await raw(t, server.url);
    client.send('{"type":"say","payload":1}');
    assert.equal((await client.next()).type, "$error");
    assert.match(String((faults[0]?.[0] as Error | undefined)?.cause), /returned a promise/);
  });
});

describe("the order of the steps", () => {
  test("is deserialize, then the schema; validateOutgoing, then serialize", async (t) => {
    const { server, client } = serve(t, { options: { validateOutgoing: true } });
    await client.call.chat.echo(1);
    const date = latch<Date>();
    client.on.onDate(date.open);
    server.send.onDate(NOON).broadcast();
    assert.deepEqual(await soon("the date", date.promise), NOON);
    assert.throws(() => server.send.onDate("2026-11-28" as never), { name: "TypeError" });
    assert.throws(() => server.send.onDate(superjson.serialize(NOON) as never), TypeError);
  });
});

describe("zo and its router", () => {
  const headers = z.object({});
  const plain = zocket.create({ headers });
  const zo = zocket.create({ headers, transformer: superjson });
  const payload = z.string();

  test("keep the transformer, and without one nothing of it", () => {
    assert.equal(zo.transformer, superjson);
    assert.ok(!("transformer" in plain));
    assert.ok(!("transformer" in zocket.create({ headers, transformer: undefined })));
    const marked = zo.message.use(() => {}).incoming({ payload });
    assert.equal(marked._transformed, true);
    assert.ok(!("_transformed" in plain.message.incoming({ payload })));
    assert.ok(!("_transformed" in message.incoming({ payload })));
  });

  test("refuse a transformer that is none", () => {
    const values = [null, 1, "superjson", [], {}, () => {}, { serialize: stringify }];
    for (const transformer of [...values, { serialize: 1, deserialize: 2 }]) {
      assert.throws(() => zocket.create({ headers, transformer: transformer as never }), {
        name: "TypeError",
        message: /^zocket\.create: config\.transformer: expected an object with serialize\(\) and/,
      });
      assert.throws(
        () =>
          createZocketClient<typeof routes>("ws://localhost:1", {
            WebSocket,
            autoConnect: false,
            transformer: transformer as never,
          }),
        {
          name: "TypeError",
          message: /^createZocketClient: options\.transformer: expected an object with serialize/,
        },
      );
    }
    assert.throws(
      () => zocket.create({ headers, superjson } as never),
      /did you mean transformer\?/,
    );
  });

  test("refuse messages that were made for the other kind, naming them", () => {
    const deep = { a: { b: zo.message.outgoing({ payload }) } };
    assert.throws(() => plain.router(deep as never, {}), {
      name: "TypeError",
      message:
        "zo.router: routes.a.b: this message needs a transformer, and zocket.create was given none",
    });
    const shared = { a: { b: message.incoming({ payload }) } };
    assert.throws(() => zo.router(shared as never, {}), {
      name: "TypeError",
      message: /^zo\.router: routes\.a\.b: this message was made without the transformer/,
    });
    // Also one that has no handler, and one that was copied.
    assert.throws(() => plain.router({ a: { ...deep.a.b } } as never, {}), TypeError);
  });

  test("belong together: createServer refuses a router of another transformer", () => {
    const app = zo.router({ a: zo.message.incoming({ payload }) }, {});
    const other = zocket.create({ headers, transformer: devalue });
    const expected = { name: "TypeError", message: /^createServer: zo: expected the transformer/ };
    assert.throws(() => void createServer(app, plain, { port: 0 }).stop(), expected);
    assert.throws(() => void createServer(app, other, { port: 0 }).stop(), expected);
    assert.throws(() => void createServer(plain.router({}, {}), zo, { port: 0 }).stop(), expected);
  });

  test("belong to a client with the transformer, as far as the client has the routes", () => {
    const connect = (options: object) =>
      createZocketClient("ws://localhost:1", { WebSocket, autoConnect: false, ...options });
    const app = zo.router({ a: { b: zo.message.incoming({ payload }) } }, {});
    for (const given of [app, app.routes]) {
      assert.throws(() => connect({ routes: given }), {
        name: "TypeError",
        message: "createZocketClient: options.routes.a.b: this message needs options.transformer",
      });
      connect({ routes: given, transformer: superjson }).close();
    }
    const shared = { a: message.incoming({ payload }) };
    assert.throws(() => connect({ routes: shared, transformer: superjson }), {
      name: "TypeError",
      message: /^createZocketClient: options\.routes\.a: this message was made without/,
    });
    connect({ routes: shared }).close();
  });

  test("call the functions of a transformer as its methods", async (t) => {
    class Mine {
      readonly #key = "value";
      serialize(value: unknown) {
        return { [this.#key]: value };
      }
      deserialize(json: unknown) {
        return (json as Record<string, unknown>)[this.#key];
      }
    }
    const { client } = serve(t, { transformer: new Mine() });
    assert.equal(await client.call.chat.echo(1), 1);
  });
});
