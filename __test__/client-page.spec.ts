// The client in a browser, built from both entries of the package, against our server: what it promises everywhere, and
// what only a browser can tell.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, beforeEach, describe, test } from "node:test";

import type { createZocketClient, ClientOptions } from "@zocket/core";
import type { Browser, Page } from "playwright-core";

import { launch, serveClient, type Site } from "./_browser.ts";
import { freePort } from "./_port.ts";
import { serve, type App } from "./_support.ts";
import { latch, until } from "./_wait.ts";

/** What the script in the page sees: the package's client, and what a test keeps between its steps. */
declare const zocket: { createZocketClient: typeof createZocketClient };
interface Spoken {
  readyState: number;
  send: { say(payload: unknown): void };
  on: { said(listener: (payload: unknown) => void): () => void };
  onOpen(listener: () => void): () => void;
  onClose(listener: (event: { code: number; wasClean: boolean }) => void): () => void;
  onError(listener: (error: { code: string }) => void): () => void;
  close(): void;
  reconnect(): void;
}
declare const state: { client: Spoken; heard: unknown[]; codes: (number | string)[] };

/** Options that travel into a page, where functions cannot. */
type PageOptions = Omit<ClientOptions, "headers"> & { headers?: Record<string, string> };

for (const entry of ["@zocket/core", "@zocket/core/client"]) {
  describe(`the client of ${entry} in a browser`, () => {
    let browser: Browser;
    let site: Site;
    let page: Page;
    const complaints: string[] = [];

    before(async () => {
      site = await serveClient(entry, { "set-cookie": "visitor=secret" });
      browser = await launch();
    });

    after(async () => {
      await browser?.close();
      site?.pages.close();
    });

    beforeEach(async () => {
      await page?.close();
      complaints.length = 0;
      page = await browser.newPage();
      page.on("pageerror", ({ message }) => complaints.push(message));
      await page.goto(site.origin);
    });

    /** Connects in the page; what comes is kept there. */
    async function connect(app: App, options: PageOptions = {}, url = app.url): Promise<void> {
      await page.evaluate(
        ([url, options]) => {
          const quick = { minReconnectionDelay: 20, maxReconnectionDelay: 50 };
          const client = zocket.createZocketClient(url, { ...quick, ...options });
          const heard: unknown[] = [];
          const codes: (number | string)[] = [];
          Object.assign(globalThis, { state: { client, heard, codes } });
          state.client.on.said((payload) => heard.push(payload));
          state.client.onOpen(() => codes.push("open"));
          state.client.onClose(({ code }) => codes.push(code));
          state.client.onError(({ code }) => codes.push(code));
        },
        [url, options] as const,
      );
    }
    const codes = () => page.evaluate(() => state.codes);
    const heard = () => page.evaluate(() => state.heard);
    const opened = () => until("open", async () => (await codes()).includes("open"));

    test("talks both ways, whatever the payload", async (t) => {
      await connect(serve(t));
      const payloads = [null, 0, "", "grüße 🙂 \u0000", { a: [{ b: null }] }, "x".repeat(200_000)];
      await page.evaluate((payloads) => payloads.forEach(state.client.send.say), payloads);
      await until("all", async () => (await heard()).length === payloads.length);
      assert.deepEqual(await heard(), payloads);
      assert.deepEqual(complaints, []);
    });

    test("brings its headers, real ones winning, and no cookie of another site", async (t) => {
      const app = serve(t);
      const headers = {
        Authorization: "a&b=c#d ?/+%20",
        "x-ü": "grüße 🙂",
        "x-nul": "\0",
        cookie: "no",
      };
      await connect(app, { headers: { ...headers, host: "evil" } }, `${app.url}/p?kept=1#not-sent`);
      await opened();
      const found = app.connects[0]?.headers ?? {};
      assert.deepEqual(
        [found["authorization"], found["x-ü"], found["x-nul"], found["kept"], found["cookie"]],
        [headers.Authorization, headers["x-ü"], headers["x-nul"], "1", undefined],
      );
      assert.equal(found["host"], `127.0.0.1:${app.port}`);
      assert.equal(found["origin"], site.origin);
    });

    test("is let in by an allowed origin with the visitor's cookie, and by no other", async (t) => {
      const app = serve(t, { options: { allowedOrigins: [site.origin] } });
      await connect(app);
      await opened();
      assert.equal(app.connects[0]?.headers["cookie"], "visitor=secret");
      const other = serve(t, { options: { allowedOrigins: ["http://elsewhere.test"] } });
      await connect(other, { maxRetries: 1 });
      await until("two refusals", async () => (await codes()).length === 2);
      assert.deepEqual(await codes(), [1006, 1006]);
      assert.equal(await page.evaluate(() => state.client.readyState), 3);
      assert.equal(other.connects.length, 0);
    });

    test("takes an http address, and a path from the page", async (t) => {
      const app = serve(t);
      await connect(app, {}, app.url.replace("ws:", "http:"));
      await opened();
      // Nobody speaks WebSocket at the page's own address: it is tried there all the same.
      const asked = once(site.pages, "upgrade");
      const headersIn = "query";
      await connect(app, { headers: { a: "1" }, headersIn }, "/socket?b=2");
      const [{ url }, socket] = (await asked) as [{ url: string }, { destroy(): void }];
      socket.destroy();
      assert.equal(url, "/socket?b=2&a=1");
    });

    test("comes back when the server was restarted, with what was sent meanwhile, in order", async (t) => {
      const app = serve(t, { options: { port: await freePort() } });
      await connect(app);
      await opened();
      await app.server.stop();
      await until("the close", async () => (await codes()).includes(1001));
      await page.evaluate(() => [1, 2, 3].forEach(state.client.send.say));
      const again = serve(t, { options: { port: app.port } });
      await until("the messages", () => again.messages.length === 3);
      assert.deepEqual(
        again.messages.map(({ payload }) => payload),
        [1, 2, 3],
      );
      assert.equal((await codes()).at(-1), "open");
    });

    test("close() ends it with 1000, reconnect() brings it back, both in listeners too", async (t) => {
      const app = serve(t);
      await connect(app);
      await opened();
      await page.evaluate(() => state.client.close());
      await until("closed", () => page.evaluate(() => state.client.readyState === 3));
      assert.deepEqual(await codes(), ["open", 1000]);
      await page.evaluate(() => {
        const stop = state.client.onOpen(() => {
          stop();
          state.client.reconnect();
        });
        state.client.reconnect();
      });
      await until("open again", async () => (await codes()).length === 5);
      assert.deepEqual(await codes(), ["open", 1000, "open", 1000, "open"]);
      await page.evaluate(() => {
        state.client.on.said(() => state.client.close());
        state.client.send.say("x");
      });
      await until("closed", () => page.evaluate(() => state.client.readyState === 3));
      await until("no client", () => app.server.clientCount() === 0);
      assert.deepEqual(complaints, []);
    });

    test("keeps 1 MiB while it is not open, and says QUEUE_FULL of the rest", async (t) => {
      const admission = latch<object>();
      const app = serve(t, { say() {}, onConnect: () => admission.promise });
      await connect(app);
      await page.evaluate(() => {
        for (let number = 0; number < 5; number++) {
          state.client.send.say([number, "x".repeat(300_000)]);
        }
      });
      assert.deepEqual(await codes(), ["QUEUE_FULL", "QUEUE_FULL"]);
      admission.open({});
      await until("the others", () => app.messages.length === 3);
      const numbers = app.messages.map(({ payload }) => (payload as [number, string])[0]);
      assert.deepEqual(numbers, [0, 1, 2]);
    });

    test("has the same function for a route at every read; what a listener throws goes to the console", async (t) => {
      await connect(serve(t));
      await opened();
      const logged = page.waitForEvent("console", (message) => /mine/.test(message.text()));
      const same = await page.evaluate(() => {
        const { on, send } = state.client;
        on.said(() => {
          throw new Error("mine");
        });
        const { said } = on;
        said((payload) => state.heard.push(["after", payload]));
        send.say(1);
        return [on.said === said, on === state.client.on, send.say === state.client.send.say];
      });
      assert.deepEqual(same, [true, true, true]);
      assert.equal((await logged).type(), "error");
      await until("both listeners", async () => (await heard()).length === 2);
      assert.deepEqual(await heard(), [1, ["after", 1]]);
      assert.deepEqual(complaints, []);
    });
  });
}
