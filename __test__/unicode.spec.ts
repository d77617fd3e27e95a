// Text that breaks what handles text carelessly, and keys that pollute what copies objects carelessly: everywhere a
// user or a peer can put them, they come through unharmed and change nothing else.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { createServer, zocket } from "@zocket/core";

import {
  anything,
  HARD_STRINGS,
  incoming,
  outgoing,
  Queue,
  schema,
  serve,
  syncHandlers,
  syncRoutes,
  Talker,
  zo,
} from "./_talk.ts";

const POLLUTING = [
  '{"__proto__":{"polluted":1}}',
  '{"__proto__":null}',
  '{"a":{"__proto__":{"polluted":1}}}',
  '[{"__proto__":["polluted"]}]',
  '{"constructor":{"prototype":{"polluted":1}}}',
  '{"__proto__":{"__proto__":{"polluted":1}},"__defineGetter__":1,"toString":null,"then":1}',
];

const echo = zo.router(
  { ...syncRoutes, say: incoming({ payload: anything }), onSaid: outgoing({ payload: anything }) },
  {
    ...syncHandlers,
    say: ({ payload, ctx }) => ctx.send.onSaid(payload).to(ctx.clientId),
  },
);

const before = Reflect.ownKeys(Object.prototype);
after(() => {
  assert.deepEqual(Reflect.ownKeys(Object.prototype), before);
  assert.equal("polluted" in {}, false);
});

describe("hard strings", () => {
  test("come back unchanged as values and as keys, from text and binary frames", async (t) => {
    const { server } = serve(t, (onError) => createServer(echo, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    for (const text of HARD_STRINGS) {
      for (const payload of [text, { [text]: [text] }, text.repeat(5000)]) {
        // Lone surrogates are escaped by JSON.stringify: UTF-8 cannot hold them.
        const data = JSON.stringify({ type: "say", payload });
        talker.raw(data);
        talker.raw(Buffer.from(data));
        for (const message of await talker.take(2)) {
          assert.equal(JSON.stringify(message), JSON.stringify({ type: "onSaid", payload }));
        }
      }
    }
  });

  test("every UTF-16 code unit comes back as it was", async (t) => {
    const { server } = serve(t, (onError) => createServer(echo, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    const units = Array.from({ length: 0x10000 }, (_, unit) => unit);
    for (let start = 0; start < units.length; start += 0x2000) {
      const text = String.fromCharCode(...units.slice(start, start + 0x2000));
      talker.say("say", text);
      assert.equal(await talker.expect("onSaid"), text);
    }
  });

  test("in any spelling of JSON reach the handler as JSON.parse reads them", async (t) => {
    const { server } = serve(t, (onError) => createServer(echo, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    for (const text of [
      String.raw`"\ud83d\ude00"`,
      String.raw`"\uD83D\uDE00"`,
      String.raw`"\ud83d"`,
      String.raw`"\ude00\ud83d"`,
      String.raw`"\u0000\u001f\u007f"`,
      String.raw`"\/\b\f"`,
      '"\u007f\u0080\u2028"',
    ]) {
      talker.raw(`{"type":"say","payload":${text}}`);
      assert.equal(await talker.expect("onSaid"), JSON.parse(text));
    }
  });

  test("as names of routes work in both directions", async (t) => {
    const names = [
      "сообщение",
      "😀",
      'quo"te\\back',
      "tab\tnew\nline",
      "nul\u0000",
      " ",
      "toString",
    ];
    const nested = Object.fromEntries(names.map((name) => [name, incoming({ payload: anything })]));
    const answers = Object.fromEntries(
      names.map((name) => [`${name}!`, outgoing({ payload: anything })]),
    );
    const app = zo.router(
      { in: nested, out: answers },
      {
        in: Object.fromEntries(
          names.map((name) => [
            name,
            ({ payload, ctx }: { payload: unknown; ctx: never }) => {
              const { clientId, send } = ctx as {
                clientId: string;
                send: { out: Record<string, (payload: unknown) => { to(id: string): void }> };
              };
              send.out[`${name}!`]?.(payload).to(clientId);
            },
          ]),
        ) as never,
      },
    );
    const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    for (const name of names) {
      talker.say(`in.${name}`, 1);
      assert.deepEqual(await talker.next(), { type: `out.${name}!`, payload: 1 });
    }
  });

  test("in headers, sent as query parameters, reach the schema and onConnect", async (t) => {
    const got = new Queue<Record<string, string>>("onConnect");
    const own = zocket.create({
      headers: schema<Record<string, string>>((value) => ({ value })),
      onConnect: (headers) => got.push(headers),
    });
    const app = own.router({ say: own.message.incoming({ payload: anything }) }, {});
    const { server } = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
    for (const text of HARD_STRINGS.filter((text) => !/\p{Surrogate}/u.test(text))) {
      await Talker.open(t, `${server.url}/?${new URLSearchParams({ text })}`);
      assert.equal((await got.next())["text"], text);
    }
    await Talker.open(t, `${server.url}/?__proto__=polluted&constructor=x&toString=y&valueOf`);
    const headers = await got.next();
    assert.equal("polluted" in headers, false);
    assert.equal(headers["constructor"], "x");
    assert.equal(Object.getOwnPropertyDescriptor(headers, "__proto__")?.value, "polluted");
  });
});

describe("keys that could pollute", () => {
  test("are own properties in the handler, and come back as they were", async (t) => {
    const seen: unknown[] = [];
    const app = zo.router(
      { say: incoming({ payload: anything }), onSaid: outgoing({ payload: anything }) },
      {
        say: ({ payload, ctx }) => {
          seen.push(payload);
          ctx.send.onSaid(payload).to(ctx.clientId);
        },
      },
    );
    const { server } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    for (const text of POLLUTING) {
      talker.raw(`{"type":"say","payload":${text}}`);
      assert.equal(await talker.nextText(), `{"type":"onSaid","payload":${text}}`);
      assert.equal("polluted" in {}, false);
    }
    const [first] = seen as [object];
    assert.deepEqual(Object.keys(first), ["__proto__"]);
    assert.equal(Object.getPrototypeOf(first), Object.prototype);
    assert.equal("polluted" in first, false);
  });

  test("in the envelope mean nothing", async (t) => {
    const { server, problems } = serve(t, (onError) =>
      createServer(echo, zo, { port: 0, onError }),
    );
    const talker = await Talker.open(t, server.url);
    talker.raw('{"__proto__":{"payload":1,"polluted":1},"type":"say"}');
    assert.equal(await talker.nextText(), '{"type":"onSaid"}');
    talker.raw('{"__proto__":1,"__proto__":2,"type":"say","payload":3}');
    assert.equal(await talker.nextText(), '{"type":"onSaid","payload":3}');
    assert.equal("polluted" in {}, false);
    assert.deepEqual(problems.drain(), []);
  });
});
