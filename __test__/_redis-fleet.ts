// Several processes of Redis that belong together: a server with a replica and sentinels, and a cluster.
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";

import { redis, type Bus } from "@zocket/core/bus";

import type { MoreOptions } from "./_bus.ts";
import { Child } from "./_child.ts";
import { freePort } from "./_port.ts";
import { REDIS, Redis } from "./_redis.ts";
import { until } from "./_wait.ts";

/** A folder that goes with the test. */
export async function folder(t: TestContext): Promise<string> {
  const made = await mkdtemp(path.join(tmpdir(), "zocket-redis-"));
  t.after(() => rm(made, { recursive: true, force: true, maxRetries: 5 }));
  return made;
}

/** Settings as flags of the command line. */
export const flagsOf = (settings: Readonly<Record<string, string>>): string[] =>
  Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);

/** What sentinels call the server. */
export const NAME = "main";

/** A server, its replica, and three sentinels that watch them. */
export class Watched {
  readonly sentinels: string[] = [];
  readonly #ports: number[] = [];

  private constructor(
    readonly first: Redis,
    readonly second: Redis,
  ) {}

  static async start(
    t: TestContext,
    { password, sentinelPassword }: { password?: string; sentinelPassword?: string } = {},
  ): Promise<Watched> {
    const files = await folder(t);
    const secret = password ? ["--requirepass", password, "--masterauth", password] : [];
    const quick = ["--dir", files, "--repl-diskless-sync-delay", "0"];
    const first = await Redis.start(t, [...secret, ...quick]);
    const replicaOf = ["--replicaof", "127.0.0.1", String(first.port)];
    const second = await Redis.start(t, [...secret, ...quick, ...replicaOf]);
    const watched = new Watched(first, second);
    for (let number = 0; number < 3; number += 1) {
      await watched.#sentinel(t, path.join(files, `${number}.conf`), password, sentinelPassword);
    }
    const auth = sentinelPassword ? [["AUTH", sentinelPassword]] : [];
    await until("the sentinels to know each other and the replica", async () => {
      const ask = ["SENTINEL", "MASTER", NAME];
      const all = await Promise.all(
        watched.#ports.map((port) => new Raw(port).commands(...auth, ask)),
      );
      return all.every(
        (told) =>
          /num-slaves\r\n\$\d+\r\n1\r\n/.test(told) &&
          /num-other-sentinels\r\n\$\d+\r\n2\r\n/.test(told),
      );
    });
    return watched;
  }

  /** The bus for a server of ours. */
  on(more: MoreOptions = {}): Bus {
    return redis({ sentinels: this.sentinels, name: NAME, prefix: "spec", ...more });
  }

  /** The sentinels replace the server by its replica, though it is well. */
  async failover(): Promise<void> {
    const [port] = this.#ports;
    let answer = "";
    await until("the failover", async () => {
      answer = await new Raw(port as number).commands(["SENTINEL", "FAILOVER", NAME]);
      // On a slow machine the sentinel may think for a moment that the replica is away.
      return !answer.startsWith("-NOGOODSLAVE");
    });
    if (!answer.startsWith("+OK")) throw new Error(answer);
  }

  async #sentinel(t: TestContext, file: string, password?: string, own?: string): Promise<void> {
    const port = await freePort();
    const lines = [
      `port ${port}`,
      "bind 127.0.0.1",
      ...(own ? [`requirepass ${own}`, `sentinel sentinel-pass ${own}`] : []),
      `sentinel monitor ${NAME} 127.0.0.1 ${this.first.port} 2`,
      ...(password ? [`sentinel auth-pass ${NAME} ${password}`] : []),
      `sentinel down-after-milliseconds ${NAME} 1000`,
      `sentinel failover-timeout ${NAME} 5000`,
    ];
    await writeFile(file, lines.join("\n"));
    const child = new Child(t, REDIS as string, [file, "--sentinel"]);
    await until("a sentinel", () => child.out.includes("+monitor"));
    this.#ports.push(port);
    this.sentinels.push(`redis://${own ? `:${own}@` : ""}127.0.0.1:${port}`);
  }
}

/** A node without what {@link Redis} does for a single server. */
class Raw {
  constructor(readonly port: number) {}

  /** Sends commands, and returns all that is answered until the answer to a last one. */
  async commands(...all: readonly string[][]): Promise<string> {
    const socket = connect(this.port, "127.0.0.1");
    let answer = "";
    socket.on("data", (bytes) => (answer += bytes.toString("latin1")));
    socket.on("error", () => {});
    for (const parts of [...all, ["PING", "the-end"]]) {
      socket.write(`*${parts.length}\r\n`);
      for (const part of parts) socket.write(`$${Buffer.byteLength(part)}\r\n${part}\r\n`);
    }
    try {
      await until("answers", () => answer.includes("the-end") || answer.includes("PONG"));
    } finally {
      socket.destroy();
    }
    return answer;
  }
}

/** One node of a {@link Cluster}. */
export interface ClusterNode {
  readonly redis: Redis;
  readonly id: string;
  readonly busPort: number;
}

const SLOTS = 16_384;

/** A cluster. The first three nodes are masters, which share the slots; each further one is the replica of one of them. */
export class Cluster {
  readonly nodes: ClusterNode[] = [];

  private constructor(readonly t: TestContext) {}

