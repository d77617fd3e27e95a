// What a crowd made the process hold goes back to the system once the crowd has left.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Child, portOf } from "./_child.ts";
import { request } from "./_raw.ts";
import { until } from "./_wait.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** The promise is about 10 s. */
const LATER_MS = 10_000;
/** Six servers at once are slow on a small machine. */
const PATIENCE_MS = 60_000;

const PROGRAM = `
const server = createServer(router, zo, {
  ...local, ioThreads: 2, slowClient: "drop", maxBackpressure: 4 * 1024 * 1024,
  onError: () => {},
});
const text = "x".repeat(64 * 1024);
hooks.say = (payload, ctx) => {
  if (payload !== "fill") return;
  const send = ctx.send.said(text);
  for (let at = 0; at < 16; at++) send.to(ctx.clientId);
};
let line = 0;
process.stdin.setEncoding("utf8").on("data", () => {
  gc();
  const { received, queued } = server.metrics();
  console.log("state " + line++ + " " + JSON.stringify({
    heap: process.memoryUsage().heapTotal, clients: server.clientCount(), received, queued,
  }) + ";");
});
tell(server);`;

interface State {
  heap: number;
  clients: number;
  received: number;
  queued: number;
}

/** A server in a process of its own. */
class Server {
  #asked = 0;

  private constructor(
    readonly child: Child,
    readonly port: number,
  ) {}

  static async start(t: TestContext): Promise<Server> {
    const child = Child.node(t, PROGRAM, ["--expose-gc"]);
    return new Server(child, await portOf(child));
  }

  /** Its counters, after it has collected garbage. */
  async state(): Promise<State> {
    const pattern = new RegExp(`state ${this.#asked++} (.*);`);
    this.child.tell("state");
    const deadline = Date.now() + PATIENCE_MS;
    let found = pattern.exec(this.child.out);
    for (; !found?.[1]; found = pattern.exec(this.child.out)) {
      assert.ok(Date.now() < deadline, `an answer in time: ${this.child.out}${this.child.err}`);
      await sleep(5);
    }
    return JSON.parse(found[1]) as State;
  }

  async reaches(what: string, condition: (state: State) => boolean): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!condition(await this.state())) {
      assert.ok(Date.now() < deadline, `${what} in time`);
      await sleep(50);
    }
  }

  /** Resident bytes, and those of them that are not V8's. */
  async resident(): Promise<{ all: number; native: number }> {
    const { heap } = await this.state();
    const status = readFileSync(`/proc/${this.child.process.pid}/status`, "utf8");
    const all = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * KIB;
    return { all, native: all - heap };
  }
}

/** Sockets that have said something; they read nothing more than the 101. */
async function crowd(port: number, size: number, first: string): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < size) {
    const batch = Array.from({ length: Math.min(50, size - sockets.length) }, async () => {
      const socket = connect({ port, host: "127.0.0.1" });
      socket.on("error", () => {});
      await new Promise((resolve) => socket.once("connect", resolve));
      socket.write(first);
      return socket;
    });
    sockets.push(...(await Promise.all(batch)));
  }
  return sockets;
}

async function openCrowd(port: number, size: number): Promise<Socket[]> {
  const sockets = await crowd(port, size, request());
  const answered = sockets.map((socket) => until("a 101", () => socket.read() !== null));
  await Promise.all(answered);
  return sockets;
}

/** A frame with a mask of zeros, of which only the start may be there. */
function frame(payload: string, announced = payload.length): Buffer {
  const header = Buffer.alloc(14);
  header[0] = 0x81;
  header[1] = 0xff;
  header.writeBigUInt64BE(BigInt(announced), 2);
  return Buffer.concat([header, Buffer.from(payload)]);
}
const say = (payload: string) => frame(JSON.stringify({ type: "say", payload }));

/** What may be resident after the last crowd. Something always comes and goes; a crowd is many times as much. */
const mostInAll = ([first]: readonly { all: number }[]) => (first?.all ?? 0) * 1.05 + 2 * MIB;

/** What one crowd does; it leaves when the promise resolves. */
type Kind = (server: Server) => Promise<Socket[]>;

const KINDS: Record<string, Kind> = {
  async "large messages"(server) {
    const before = (await server.state()).received;
    const sockets = await openCrowd(server.port, 150);
    const message = say("x".repeat(MIB - 100));
    for (const socket of sockets) socket.write(message);
    await server.reaches("all messages", (it) => it.received - before === sockets.length);
    return sockets;
  },
  async "many small messages"(server) {
    const before = (await server.state()).received;
    const sockets = await openCrowd(server.port, 300);
    const messages = Buffer.concat(Array.from({ length: 200 }, (_, at) => say("x".repeat(at * 5))));
    for (const socket of sockets) socket.write(messages);
    await server.reaches("all messages", (it) => it.received - before === sockets.length * 200);
    return sockets;
  },
  async "halves of messages"(server) {
    const sockets = await openCrowd(server.port, 150);
    const half = frame("x".repeat(MIB / 2), MIB);
    await Promise.all(
      sockets.map((socket) => new Promise((resolve) => socket.write(half, resolve))),
    );
    await sleep(500);
    return sockets;
  },
  async "clients that do not read"(server) {
    const sockets = await openCrowd(server.port, 20);
    const fill = Buffer.concat(Array.from({ length: 5 }, () => say("fill")));
    for (const socket of sockets) socket.write(fill);
    await server.reaches("full outboxes", (it) => it.queued > sockets.length * 5);
    return sockets;
  },
  async "half requests"(server) {
    const half = `GET / HTTP/1.1\r\nHost: x\r\nA: ${"x".repeat(15 * KIB)}`;
    const sockets = await crowd(server.port, 1000, half);
    await sleep(500);
    return sockets;
  },
  idle: (server) => openCrowd(server.port, 1500),
};

describe("memory comes back", { concurrency: true }, () => {
  for (const [name, kind] of Object.entries(KINDS)) {
    it(`after three crowds: ${name}`, { timeout: 550_000 }, async (t) => {
      if (process.platform !== "linux") return t.skip("only Linux tells what is resident");
      const server = await Server.start(t);
      const before = await server.resident();
      const most = before.native * 1.1 + 16 * MIB;
      let peak = 0;
      const after: (typeof before)[] = [];
      for (let round = 0; round < 3; round++) {
        const sockets = await kind(server);
        peak = Math.max(peak, (await server.resident()).native);
        for (const socket of sockets) socket.destroy();
        await server.reaches("no clients", (it) => it.clients === 0);
        await sleep(round === 1 ? 1000 : LATER_MS);
        after.push(await server.resident());
        // A slow machine may need longer.
        const deadline = Date.now() + PATIENCE_MS;
        const isBack = ({ native, all }: typeof before) =>
          native <= most && (round === 0 || all <= mostInAll(after));
        while (round !== 1 && !isBack(after[round] as typeof before) && Date.now() < deadline) {
          await sleep(500);
          after[round] = await server.resident();
        }
      }
      const mib = (bytes: number) => (bytes / MIB).toFixed(1);
      const [first, , third] = after as [typeof before, typeof before, typeof before];
      const told =
        `without V8's heap ${mib(before.native)} MiB before, ${mib(peak)} with a crowd, ` +
        `${mib(first.native)} after the first, ${mib(third.native)} after the third; ` +
        `in all ${mib(first.all)} after the first, ${mib(third.all)} after the third`;
      t.diagnostic(told);
      assert.ok(first.native <= most, told);
      assert.ok(third.native <= most, told);
      assert.ok(third.all <= mostInAll(after), told);
    });
  }
});
