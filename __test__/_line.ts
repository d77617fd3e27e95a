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

/** One connection of `ws`. */
export class Line {
  readonly socket: WebSocket;
  readonly told: Told[] = [];

  private constructor(url: string) {
    this.socket = new WebSocket(url);
    this.socket.on("message", (data) => {
      this.told.push(JSON.parse((data as Buffer).toString()) as Told);
    });
    this.socket.on("error", () => {});
  }

  static async open(t: TestContext, url: string): Promise<Line> {
    const line = new Line(url);
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

  /** Waits until the server has dealt with all that was said before, as far as that takes no promises. */
  async settle(): Promise<void> {
    // The engine answers the first one by itself, and may do so before JavaScript has seen what came ahead of it. It reads the
    // others after JavaScript has had a turn, and the last one after it has sent what JavaScript answered.
    for (let round = 0; round < 3; round += 1) {
      this.say({ type: "$settled", id: 999_999_999 });
      await until("an answer", () => this.of(999_999_999).length > 0);
      const at = this.told.findIndex(({ id }) => id === 999_999_999);
      assert.notEqual(at, -1);
      this.told.splice(at, 1);
      await new Promise(setImmediate);
    }
  }
}
