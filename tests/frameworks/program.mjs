// One program under test, and foreign clients of it.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:http2";
import path from "node:path";
import { text } from "node:stream/consumers";

import { Agent, fetch } from "undici";
import { WebSocket } from "ws";

/** Longest time that anything may take, in ms: the machine may be busy. */
const PATIENCE = 60_000;

/** Rejects if a promise takes too long, and says what did. */
export async function soon(what, promise) {
  let timer;
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${PATIENCE} ms`)), PATIENCE);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A program in a process of its own. */
export class Program {
  #child;
  #messages = [];
  #wake = () => {};
  #exit;
  #secure;
  /** What it printed, standard error included. */
  printed = "";
  port = 0;
  /** Clients of it, which end with it. */
  #sockets = [];
  #agent;

  constructor(project, { name, tls }) {
    this.#secure = tls === true;
    this.#agent = new Agent({ connect: { rejectUnauthorized: false } });
    this.#child = fork(path.join(project, name, `${name}.mjs`), {
      cwd: path.join(project, name),
      env: { ...process.env, NODE_ENV: "production", NEXT_TELEMETRY_DISABLED: "1" },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.on("data", (chunk) => (this.printed += chunk));
    this.#child.on("message", (message) => {
      this.#messages.push(message);
      this.#wake();
    });
    this.#exit = once(this.#child, "exit").then(([code, signal]) => {
      this.#messages.push({ exit: signal ?? code });
      this.#wake();
      return signal ?? code;
    });
  }

  async start() {
    ({ port: this.port } = await this.#message("its port", (it) => it.port));
  }

  /** Makes the program do something; resolves to how long that took, in ms. */
  async tell(command) {
    this.#child.send(command);
    const { ms } = await this.#message(command, (it) => it.done === command);
    return ms;
  }

  /** Tells the program something that it does not answer. */
  send(command) {
    this.#child.send(command);
  }

  /** Resolves when the program has ended by itself, and well. */
  async ends() {
    assert.equal(await soon("the end of the program", this.#exit), 0, this.printed);
  }

  /** Ends it, whatever it does. */
  async kill() {
    for (const socket of this.#sockets) socket.terminate();
    await this.#agent.destroy();
    this.#child.kill("SIGKILL");
    await this.#exit;
  }

  url(scheme, where = "/", host = "localhost") {
    return `${scheme}${this.#secure ? "s" : ""}://${host}:${this.port}${where}`;
  }

  /** Sends an ordinary request, on a connection of its own. */
  async request(where = "/", { host = "localhost", ...init } = {}) {
    const response = await soon(
      `the response for ${where}`,
      fetch(this.url("http", where, host), {
        dispatcher: this.#agent,
        headers: { connection: "close" },
        ...init,
      }),
    );
    return { status: response.status, text: await response.text() };
  }

  /** The same with HTTP/2; resolves to the text. */
  async requestByHttp2(where) {
    const session = connect(this.url("http"), { rejectUnauthorized: false });
    try {
      const stream = session.request({ ":path": where });
      return await soon("the response by HTTP/2", text(stream));
    } finally {
      session.destroy();
    }
  }

  /** Opens a WebSocket connection. */
  async open(where = "/ws", { host, protocols = [] } = {}) {
    const socket = new Client(this.url("ws", where, host), protocols);
    this.#sockets.push(socket);
    await soon(`the WebSocket connection to ${where}`, once(socket, "open"));
    return socket;
  }

  /** Asks for an upgrade that is to be refused; resolves to the status. */
  async refused(where, host) {
    const socket = new Client(this.url("ws", where, host), []);
    this.#sockets.push(socket);
    // What ws reports when it gives up.
    socket.on("error", () => {});
    const [, response] = await soon(`the refusal of ${where}`, once(socket, "unexpected-response"));
    socket.terminate();
    return response.statusCode;
  }

  async #message(what, isIt) {
    const found = async () => {
      for (;;) {
        const message = this.#messages.find((it) => isIt(it) || "exit" in it);
        if (message) return message;
        await new Promise((resolve) => (this.#wake = resolve));
      }
    };
    const message = await soon(what, found());
    if ("exit" in message) throw new Error(`ended with ${message.exit}:\n${this.printed}`);
    this.#messages.splice(this.#messages.indexOf(message), 1);
    return message;
  }
}

/** A client of ws that keeps what it gets. */
class Client extends WebSocket {
  #received = [];
  #wake = () => {};

  constructor(url, protocols) {
    super(url, protocols, { rejectUnauthorized: false });
    this.on("message", (message) => {
      this.#received.push(JSON.parse(message));
      this.#wake();
    });
  }

  say(payload) {
    this.send(JSON.stringify({ type: "say", payload }));
  }

  get isSilent() {
    return this.#received.length === 0;
  }

  /** Resolves to the next message, in order. */
  async next() {
    const first = async () => {
      while (this.#received.length === 0) await new Promise((resolve) => (this.#wake = resolve));
      return this.#received.shift();
    };
    return await soon("a message", first());
  }

  /** Resolves to the code with which the connection ends. */
  async closed() {
    if (this.readyState === WebSocket.CLOSED) return undefined;
    const [code] = await soon("the end of a connection", once(this, "close"));
    return code;
  }
}
