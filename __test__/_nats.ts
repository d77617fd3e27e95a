// A NATS of the tests' own, and a client that speaks its protocol and nothing else.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";

import { nats, type Bus } from "@zocket/core/bus";

import type { MoreOptions } from "./_bus.ts";
import { Child, Fragile } from "./_child.ts";
import { freePort } from "./_port.ts";
import { findProgram } from "./_redis.ts";
import { until } from "./_wait.ts";

export const NATS = findProgram("nats-server");
/** For tests that need one. */
export const needsNats = { skip: NATS ? false : "there is no nats-server" };

/** A running NATS. */
export class Nats extends Fragile {
  readonly #t: TestContext;
  readonly #folder: string;

  private constructor(
    t: TestContext,
    readonly port: number,
    config: string,
  ) {
    super();
    this.#t = t;
    this.#folder = mkdtempSync(path.join(tmpdir(), "zocket-nats-"));
    t.after(() => rmSync(this.#folder, { recursive: true, force: true }));
    this.configure(config);
  }

  /** Starts one, which ends with the test. */
  static async start(t: TestContext, config = ""): Promise<Nats> {
    const server = new Nats(t, await freePort(), config);
    await server.again();
    return server;
  }

  /** Starts several, as one cluster. */
  static async cluster(t: TestContext, size: number): Promise<Nats[]> {
    const ports = await Promise.all(Array.from({ length: size }, freePort));
    const routes = ports.map((port) => `nats://127.0.0.1:${port}`).join(", ");
    const begin = async (port: number) => {
      const cluster = `cluster { name: spec, listen: "127.0.0.1:${port}", routes: [${routes}] }`;
      return Nats.start(t, `${cluster}\nhttp: "127.0.0.1:-1"`);
    };
    const servers = await Promise.all(ports.map(begin));
    for (const server of servers) {
      await until("the routes", async () => (await server.routes()) >= size - 1);
    }
    return servers;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** A file beside its configuration. */
  file(name: string, text: string): string {
    const file = path.join(this.#folder, name);
    writeFileSync(file, text);
    return file;
  }

  /** What it is to do from its next start, or from {@link reload}. */
  configure(config: string): void {
    const own = `host: 127.0.0.1\nport: ${this.port}\nserver_name: s${this.port}\n`;
    this.file("nats.conf", own + config);
  }

  /** Starts it again on its port, after {@link kill}. */
  async again(): Promise<void> {
    const file = path.join(this.#folder, "nats.conf");
    const child = new Child(this.#t, NATS as string, ["--config", file]);
    this.child = child;
    await until("NATS", () => /Server is ready/.test(child.err) || child.process.exitCode !== null);
    if (child.process.exitCode !== null) throw new Error(child.err);
  }

  /** Reads the configuration again. */
  reload(): void {
    this.child?.process.kill("SIGHUP");
  }

  /** The bus for a server of ours. */
  on(more: MoreOptions = {}): Bus {
    return nats({ servers: [this.url], prefix: "spec", ...more });
  }

  /** The same, as the text of a program. */
  get code(): string {
    return `nats({ servers: ["${this.url}"], prefix: "spec", required: true })`;
  }

  /** Publishes on a channel, named without the prefix. */
  async say(channel: string, bytes: string | Uint8Array): Promise<void> {
    const content = Buffer.from(bytes as string);
    await this.write(`PUB spec.${channel} ${content.length}\r\n`, content, "\r\n");
  }

  /** Writes what a client would write, and waits until it was read. */
  async write(...parts: (string | Uint8Array)[]): Promise<void> {
    const socket: Socket = connect(this.port, "127.0.0.1");
    let heard = "";
    socket.on("data", (bytes) => (heard += bytes.toString("latin1")));
    socket.on("error", () => {});
    socket.write('CONNECT {"verbose":false,"headers":true}\r\n');
    for (const part of parts) socket.write(part);
    socket.write("PING\r\n");
    await until("an answer of NATS", () => heard.includes("PONG"));
    socket.destroy();
  }

  /** How many routes it has to other servers of its cluster. */
  async routes(): Promise<number> {
    return (await this.#watch("routez"))["num_routes"] ?? 0;
  }

  /** How many subscriptions it has begun and ended so far. */
  async subscriptions(): Promise<{ inserts: number; removes: number }> {
    const page = await this.#watch("subsz");
    return { inserts: page["num_inserts"] ?? 0, removes: page["num_removes"] ?? 0 };
  }

  /** A page of its monitoring, which its configuration has to ask for. */
  async #watch(page: string): Promise<Partial<Record<string, number>>> {
    const port = /monitor on 127\.0\.0\.1:(\d+)/.exec(this.child?.err ?? "")?.[1];
    const answer = await fetch(`http://127.0.0.1:${port}/${page}`);
    return (await answer.json()) as Partial<Record<string, number>>;
  }
}
