// What a server holds for all clients together: its resident memory, while many clients fill its buffers.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { Child, portOf } from "./_child.ts";
import { Raw, frame, request, said } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { until } from "./_wait.ts";

const MIB = 2 ** 20;
const BOUND = 24 * MIB;
/** What resident memory may be beside the bound: garbage of V8, and of the allocator. */
const SLACK = 40 * MIB;
const CROWD = 60;
const EACH = 4 * MIB;

/** Half of a message of almost as much as one client may send, in fragments. */
const HALF = Buffer.concat([
  frame(Buffer.alloc(60_000, "x"), 1, false),
  ...Array.from({ length: Math.floor(EACH / 60_000) - 2 }, () =>
    frame(Buffer.alloc(60_000, "x"), 0, false),
  ),
]);

interface Report {
  before: number;
  peak: number;
  buffered: number;
  most: number;
  told: string[];
  adds: boolean;
}

/** A server that watches itself, and sends to everybody but the honest client once it is told to. */
class Watched {
  private constructor(readonly child: Child) {}

  static async start(
    t: TestContext,
    slowClient: string,
    bound: string,
  ): Promise<[Watched, number]> {
    const child = Child.node(
      t,
      `import { createInterface } from "node:readline";
       const ids = new Set();
       const told = [];
       const onError = (error, { code }) => told.push(code + ": " + error.message);
       hooks.connect = (headers, id) => { if (!headers.honest) ids.add(id); return {}; };
       hooks.disconnect = ({ clientId }) => ids.delete(clientId);
       const options = {
         ...local, onError, slowClient: ${JSON.stringify(slowClient)}, ioThreads: 2,
         maxPayload: ${EACH}, maxBackpressure: ${EACH},
       };
       ${bound};
       const server = createServer(router, zo, options);
       const report = { before: process.memoryUsage.rss(), peak: 0, most: 0, told };
       setInterval(() => {
         const { buffered, sent, written, queued, dropped } = server.metrics();
         report.peak = Math.max(report.peak, process.memoryUsage.rss());
         report.most = Math.max(report.most, buffered);
         report.adds = sent === written + queued + dropped;
       }, 5);
       const text = "x".repeat(100_000);
       createInterface(process.stdin).on("line", (line) => {
         if (line === "send") {
           setInterval(() => { for (const id of ids) server.send.said(text).to(id); }, 20);
         } else {
           const { buffered } = server.metrics();
           console.log("report" + JSON.stringify({ ...report, buffered }));
         }
       });
       tell(server);`,
    );
    return [new Watched(child), await portOf(child)];
  }

  send(): void {
    this.child.tell("send");
  }

  async report(): Promise<Report> {
    this.child.out = "";
    this.child.tell("report");
    return JSON.parse(await this.child.printed(/report(.*)\n/)) as Report;
  }
}

/** Clients that never read, beside one that does; `attack` makes them fill the server. */
async function isBounded(
  t: TestContext,
  slowClient: string,
  attack: (watched: Watched, crowd: Raw[]) => void,
  bound = `options.maxBufferedBytes = ${BOUND}`,
): Promise<void> {
  const [watched, port] = await Watched.start(t, slowClient, bound);
  const honest = await Client.open(t, `ws://127.0.0.1:${port}/?honest=1`);
  const crowd = [];
  for (let number = 0; number < CROWD; number += 1) {
    const raw = await Raw.open(t, port);
    raw.socket.pause();
    crowd.push(raw);
  }
  attack(watched, crowd);
  let report = await watched.report();
  let number = 0;
  const isFull = (text: string) => /^SLOW_CLIENT: .*held too much/.test(text);
  await until("a client to be cut off for what it holds", async () => {
    for (let i = 0; i < 10; i += 1) honest.say(number + i);
    for (let i = 0; i < 10; i += 1) assert.equal((await honest.next()).payload, number + i);
    number += 10;
    report = await watched.report();
    return slowClient === "drop" ? report.told.some(isFull) : report.told.length > 0;
  });
  t.diagnostic(
    `held ${report.most}, resident ${report.peak - report.before} more, cut off ${report.told.length}`,
  );
  assert.ok(report.most > BOUND / 2, `only ${report.most} bytes were held`);
  assert.ok(report.most < BOUND * 1.1, `${report.most} bytes were held`);
  assert.ok(report.peak - report.before < BOUND * 1.1 + SLACK, JSON.stringify(report));
  assert.ok(report.adds);
  for (const text of report.told) assert.match(text, /^SLOW_CLIENT: /);
  for (const raw of crowd) raw.socket.destroy();
  await until("everything to be free", async () => (await watched.report()).buffered === 0);
}

describe("maxBufferedBytes", () => {
  test("bounds halves of messages", async (t) => {
    await isBounded(t, "disconnect", (_, crowd) => {
      for (const raw of crowd) raw.write(HALF);
    });
  });

  test("is a quarter of the memory that the process may have, if it is left out", async (t) => {
    const attack = (_: Watched, crowd: Raw[]) => {
      for (const raw of crowd) raw.write(HALF);
    };
    await isBounded(t, "drop", attack, `process.constrainedMemory = () => ${4 * BOUND}`);
  });

  for (const slowClient of ["drop", "disconnect"]) {
    test(`bounds what waits for clients, with slowClient "${slowClient}"`, async (t) => {
      await isBounded(t, slowClient, (watched) => watched.send());
    });
  }

  test("bounds both together", async (t) => {
    await isBounded(t, "drop", (watched, crowd) => {
      watched.send();
      for (const raw of crowd.slice(CROWD / 2)) raw.write(HALF);
    });
  });

  test("bounds what comes with the requests of clients that wait for onConnect", async (t) => {
    const bound = 2 * MIB;
    const app = serve(t, {
      onConnect: () => new Promise(() => {}),
      options: { maxBufferedBytes: bound, ioThreads: 1 },
    });
    const early = Buffer.concat([Buffer.from(request()), said("x".repeat(50_000))]);
    // Five times the bound.
    for (let number = 0; number < 200; number += 1) new Raw(t, app.port, early);
    await until("their requests", () => app.connects.length === 200);
    const { buffered } = app.server.metrics();
    assert.ok(buffered > bound / 2, `${buffered} bytes`);
    assert.ok(buffered < 1.1 * bound, `${buffered} bytes`);
  });

  test("cuts off those of them that hold the most, although nobody decides on any", async (t) => {
    const bound = MIB;
    const app = serve(t, {
      onConnect: () => new Promise(() => {}),
      options: { maxBufferedBytes: bound, ioThreads: 1, handshakeTimeout: 600_000 },
    });
    const early = Buffer.concat([Buffer.from(request()), said("x".repeat(50_000))]);
    for (let number = 0; number < 60; number += 1) new Raw(t, app.port, early);
    await until("their requests", () => app.connects.length === 60);
    await until("some are cut off", () => app.errors.some(({ code }) => code === "SLOW_CLIENT"));
    await until("the rest keeps to it", () => app.server.metrics().buffered <= bound);
  });

  test("metrics().buffered tells what waits for a client, and is 0 when it is gone", async (t) => {
    const { server, port } = serve(t);
    const raw = await Raw.open(t, port);
    raw.write(HALF.subarray(0, 100_000));
    await until("half a message", () => server.metrics().buffered >= 90_000);
    raw.socket.destroy();
    await until("its end", () => server.metrics().buffered === 0);
  });
});
