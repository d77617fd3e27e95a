// `validateOutgoing`: outgoing payloads go through their schemas before they are sent.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import type { StandardSchemaV1 } from "@standard-schema/spec";
import {
  createServer,
  createZocketClient,
  zocket,
  type ServerOptions,
  type ZocketServer,
} from "@zocket/core";
import { WebSocket } from "ws";
import { z } from "zod";

import { latch, soon } from "./_wait.ts";

const zo = zocket.create({ headers: z.object({}) });
const { incoming, outgoing } = zo.message;

/** A schema that does what it is told to. */
function acting(validate: (value: unknown) => unknown): StandardSchemaV1<unknown, unknown> {
  return { "~standard": { version: 1, vendor: "specs", validate: validate as never } };
}

const rejecting = () => Promise.reject(new Error("late"));
// oxlint-disable-next-line unicorn/no-thenable -- it is what is tested
const thenable = { then: (_: unknown, failed: (error: Error) => void) => failed(new Error("no")) };
const routes = {
  go: incoming({ payload: z.string() }),
  chat: {
    onMessage: outgoing({ payload: z.object({ text: z.string().max(5), at: z.number() }) }),
    onTrim: outgoing({ payload: z.string().trim() }),
    onNothing: outgoing({ payload: z.undefined() }),
    onAsync: outgoing({ payload: z.string().refine(() => Promise.resolve(true)) }),
    onRejecting: outgoing({ payload: acting(rejecting) }),
    onThenable: outgoing({ payload: acting(() => thenable) }),
    onThrowing: outgoing({
      payload: acting(() => {
        throw new RangeError("mine");
      }),
    }),
    onEmpty: outgoing({ payload: acting(() => ({})) }),
  },
};

type Send = ZocketServer<typeof routes>["send"];

function launch(options: ServerOptions, go: (payload: string, send: Send) => void) {
  const app = zo.router(routes, { go: ({ payload, ctx }) => go(payload, ctx.send) });
  const server = createServer(app, zo, { port: 0, hostname: "127.0.0.1", ...options });
  return { app, server };
}

function serve(
  t: TestContext,
  options: ServerOptions = { validateOutgoing: true },
  go: (payload: string, send: Send) => void = () => {},
) {
  const { app, server } = launch(options, go);
  t.after(() => server.stop(true));
  const client = createZocketClient<typeof app>(server.url, { WebSocket });
  t.after(() => client.close());
  return { server, client };
}

const WRONG = { text: "too long", at: "now" } as never;
const ISSUES = [["text"], ["at"]];

/** That it throws for {@link WRONG}, with the issues and a text that says where they are. */
function refuses(send: () => unknown): void {
  assert.throws(send, (error: TypeError & { issues: { path: unknown }[] }) => {
    assert.ok(error instanceof TypeError);
    assert.ok(Object.hasOwn(error, "issues"));
    assert.deepEqual(
      error.issues.map((it) => it.path),
      ISSUES,
    );
    const start = "send.chat.onMessage(…): the payload does not fit its schema: text: ";
    assert.ok(error.message.startsWith(start), error.message);
    assert.match(error.message, /; at: /);
    return true;
  });
}

describe("with validateOutgoing", () => {
  test("a payload that does not fit throws at send, with the issues, and nothing is sent", async (t) => {
    const refused = latch<unknown>();
    const go = (_: string, send: Send) => {
      try {
        refuses(() => send.chat.onMessage(WRONG));
        refused.open(undefined);
      } catch (error) {
        refused.open(error);
      }
    };
    const { server, client } = serve(t, { validateOutgoing: true }, go);
    refuses(() => server.send.chat.onMessage(WRONG));
    refuses(() => server.publish("red", "chat.onMessage", WRONG));
    client.send.go("now");
    assert.equal(await soon("the handler", refused.promise), undefined);
    assert.equal(server.metrics().sent, 0);
  });

  test("what a handler does not catch is HANDLER_ERROR, with the issues for the owner alone", async (t) => {
    const faults = latch<[unknown, string]>();
    const go = (_: string, send: Send) => void send.chat.onMessage(WRONG);
    const onError: ServerOptions["onError"] = (error, { code }) => faults.open([error, code]);
    const { client } = serve(t, { validateOutgoing: true, onError }, go);
    const told = latch<unknown>();
    client.onError(told.open);
    client.send.go("now");
    const [error, code] = await soon("onError", faults.promise);
    assert.equal(code, "HANDLER_ERROR");
    assert.ok(Object.hasOwn(error as object, "issues"));
    const { message, ...rest } = (await soon("$error", told.promise)) as { message: string };
    assert.deepEqual(rest, { code: "HANDLER_ERROR", route: "go" });
    assert.ok(!message.includes("text"), message);
  });

  test("a payload that fits goes out as given, not as its schema returns it", async (t) => {
    const { server, client } = serve(t);
    const opened = latch();
    const got: unknown[] = [];
    const done = latch();
    client.onOpen(opened.open);
    client.on.chat.onMessage((payload) => got.push(payload));
    client.on.chat.onTrim((payload) => got.push(payload));
    client.on.chat.onNothing((payload) => {
      got.push(payload);
      done.open();
    });
    await soon("the client", opened.promise);
    const more = { text: "hi", at: 1, secret: true };
    server.send.chat.onMessage(more).broadcast();
    server.send.chat.onTrim("  spaces  ").broadcast();
    server.send.chat.onNothing().broadcast();
    await soon("the messages", done.promise);
    assert.deepEqual(got, [more, "  spaces  ", undefined]);
  });

  test("a schema that is asynchronous is a TypeError there, and what it rejects with ends nothing", async (t) => {
    const { server } = serve(t);
    const expected = {
      name: "TypeError",
      message: /: validateOutgoing takes no schema that returns a promise$/,
    };
    assert.throws(() => server.send.chat.onAsync("a"), expected);
    assert.throws(() => server.send.chat.onRejecting("a"), expected);
    assert.throws(() => server.send.chat.onThenable("a"), expected);
    // A rejection that nobody handles would fail this test.
    await new Promise(setImmediate);
  });

  test("what a schema throws is thrown as it is, and a result that is none is a TypeError", (t) => {
    const { server } = serve(t);
    assert.throws(() => server.send.chat.onThrowing("a"), { name: "RangeError", message: "mine" });
    assert.throws(() => server.send.chat.onEmpty("a"), TypeError);
  });
});

test("without validateOutgoing no schema of an outgoing payload runs", async (t) => {
  for (const options of [{}, { validateOutgoing: false }, { validateOutgoing: undefined }]) {
    const { server } = serve(t, options);
    server.send.chat.onMessage(WRONG).broadcast();
    server.send.chat.onThrowing("a").broadcast();
    server.send.chat.onAsync("a").toRoom("red");
    server.publish("red", "chat.onMessage", WRONG);
  }
});
