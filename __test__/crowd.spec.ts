// A thousand clients in one room, in a process of their own: each gets every message once and in order.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { createServer } from "@zocket/core";

import { anything, incoming, outgoing, Queue, serve, until, within, zo } from "./_talk.ts";

const CLIENTS = 1000;
const MESSAGES = 300;

interface Stage {
  stage: string;
  joined: number;
  complete: number;
  problems: string[];
}

test("a thousand clients of another process get every message to their room once and in order", async (t) => {
  const ids = new Set<string>();
  const app = zo.router(
    {
      join: incoming({ payload: anything }),
      onJoined: outgoing({ payload: anything }),
      onTick: outgoing({ payload: anything }),
    },
    {
      join: ({ ctx }) => {
        ids.add(ctx.clientId);
        ctx.rooms.join("crowd");
        ctx.send.onJoined(null).to(ctx.clientId);
      },
    },
  );
  const { server, problems } = serve(t, (onError) =>
    createServer(app, zo, { port: 0, onError, handshakeTimeout: 60_000, maxBackpressure: 1 << 26 }),
  );
  const script = fileURLToPath(new URL("_crowd.mjs", import.meta.url));
  const args = [script, server.url, String(CLIENTS), String(MESSAGES)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill());
  const stages = new Queue<Stage>("the crowd");
  createInterface({ input: child.stdout }).on("line", (line) =>
    stages.push(JSON.parse(line) as Stage),
  );

  assert.deepEqual(await stages.next(), {
    stage: "joined",
    joined: CLIENTS,
    complete: 0,
    problems: [],
  });
  assert.equal(server.clientCount(), CLIENTS);
  assert.equal(ids.size, CLIENTS);
  assert.equal(server.metrics().rooms, 1);
  for (let number = 0; number < MESSAGES; number++) {
    // By turns in each of the ways there are; every one of them reaches everybody.
    const said = server.send.onTick({ number, text: "x".repeat(number) });
    if (number % 4 === 0) said.toRoom("crowd");
    else if (number % 4 === 1) said.broadcast();
    else if (number % 4 === 2) said.to([...ids]);
    else said.toRoom(["crowd", "empty"]);
  }
  assert.deepEqual(await stages.next(), {
    stage: "complete",
    joined: CLIENTS,
    complete: CLIENTS,
    problems: [],
  });
  await until(() => server.metrics().queued === 0, "everything is written");
  const { sent, written, dropped } = server.metrics();
  assert.deepEqual(
    [sent, written, dropped],
    [CLIENTS * (MESSAGES + 1), CLIENTS * (MESSAGES + 1), 0],
  );

  await server.stop();
  const { stage, joined, problems: theirs } = await stages.next();
  assert.deepEqual([stage, joined, theirs], ["closed", 0, []]);
  await within(new Promise((resolve) => child.once("exit", resolve)), "the crowd to end");
  assert.deepEqual(problems.drain(), []);
});
