// A raw client for calls: sends any text and keeps the envelopes that come, in order.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { TestContext } from "node:test";

import { WebSocket } from "ws";

import { until } from "./_wait.ts";

/** What comes, as far as calls are concerned. */
export interface Told {
  readonly type: string;
  readonly id?: number;
  readonly payload?: unknown;
}

/** What a line needs of its server. */
interface Asked {
  readonly url: string;
  members(room: string): Promise<string[]>;
}

/** One connection of `ws`. */
export class Line {
  readonly socket: WebSocket;
  readonly told: Told[] = [];
  readonly #server: Asked;

  private constructor(server: Asked) {
    this.#server = server;
    this.socket = new WebSocket(server.url);
    this.socket.on("message", (data) => {
      this.told.push(JSON.parse((data as Buffer).toString()) as Told);
    });
    this.socket.on("error", () => {});
  }

  static async open(t: TestContext, server: Asked): Promise<Line> {
    const line = new Line(server);
    t.after(() => line.socket.terminate());
    await once(line.socket, "open");
    return line;
  }

  /** Sends a text as it is, or an object as JSON. */
  say(message: unknown): void {
    this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** What was told of this call. */
  of(id: number): Told[] {
    return this.told.filter((it) => it.id === id);
  }

  /** Waits for what ends a call. */
  async end(id: number): Promise<Told> {
    const found = () => this.of(id).find(({ type }) => type !== "$item");
    await until(`the end of call ${id}`, found);
    return found() as Told;
  }

  /** Waits until the server has dealt with all that was said before, and what it answered at once is here. */
  async settle(): Promise<void> {
    await this.#isRead();
    // An answer to the first is behind all that was read, and one to the second behind what became of that.
    for (let turn = 0; turn < 2; turn += 1) await this.#server.members("nobody");
    await this.#isRead();
  }

  /** The engine has read all that was said before. It answers this by itself, and waits for no handler. */
  async #isRead(): Promise<void> {
    this.say({ type: "$settled", id: 999_999_999 });
    await until("an answer", () => this.of(999_999_999).length > 0);
    const at = this.told.findIndex(({ id }) => id === 999_999_999);
    assert.notEqual(at, -1);
    this.told.splice(at, 1);
  }
}
