// A Redis of the tests' own, and a client that speaks its protocol and nothing else.
import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect, type Socket } from "node:net";
import path from "node:path";
import type { TestContext } from "node:test";

import { redis, type Bus } from "@zocket/core/bus";

import type { MoreOptions } from "./_bus.ts";
import { Child, Fragile } from "./_child.ts";
import { freePort } from "./_port.ts";
import { until } from "./_wait.ts";

/** Where a program is that Debian may put beside the path. */
export function findProgram(name: string): string | undefined {
  return (process.env["PATH"] ?? "")
    .split(":")
    .concat("/usr/sbin", "/usr/local/sbin")
    .map((folder) => path.join(folder, name))
    .find((file) => existsSync(file));
}

/** Debian's, unless `ZOCKET_REDIS` names another one. */
export const REDIS =
  process.env["ZOCKET_REDIS"] ?? findProgram("redis-server") ?? findProgram("valkey-server");
/** For tests that need one. */
export const needsRedis = { skip: REDIS ? false : "there is no redis-server" };

/** A running Redis. */
export class Redis extends Fragile {
  readonly #t: TestContext;
  readonly #flags: readonly string[];

  private constructor(
    t: TestContext,
    readonly port: number,
    flags: readonly string[],
  ) {
    super();
    this.#t = t;
    this.#flags = flags;
  }

  /** Starts one, which ends with the test. */
  static async start(t: TestContext, flags: readonly string[] = []): Promise<Redis> {
    const redis = new Redis(t, await freePort(), flags);
    await redis.again();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it again on its port, after {@link kill}. */
  async again(flags: readonly string[] = this.#flags): Promise<void> {
    const own = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    const child = new Child(this.#t, REDIS as string, [
      "--port",
      String(this.port),
      ...own,
      ...flags,
    ]);
    this.child = child;
    await until("Redis", () => child.out.includes("Ready to accept connections"));
  }

  /** The bus for a server of ours. */
  on(more: MoreOptions = {}): Bus {
    return redis({ url: this.url, prefix: "spec", ...more });
  }

  /** The same, as the text of a program. */
  get code(): string {
    return `redis({ url: "${this.url}", prefix: "spec", required: true })`;
  }

  /** Publishes on a channel, named without the prefix. */
  async say(channel: string, bytes: string | Uint8Array): Promise<void> {
    await this.command("PUBLISH", `spec:${channel}`, bytes);
  }

  /** Sends one command, and returns what it answers. */
  async command(...parts: (string | Uint8Array)[]): Promise<string> {
    const socket = connect(this.port, "127.0.0.1");
    try {
      return await ask(socket, parts);
    } finally {
      socket.destroy();
    }
  }

  /** The same as a user with a password. */
  async as(password: string, ...parts: (string | Uint8Array)[]): Promise<string> {
    const socket = connect(this.port, "127.0.0.1");
    try {
      await ask(socket, ["AUTH", password]);
      return await ask(socket, parts);
    } finally {
      socket.destroy();
    }
  }

  /** What a script returns that returns a number. */
  async script(text: string): Promise<number> {
    const answer = await this.command("EVAL", text, "0");
    return Number(/^:(\d+)/.exec(answer)?.[1]);
  }

  /** Publishes many messages at once, and resolves when Redis has taken all. */
  async publish(channel: string, messages: readonly Uint8Array[]): Promise<void> {
    const socket = connect(this.port, "127.0.0.1");
    try {
      for (const message of messages) {
        const hasRoom = socket.write(commandOf(["PUBLISH", channel, message]));
        if (!hasRoom) await once(socket, "drain");
      }
      await ask(socket, ["ECHO", "done"], (answer) => answer.endsWith("$4\r\ndone\r\n"));
    } finally {
      socket.destroy();
    }
  }

  /** What a program that listens to a channel has heard since then. */
  async listen(channel: string): Promise<() => Buffer> {
    const heard: Buffer[] = [];
    const socket = connect(this.port, "127.0.0.1");
    this.#t.after(() => socket.destroy());
    socket.on("data", (bytes: Buffer) => void heard.push(bytes));
    await ask(socket, ["SUBSCRIBE", channel]);
    return () => Buffer.concat(heard);
  }

  /** How often a command was called so far. */
  async calls(name: string): Promise<number> {
    const stats = await this.command("INFO", "commandstats");
    return Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
  }
}

function commandOf(parts: readonly (string | Uint8Array)[]): Buffer {
  const all = [Buffer.from(`*${parts.length}\r\n`)];
  for (const part of parts) {
    const bytes = Buffer.from(part as string);
    all.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
  }
  return Buffer.concat(all);
}

/** Writes one command, and returns the first bytes of the answer until they end a line and no more come. */
async function ask(
  socket: Socket,
  parts: readonly (string | Uint8Array)[],
  isAll = isWhole,
): Promise<string> {
  let answer = "";
  const keep = (bytes: Buffer) => (answer += bytes.toString("latin1"));
  socket.on("data", keep);
  socket.on("error", () => {});
  socket.write(commandOf(parts));
  await until("an answer of Redis", () => isAll(answer));
  socket.off("data", keep);
  return answer;
}

function isWhole(answer: string): boolean {
  if (!answer.endsWith("\r\n")) return false;
  if (!answer.startsWith("$")) return true;
  const length = Number(/^\$(\d+)/.exec(answer)?.[1] ?? 0);
  return answer.length >= length + 4;
}