  static async start(
    t: TestContext,
    {
      replicas = 0,
      flags = () => [],
    }: { replicas?: number; flags?: (number: number) => string[] } = {},
  ): Promise<Cluster> {
    const cluster = new Cluster(t);
    const files = await folder(t);
    for (let number = 0; number < 3 + replicas; number += 1) {
      const busPort = await freePort();
      const settings = flagsOf({
        dir: files,
        "cluster-enabled": "yes",
        "cluster-config-file": `${number}.conf`,
        "cluster-port": String(busPort),
        "cluster-node-timeout": "2000",
        "cluster-replica-validity-factor": "0",
        "repl-diskless-sync-delay": "0",
      });
      const redis = await Redis.start(t, [...settings, ...flags(number)]);
      const id = /\w{40}/.exec(await redis.command("CLUSTER", "MYID"))?.[0] as string;
      cluster.nodes.push({ redis, id, busPort });
    }
    await cluster.#join();
    return cluster;
  }

  /** All URLs, or those of some nodes. */
  get urls(): string[] {
    return this.nodes.map(({ redis }) => redis.url);
  }

  node(number: number): ClusterNode {
    return this.nodes[number] as ClusterNode;
  }

  async #join(): Promise<void> {
    const first = this.node(0);
    for (let number = 0; number < 3; number += 1) {
      const from = Math.ceil((number * SLOTS) / 3);
      const to = Math.ceil(((number + 1) * SLOTS) / 3) - 1;
      const { redis } = this.node(number);
      await redis.command("CLUSTER", "ADDSLOTSRANGE", String(from), String(to));
      await redis.command("CLUSTER", "SET-CONFIG-EPOCH", String(number + 1));
    }
    for (const { redis, busPort } of this.nodes.slice(1)) {
      const at = ["127.0.0.1", String(redis.port), String(busPort)];
      await first.redis.command("CLUSTER", "MEET", ...at);
    }
    const isKnown = async ({ redis }: ClusterNode) => {
      const info = await redis.command("CLUSTER", "INFO");
      return (
        info.includes("cluster_state:ok") &&
        info.includes(`cluster_known_nodes:${this.nodes.length}`)
      );
    };
    await until("the cluster", async () => (await all(this.nodes, isKnown)).every(Boolean));
    for (const [index, { redis }] of this.nodes.slice(3).entries()) {
      await redis.command("CLUSTER", "REPLICATE", this.node(index).id);
    }
    const follows = async ({ redis }: ClusterNode) =>
      (await redis.command("INFO", "replication")).includes("master_link_status:up");
    await until("the replicas", async () =>
      (await all(this.nodes.slice(3), follows)).every(Boolean),
    );
  }

  /** The bus for a server of ours. */
  on(more: MoreOptions = {}): Bus {
    return redis({ cluster: this.urls, prefix: "spec", ...more });
  }

  /** The slot of a name. */
  async slotOf(name: string): Promise<number> {
    const told = await this.node(0).redis.command("CLUSTER", "KEYSLOT", name);
    return Number(/^:(\d+)/.exec(told)?.[1]);
  }

  /** The number of the node that serves a slot at the start. */
  startOf(slot: number): number {
    return [0, 1, 2].findLast((number) => slot >= Math.ceil((number * SLOTS) / 3)) as number;
  }

  /** Moves a slot from one node to another, as `redis-cli --cluster reshard` does. */
  async move(slot: number, from: number, to: number): Promise<void> {
    const [source, target] = [this.node(from), this.node(to)];
    const set = ({ redis }: ClusterNode, ...how: string[]) =>
      redis.command("CLUSTER", "SETSLOT", String(slot), ...how);
    await set(target, "IMPORTING", source.id);
    await set(source, "MIGRATING", target.id);
    for (const node of [target, source]) await set(node, "NODE", target.id);
    for (const node of this.nodes.slice(0, 3)) {
      if (node !== target && node !== source) await set(node, "NODE", target.id);
    }
    // Nodes that do not know of each other's last change may take a slot back.
    const info = await target.redis.command("CLUSTER", "INFO");
    const epoch = /cluster_my_epoch:(\d+)/.exec(info)?.[1];
    const knows = async ({ redis }: ClusterNode) => {
      const lines = (await redis.command("CLUSTER", "NODES")).split("\n");
      return lines.find((line) => line.startsWith(target.id))?.split(" ")[6] === epoch;
    };
    await until("the news of the move", async () =>
      (await all(this.nodes.slice(0, 3), knows)).every(Boolean),
    );
  }
}

const all = <T, R>(items: readonly T[], map: (item: T) => Promise<R>) =>
  Promise.all(items.map(map));

/** Something that answers as a sentinel which names the server at a port of this machine. Counts how often it was asked. */
export async function startSentinel(t: TestContext, port: number) {
  const sentinel = { url: "", questions: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      // All else only says who asks.
      for (const [command] of bytes.toString("latin1").matchAll(/(?<=^\*\d+\r\n\$\d+\r\n)\w+/gm)) {
        const isQuestion = command === "SENTINEL";
        if (isQuestion) sentinel.questions += 1;
        const name = `*2\r\n$9\r\n127.0.0.1\r\n$${String(port).length}\r\n${port}\r\n`;
        socket.write(isQuestion ? name : "+OK\r\n");
      }
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  sentinel.url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return sentinel;
}
