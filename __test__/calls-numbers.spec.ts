// The `id` of a message comes back as it was sent, whatever number it is, and whichever way the message takes to its handler.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test, type TestContext } from "node:test";

import { createServer, zocket } from "@zocket/core";
import { WebSocket } from "ws";

import { anything } from "./_support.ts";
import { latch, until } from "./_wait.ts";

/** The ends of what fits into 31, 32 and 53 bits, and their neighbours. */
const IDS = [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1];

/** A payload that no route here takes, so that the answer is a `$error`. */
const REFUSED = "refused";

const picky = {
  "~standard": {
    version: 1 as const,
    vendor: "specs",
    validate: (value: unknown) =>
      value === REFUSED ? { issues: [{ message: "no" }] } : { value: value as string | undefined },
  },
};

/** Routes with and without a reply, with and without bytes, behind middlewares that wait and others. */
function serve(t: TestContext) {
  const gate = latch();
  const zo = zocket.create({ headers: anything<object>() });
  const direct = zo.message.incoming;
  const waiting = zo.message
    .use(() => new Promise<void>((resolve) => void setImmediate(resolve)))
    .use(async () => ({ extended: true })).incoming;
  const gated = zo.message.use(() => gate.promise).incoming;
  const text = { payload: picky };
  const bytes = { payload: zo.bytes({ max: 3 }) };
  const routes = {
    send: direct(text),
    call: direct({ ...text, reply: anything<unknown>() }),
    sendBytes: direct(bytes),
    callBytes: direct({ ...bytes, reply: zo.bytes() }),
    late: {
      send: waiting(text),
      call: waiting({ ...text, reply: anything<unknown>() }),
      sendBytes: waiting(bytes),
      callBytes: waiting({ ...bytes, reply: zo.bytes() }),
    },
    gate: gated({ payload: anything<unknown>() }),
  };
  const handlers = {
    send: () => {},
    call: () => "done",
    sendBytes: () => {},
    callBytes: () => Uint8Array.of(1),
  };
  const router = zo.router(routes, { ...handlers, late: handlers, gate: () => {} });
  const server = createServer(router, zo, { port: 0, hostname: "127.0.0.1", onError: () => {} });
  t.after(() => server.stop(true));
  return { server, url: `ws://127.0.0.1:${server.port}`, gate };
}

/** The head of a binary message with an `id`, and its payload. */
function binary(name: string, id: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt8(1, 1);
  head.writeUInt16BE(name.length, 2);
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(id));
  return Buffer.concat([head, Buffer.from(name), number, payload]);
}

/** The type and the `id` of an answer, as text: the `id` of a parsed one may be another number. */
function answerOf(data: Buffer, isBinary: boolean): string {
  if (!isBinary) {
    const text = data.toString();
    const { type } = JSON.parse(text) as { type: string };
    return `${type} ${/"id":(\d+)/.exec(text)?.[1]}`;
  }
  const end = 4 + data.readUInt16BE(2);
  return `${data.subarray(4, end).toString()} ${data.readBigUInt64BE(end)}`;
}

async function open(t: TestContext, url: string) {
  const socket = new WebSocket(url);
  t.after(() => socket.terminate());
  const answers: string[] = [];
  socket.on("message", (data: Buffer, isBinary) => void answers.push(answerOf(data, isBinary)));
  await once(socket, "open");
  return { socket, answers };
}

/** What is sent, and the type of the answer. */
const WAYS: [what: string, name: string, type: string, payload?: unknown][] = [
  ["a send with JSON", "send", "$reply", "x"],
  ["a send with JSON that is refused", "send", "$error", REFUSED],
  ["a send without a payload", "send", "$reply"],
  ["a send with bytes", "sendBytes", "$reply", Uint8Array.of(1, 2)],
  ["a send with bytes that is refused", "sendBytes", "$error", Uint8Array.of(1, 2, 3, 4)],
  ["a send without any bytes", "sendBytes", "$reply", Uint8Array.of()],
  ["a call with JSON", "call", "$reply", "x"],
  ["a call with JSON that is refused", "call", "$error", REFUSED],
  ["a call without a payload", "call", "$reply"],
  ["a call with bytes", "callBytes", "$reply", Uint8Array.of(1, 2)],
  ["a call with bytes that is refused", "callBytes", "$error", Uint8Array.of(1, 2, 3, 4)],
];

for (const [where, prefix, isHeldUp] of [
  ["handled at once", "", false],
  ["behind middlewares that wait", "late.", false],
  ["that waits behind another message", "", true],
  ["that waits behind another message and has middlewares that wait", "late.", true],
] as const) {
  describe(`the id of a message ${where} comes back`, () => {
    for (const [what, name, type, payload] of WAYS) {
      test(what, async (t) => {
        const { server, url, gate } = serve(t);
        const { socket, answers } = await open(t, url);
        if (isHeldUp) socket.send('{"type":"gate","payload":null}');
        for (const id of IDS) {
          if (payload instanceof Uint8Array) socket.send(binary(prefix + name, id, payload));
          else socket.send(JSON.stringify({ type: prefix + name, id, payload }));
        }
        if (isHeldUp) {
          // The engine answers this one, behind all that it has read. The answer about members is behind all that it has told.
          socket.send('{"type":"nothing","id":7}');
          await until("the answer of the engine", () => answers.includes("$error 7"));
          await server.members("nobody");
          assert.deepEqual(answers.splice(0), ["$error 7"]);
          gate.open();
        }
        await until("all answers", () => answers.length >= IDS.length);
        assert.deepEqual(
          answers,
          IDS.map((id) => `${type} ${id}`),
        );
      });
    }
  });
}
