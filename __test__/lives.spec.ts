// Many random lives at once: whatever clients do, each has its order, and the books are right in the end.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Raw, frame, request, said } from "./_raw.ts";
import { dice, serve } from "./_support.ts";
import { soon, until } from "./_wait.ts";

describe("whatever clients do", () => {
  for (const seed of [1, 2, 3]) {
    test(`each sees onConnect, its messages in order, onDisconnect, and nothing after (seed ${seed})`, async (t) => {
      const roll = dice(seed);
      const pause = async () => {
        for (let turns = roll(4); turns > 0; turns--) await new Promise(setImmediate);
      };
      const lives = new Map<string, unknown[]>();
      const app = serve(t, {
        onConnect: async ({ fails }, clientId) => {
          await pause();
          if (fails) throw new Error("refused");
          lives.set(clientId, ["connected"]);
          return {};
        },
        say: (payload, ctx) => {
          lives.get(ctx.clientId)?.push(payload);
          ctx.send.said(payload).broadcast();
        },
        onDisconnect: async (_, clientId) => {
          lives.get(clientId)?.push("gone");
          app.shout("gone");
          await pause();
        },
        options: { ioThreads: 3 },
      });
      const live = async () => {
        const raw = new Raw(t, app.port, request(roll(8) === 0 ? { Fails: "1" } : {}));
        for (let number = 0, count = roll(40); number < count; number++) {
          raw.write(said(number));
          if (roll(5) === 0) await pause();
        }
        await pause();
        const end = roll(5);
        if (end === 0) raw.socket.resetAndDestroy();
        else if (end === 1) raw.socket.end();
        else if (end === 2) raw.write(frame(Buffer.of(3, 232), 8));
        else if (end === 3) raw.write(Buffer.of(0x81, 1, 120));
      };
      for (let wave = 0; wave < 10; wave++) {
        await Promise.all(Array.from({ length: 20 }, live));
      }
      await until("half of them", () => lives.size > 100);
      await soon("stop", app.server.stop(seed % 2 === 0));
      await until("all ends", () => [...lives.values()].every((life) => life.at(-1) === "gone"));
      for (const life of lives.values()) {
        const numbers = life.slice(1, -1);
        assert.equal(life[0], "connected");
        assert.deepEqual(numbers, [...Array(numbers.length).keys()]);
      }
      assert.equal(app.disconnects.length, lives.size);
      assert.equal(app.server.clientCount(), 0);
      const { sent, written, queued, dropped, connections } = app.server.metrics();
      assert.deepEqual([sent, queued, connections], [written + dropped, 0, 0]);
      // Who does not answer the close frame is told as STOP.
      const expected = seed % 2 === 0 ? ["CONNECT"] : ["CONNECT", "STOP"];
      assert.ok(app.errors.every(({ code }) => expected.includes(code)));
    });
  }
});
