// A network that is cut without a word: connections stay, also new ones, and bytes come through in neither or only one direction.
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import type { TestContext } from "node:test";

/** A way to a port of this machine that can be cut. What is under way arrives when it heals. */
export class Network {
  readonly #sockets = new Set<readonly [Socket, Socket]>();
  #cut: readonly [there: boolean, back: boolean] = [false, false];
  port = 0;

  static async to(t: TestContext, port: number): Promise<Network> {
    const network = new Network();
    const server = createServer({ allowHalfOpen: true }, (client) => {
      const target = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      const pair = [client, target] as const;
      network.#sockets.add(pair);
      for (const [from, to] of [pair, [target, client] as const]) {
        from.on("error", () => to.destroy());
        from.on("close", () => (to.destroy(), network.#sockets.delete(pair)));
        from.pipe(to);
      }
      network.#apply(pair);
    }).listen(0, "127.0.0.1");
    await new Promise((done) => server.once("listening", done));
    network.port = (server.address() as AddressInfo).port;
    t.after(() => {
      network.heal();
      for (const pair of network.#sockets) for (const socket of pair) socket.destroy();
      server.close();
    });
    return network;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Lets no byte through: what goes there, what comes back, or both. */
  cut(directions: { there?: true; back?: true }): void {
    this.#cut = [directions.there === true, directions.back === true];
    for (const pair of this.#sockets) this.#apply(pair);
  }

  heal(): void {
    this.cut({});
  }

  #apply([client, target]: readonly [Socket, Socket]): void {
    for (const [from, to, isCut] of [
      [client, target, this.#cut[0]],
      [target, client, this.#cut[1]],
    ] as const) {
      if (isCut) {
        from.unpipe(to);
        from.pause();
      } else if (from.isPaused()) {
        from.pipe(to);
        from.resume();
      }
    }
  }
}
