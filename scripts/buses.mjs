// Redis and NATS as benchmarks and tests start them: where they are, how they are started and asked.
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect, createServer } from "node:net";
import path from "node:path";

/** Where a program is that Debian may put beside the path. */
function find(...names) {
  const folders = (process.env.PATH ?? "").split(":").concat("/usr/sbin", "/usr/local/sbin");
  const files = names.flatMap((name) => folders.map((folder) => path.join(folder, name)));
  return files.find((file) => existsSync(file));
}

const redis = () => find("redis-server", "valkey-server");
const nats = () => find("nats-server");

/**
 * `command(port)` starts one, `url(port)` is for our options, `ready` is what it says once it takes connections, and
 * `subscriptions(port)` counts all subscriptions of all its clients.
 */
export const BUSES = {
  redis: {
    installed: redis,
    command: ({ port }) => {
      const keep = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"];
      return [redis(), "--port", String(port), ...keep];
    },
    url: ({ port }) => `redis://127.0.0.1:${port}`,
    ready: /Ready to accept connections/,
    async subscriptions({ port }) {
      const channels = await ask(port, ["PUBSUB", "CHANNELS"]);
      if (channels.length === 0) return 0;
      const counts = await ask(port, ["PUBSUB", "NUMSUB", ...channels]);
      const patterns = await ask(port, ["PUBSUB", "NUMPAT"]);
      const each = counts.filter((_, at) => at % 2 === 1).map(Number);
      return each.reduce((sum, count) => sum + count, Number(patterns[0]));
    },
  },
  nats: {
    installed: nats,
    command: ({ port, second }) => {
      return [nats(), "-a", "127.0.0.1", "-p", String(port), "-m", String(second)];
    },
    url: ({ port }) => `nats://127.0.0.1:${port}`,
    ready: /Server is ready/,
    async subscriptions({ second }) {
      const answer = await fetch(`http://127.0.0.1:${second}/varz`);
      return (await answer.json()).subscriptions;
    },
  },
};

/** A port that nothing listens on. Systems give those from 32,768 to everybody who wants any, for connections too. */
export async function freePort() {
  for (;;) {
    const port = randomInt(15_000, 32_000);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    await new Promise((done) => server.close(done));
    return port;
  }
}

/** The texts and numbers in the answer of Redis to one command. */
async function ask(port, parts) {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  try {
    const bytes = parts.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`);
    socket.write(`*${parts.length}\r\n${bytes.join("")}`);
    for await (const chunk of socket.setEncoding("latin1")) {
      text += chunk;
      const values = valuesOf(text.split("\r\n"));
      if (values) return values;
    }
    throw new Error(`Redis has ended the connection after ${parts[0]}`);
  } finally {
    socket.destroy();
  }
}

/** `undefined` while the lines are not a whole answer: an array of texts and numbers, or one number. */
function valuesOf(lines) {
  if (lines[0].startsWith(":")) return lines.length > 1 ? [lines[0].slice(1)] : undefined;
  if (!lines[0].startsWith("*")) return lines.length > 1 ? lines : undefined;
  const values = [];
  let at = 1;
  for (let left = Number(lines[0].slice(1)); left > 0; left--) {
    const isText = lines[at]?.startsWith("$");
    if (lines.length <= at + (isText ? 2 : 1)) return undefined;
    values.push(isText ? lines[at + 1] : lines[at].slice(1));
    at += isText ? 2 : 1;
  }
  return values;
}
