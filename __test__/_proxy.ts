// A proxy that freezes, as networks do: the connections stay, and nothing comes through.
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import type { TestContext } from "node:test";

/** A proxy that passes bytes on until it is frozen: then it swallows them, and says nothing. */
export async function startProxy(t: TestContext, url: string) {
  const sockets: Socket[] = [];
  const state = { isFrozen: false };
  const server = createServer((client) => {
    const target = connect(Number(new URL(url).port), "127.0.0.1");
    sockets.push(client, target);
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      from.on("error", () => {});
      from.on("data", (bytes) => state.isFrozen || to.write(bytes));
      from.on("close", () => state.isFrozen || to.destroy());
    }
  }).listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, state };
}
