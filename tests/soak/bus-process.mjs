// The bus of the scenario "bus", and what becomes of it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

import { BUSES, freePort } from "../../scripts/buses.mjs";
import { within } from "./processes.mjs";

/** A Redis or NATS of our own, which is always on the same port. */
export class BusProcess {
  #child;
  #at;

  constructor(kind) {
    this.kind = kind;
    // Nobody is to be left behind by a run that was broken off.
    process.on("exit", () => this.#child?.kill("SIGKILL"));
  }

  get port() {
    return this.#at.port;
  }

  async start() {
    this.#at ??= { port: await freePort(), second: await freePort() };
    const { command, ready } = BUSES[this.kind];
    const [file, ...args] = command(this.#at);
    this.#child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
    const says = [this.#child.stdout, this.#child.stderr].map((input) => {
      const lines = createInterface({ input });
      return new Promise((resolve) => lines.on("line", (line) => ready.test(line) && resolve()));
    });
    await within(Promise.race(says), `start of ${this.kind}`);
  }

  /** Ends it as a crash does. */
  async kill() {
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }

  /** It does nothing for so long. */
  async pause(ms) {
    this.#child.kill("SIGSTOP");
    await sleep(ms);
    this.#child.kill("SIGCONT");
  }

  /** Ends all connections to it. */
  async cut() {
    const socket = connect(this.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write("CLIENT KILL TYPE pubsub\r\nCLIENT KILL TYPE normal\r\n");
    await once(socket, "data");
    socket.destroy();
  }
}
