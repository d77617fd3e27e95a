// What hostile payloads do to a server with a transformer: they are refused or handled, and everything else goes on.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import {
  createServer,
  createZocketClient,
  zocket,
  type ErrorInfo,
  type Transformer,
} from "@zocket/core";
import { stringify, parse } from "devalue";
import superjson from "superjson";
import { WebSocket } from "ws";
import { z } from "zod";

import { until } from "./_wait.ts";

const devalue = { serialize: stringify, deserialize: (json: unknown) => parse(String(json)) };

/** A server whose routes take anything, and a fixed shape that may contain itself. */
async function serve(t: TestContext, transformer: Transformer) {
  const zo = zocket.create({ headers: z.object({}), transformer });
  const tree = z.object({
    name: z.string(),
    get inner() {
      return tree.optional();
    },
  });
  const routes = {
    any: zo.message.incoming({ payload: z.any() }),
    tree: zo.message.incoming({ payload: tree }),
    number: zo.message.incoming({ payload: z.number() }),
    echo: zo.message.incoming({ payload: z.any(), reply: z.any() }),
    onAny: zo.message.outgoing({ payload: z.any() }),
  };
  const got: unknown[] = [];
  const faults: ErrorInfo[] = [];
  const app = zo.router(routes, {
    any: ({ payload, ctx }) => {
      got.push(payload);
      ctx.send.onAny(payload).to(ctx.clientId);
    },
    tree: ({ payload }) => void got.push(payload),
    number: ({ payload }) => void got.push(payload),
    echo: ({ payload }) => payload,
  });
  const server = createServer(app, zo, {
    port: 0,
    hostname: "127.0.0.1",
    onError: (_, info) => void faults.push(info),
  });
  t.after(() => server.stop(true));
  const client = createZocketClient<typeof app>(server.url, { WebSocket, transformer });
  t.after(() => client.close());
  const hostile = new WebSocket(server.url);
  t.after(() => hostile.terminate());
  const answers: string[] = [];
  hostile.on("message", (data) => answers.push(String(data)));
  await new Promise((resolve) => hostile.once("open", resolve));
  return {
    got,
    faults,
    answers,
    /** Sends a payload as JSON to each route, and waits until another client is served. */
    async attack(json: string) {
      for (const route of ["any", "tree", "number"]) {
        hostile.send(`{"type":"${route}","payload":${json}}`);
      }
      hostile.send(`{"type":"echo","id":7,"payload":${json}}`);
      // Handlers start in the order of the messages, so the others are done.
      await until("the answer", () => answers.some((it) => it.includes('"id":7')));
      assert.equal(await client.call.echo(1), 1);
      assert.equal(hostile.readyState, WebSocket.OPEN);
    },
  };
}

/** That nobody's prototype has changed. */
function assertClean(): void {
  for (const value of [{}, [], () => {}, new Map(), new Date()]) {
    assert.equal((value as { polluted?: unknown }).polluted, undefined);
  }
}

const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

const SUPERJSON: Record<string, string> = {
  "that are null": "null",
  "that are text": '"text"',
  "with a __proto__": '{"json":{"__proto__":{"polluted":1},"a":1}}',
  "with a __proto__ in a path":
    '{"json":{"a":1},"meta":{"values":{"__proto__.polluted":["Date"]}}}',
  "with a constructor in a path":
    '{"json":{"a":1},"meta":{"values":{"constructor.prototype.polluted":["Date"]}}}',
  "that equal a __proto__":
    '{"json":{"a":{"polluted":1}},"meta":{"referentialEqualities":{"a":["__proto__"]}}}',
  "that equal something in a constructor":
    '{"json":{"a":1},"meta":{"referentialEqualities":{"a":["constructor.prototype.polluted"]}}}',
  "of a class that is not known": '{"json":{},"meta":{"values":[["class","Object"]]}}',
  "of a kind that is not known": '{"json":{},"meta":{"values":["nothing"]}}',
  "with meta that is none": '{"json":1,"meta":7}',
  "with a wrong expression": '{"json":"/(/","meta":{"values":["regexp"]}}',
  "with deep meta": `{"json":1,"meta":{"values":${nested(100_000)}}}`,
  "that are deep": `{"json":${nested(100_000)}}`,
  "with a date that is none": '{"json":"never","meta":{"values":["Date"]}}',
  "with a bigint of 100,000 digits": `{"json":"${"9".repeat(100_000)}","meta":{"values":["bigint"]}}`,
  "with 20,000 dates": JSON.stringify(
    superjson.serialize(Array.from({ length: 20_000 }, (_, n) => new Date(n))),
  ),
  "with 50,000 references": JSON.stringify({
    json: { a: {}, b: [] },
    meta: { referentialEqualities: { a: Array.from({ length: 50_000 }, (_, n) => `b.${n}`) } },
  }),
};

describe("with superjson, payloads", () => {
  for (const [name, json] of Object.entries(SUPERJSON)) {
    test(`${name} harm neither the server nor a prototype`, async (t) => {
      const { attack, faults } = await serve(t, superjson);
      await attack(json);
      assertClean();
      for (const { code } of faults) assert.match(code, /^(INVALID_PAYLOAD|HANDLER_ERROR)$/);
    });
  }

  test("that contain themselves reach a schema that takes anything, and a number is not one", async (t) => {
    const { attack, got, answers } = await serve(t, superjson);
    await attack('{"json":{"name":"a","inner":null},"meta":{"referentialEqualities":[["inner"]]}}');
    const [payload] = got as [{ inner: unknown }];
    assert.equal(payload.inner, payload);
    assert.ok(answers.some((it) => it.includes("INVALID_PAYLOAD") && it.includes('"number"')));
    assertClean();
  });
});

describe("with devalue, payloads", () => {
  const payloads: Record<string, string> = {
    "that are null": "null",
    "that are no text of devalue": '"{"',
    "with a __proto__": JSON.stringify('[{"__proto__":1},{"polluted":2},1]'),
    "that contain themselves": JSON.stringify('[{"name":1,"inner":0},"a"]'),
    "that lead nowhere": JSON.stringify('[{"a":99}]'),
    "of a kind that is not known": JSON.stringify('[["Nothing",1],1]'),
    "that are deep": JSON.stringify(
      `[${Array.from({ length: 20_000 }, (_, n) => `[${n + 1}]`).join()},1]`,
    ),
  };
  for (const [name, json] of Object.entries(payloads)) {
    test(`${name} harm neither the server nor a prototype`, async (t) => {
      const { attack, faults } = await serve(t, devalue);
      await attack(json);
      assertClean();
      for (const { code } of faults) assert.match(code, /^(INVALID_PAYLOAD|HANDLER_ERROR)$/);
    });
  }
});
