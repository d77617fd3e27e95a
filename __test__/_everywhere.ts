// Clients with their ids, and servers on a bus that are processes of their own.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { TestContext } from "node:test";

import { PREFIX } from "./_bus.ts";
import { Child, portOf } from "./_child.ts";
import { Client, type App } from "./_support.ts";
import type { Redis } from "./_redis.ts";
import { until } from "./_wait.ts";

/** A client, and its id. */
export async function meet(t: TestContext, app: App, ...rooms: string[]) {
  const client = await Client.open(t, app.url);
  const { clientId } = app.connects.at(-1) as { clientId: string };
  for (const room of rooms) await client.join(room);
  return { client, id: clientId };
}

/** The program of a process of its own. It does what comes on its input: a number and the body of an async function. */
const PROGRAM = `
import { redis } from "@zocket/core/bus";
import { createInterface } from "node:readline";
const seen = [];
hooks.connect = (_, id) => void seen.push("connect " + id);
hooks.disconnect = (_, id, info) => void seen.push("disconnect " + info.by + " " + info.code);
hooks.say = (payload, ctx) => { ctx.rooms.join(payload); ctx.send.said("in " + payload).to(ctx.clientId); };
const bus = redis({ url: process.env.BUS, prefix: "${PREFIX}", required: true });
const server = createServer(router, zo, { ...local, bus, onError: (error, { code }) => void seen.push("error " + code) });
createInterface({ input: process.stdin }).on("line", async (line) => {
  const { number, text } = JSON.parse(line);
  const work = new Function("server", "seen", "return (async () => {" + text + "})()");
  const said = await work(server, seen).then((value) => ({ value }), (error) => ({ code: error.code, error: String(error) }));
  console.log("answer " + number + " " + JSON.stringify(said) + ";");
});
await server.ready();
tell(server);
`;

/** A server in a process of its own. */
export class Elsewhere {
  #last = 0;

  private constructor(
    readonly child: Child,
    readonly url: string,
  ) {}

  static async start(t: TestContext, bus: Pick<Redis, "url">): Promise<Elsewhere> {
    const child = Child.node(t, PROGRAM, [], { BUS: bus.url });
    return new Elsewhere(child, `ws://127.0.0.1:${await portOf(child)}`);
  }

  /** What an async function of `server` and `seen` returns there. */
  async run<T = unknown>(text: string): Promise<T> {
    const number = (this.#last += 1);
    this.child.tell(JSON.stringify({ number, text }));
    const answer = JSON.parse(await this.child.printed(new RegExp(`answer ${number} (.*);`))) as {
      value: T;
      error?: string;
    };
    if (answer.error !== undefined) throw Object.assign(new Error(answer.error), answer);
    return answer.value;
  }

  /** A client of it that has said the names of rooms to join, and its id. */
  async meet(t: TestContext, ...rooms: string[]) {
    const before = await this.run<string[]>("return seen");
    const client = await Client.open(t, this.url);
    for (const room of rooms) {
      client.say(room);
      await until(`joining ${room}`, () =>
        client.received.some((it) => it.payload === `in ${room}`),
      );
    }
    const seen = await this.run<string[]>("return seen");
    const connect = seen.slice(before.length).find((it) => it.startsWith("connect "));
    return { client, id: connect?.slice("connect ".length) as string };
  }

  signal(signal: NodeJS.Signals): void {
    this.child.process.kill(signal);
  }

  /** It does nothing until it gets `SIGCONT`. The system stops its threads one after the other. */
  async pause(): Promise<void> {
    this.signal("SIGSTOP");
    const tasks = `/proc/${this.child.process.pid}/task`;
    await until("all threads to stand still", () =>
      readdirSync(tasks).every((task) =>
        readFileSync(path.join(tasks, task, "stat"), "utf8").includes(") T "),
      ),
    );
  }
}
