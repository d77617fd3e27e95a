// The client in a browser whose network comes and goes, and in a page that nobody sees: what no other platform tells.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";

import type {
  ClientCloseEvent,
  ClientOptions,
  createZocketClient,
  ZocketClient,
} from "@zocket/core";
import type { Browser, BrowserContext, Page } from "playwright-core";

import { launch, serveClient, type Site } from "./_browser.ts";
import { freePort } from "./_port.ts";
import { startProxy } from "./_proxy.ts";
import { serve } from "./_support.ts";
import { until } from "./_wait.ts";

/** What the script in the page sees: the package's client, and what a test keeps between its steps. */
declare const zocket: { createZocketClient: typeof createZocketClient };
declare const client: ZocketClient<never>;
declare const ends: ClientCloseEvent[];
declare const states: string[];

/** Options that travel into a page, where functions cannot. */
type PageOptions = Omit<ClientOptions, "headers"> & { headers?: Record<string, string> };

describe("a client in a browser", () => {
  let browser: Browser;
  let site: Site;
  let context: BrowserContext;
  let page: Page;

  before(async () => {
    site = await serveClient();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    site?.pages.close();
  });

  beforeEach(async () => {
    await context?.close();
    context = await browser.newContext();
    page = await context.newPage();
    await page.goto(site.origin);
  });

  /** Connects in the page, by a name that the browser does not know to be this machine's. */
  async function connect(url: string, options: PageOptions = {}, tokens?: string[]): Promise<void> {
    await page.evaluate(
      ([url, options, tokens]) => {
        const ends: unknown[] = [];
        const states: string[] = [];
        const headers = () => Promise.resolve({ authorization: tokens?.shift() });
        const given = tokens ? { ...options, headers } : options;
        const client = zocket.createZocketClient(url, given);
        client.onClose((event) => ends.push(event));
        client.onState((state, retryAt) => states.push(`${state} ${retryAt ? "at" : "-"}`));
        Object.assign(globalThis, { client, ends, states });
      },
      [url.replace("127.0.0.1", "zocket.test"), options, tokens] as const,
    );
  }
  const is = (state: string) =>
    until(state, () => page.evaluate((state) => client.state === state, state));
  const codes = () => page.evaluate(() => ends.map(({ code }) => code));
  const HOUR = { minReconnectionDelay: 3_600_000, maxReconnectionDelay: 3_600_000 };

  test("waits while the browser is offline, without a time, and connects at once when it is back", async (t) => {
    const app = serve(t, { options: { port: await freePort() } });
    await connect(app.url, HOUR);
    await is("open");
    await context.setOffline(true);
    await app.server.stop(true);
    await is("waiting");
    assert.equal(await page.evaluate(() => client.retryAt), undefined);
    const again = serve(t, { options: { port: app.port } });
    await page.evaluate(() => client.reconnect());
    assert.equal(await page.evaluate(() => client.state), "waiting");
    await context.setOffline(false);
    await is("open");
    assert.equal(again.connects.length, 1);
  });

  test("gives up its time while the browser is offline", async (t) => {
    const app = serve(t, { options: { port: await freePort() } });
    await app.server.stop();
    await connect(app.url, HOUR);
    await is("waiting");
    const next = (await page.evaluate(() => client.retryAt)) ?? 0;
    assert.ok(next > Date.now() + 1_000_000);
    await context.setOffline(true);
    await until("no time", () => page.evaluate(() => client.retryAt === undefined));
    serve(t, { options: { port: app.port } });
    await context.setOffline(false);
    await is("open");
    assert.deepEqual(await page.evaluate(() => states), [
      "waiting at",
      "waiting -",
      "connecting -",
      "open -",
    ]);
  });

  for (const how of ["online", "visible"] as const) {
    test(`notices a line that died meanwhile within seconds: ${how}`, async (t) => {
      const app = serve(t);
      const proxy = await startProxy(t, app.url);
      await connect(proxy.url, HOUR);
      await is("open");
      proxy.state.isFrozen = true;
      if (how === "online") {
        await context.setOffline(true);
        await context.setOffline(false);
      } else {
        await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
      }
      const began = Date.now();
      await is("waiting");
      assert.deepEqual(
        await page.evaluate(() =>
          ends.map(({ code, reason, wasClean }) => [code, reason, wasClean]),
        ),
        [[4000, "silence", false]],
      );
      assert.ok(Date.now() - began < 15_000, "sooner than the silence of 25 s");
    });
  }

  test("keeps a line that lives, when the network and the page come back", async (t) => {
    const app = serve(t);
    await connect(app.url, { heartbeatInterval: 100 });
    await is("open");
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await context.setOffline(true);
    await context.setOffline(false);
    // Its pings are answered, and nobody in JavaScript hears of them.
    await page.evaluate(() => new Promise((done) => setTimeout(done, 1_000)));
    assert.deepEqual([await codes(), app.messages.length], [[], 0]);
    assert.deepEqual(app.errors, []);
  });

  test("works in a worker, which has a network and no page", async (t) => {
    const app = serve(t);
    const told = await page.evaluate(
      (url) => {
        const script = document.querySelector("script")?.textContent ?? "";
        const work = `${script};
        const client = zocket.createZocketClient("${url}", { minReconnectionDelay: 3600000, maxReconnectionDelay: 3600000 });
        client.onState((state, retryAt) => postMessage([state, retryAt === undefined]));`;
        const worker = new Worker(URL.createObjectURL(new Blob([work])));
        const told: unknown[] = [];
        Object.assign(globalThis, { told, worker });
        worker.addEventListener("message", ({ data }) => told.push(data));
        return "started";
      },
      app.url.replace("127.0.0.1", "zocket.test"),
    );
    assert.equal(told, "started");
    const heard = () => page.evaluate(() => (globalThis as unknown as { told: unknown[] }).told);
    await until("open", async () => (await heard()).length === 1);
    await app.server.stop(true);
    await until("waiting", async () => (await heard()).length === 2);
    assert.deepEqual(await heard(), [
      ["open", true],
      ["waiting", false],
    ]);
  });

  test("asks anew when its page was frozen, and lives on", async (t) => {
    const app = serve(t);
    await connect(app.url, { heartbeatInterval: 100 });
    await is("open");
    const session = await context.newCDPSession(page);
    await session.send("Page.setWebLifecycleState", { state: "frozen" });
    await new Promise((done) => setTimeout(done, 12_000));
    await session.send("Page.setWebLifecycleState", { state: "active" });
    await page.evaluate(() => new Promise((done) => setTimeout(done, 2_000)));
    assert.deepEqual([await codes(), app.disconnects.length], [[], 0]);
  });

  test("learns why it was refused, and does not come again", async (t) => {
    const app = serve(t, {
      onConnect: () => {
        throw Object.assign(new Error("secret"), { status: 403 });
      },
    });
    await connect(app.url, { minReconnectionDelay: 1 });
    await is("closed");
    const found = await page.evaluate(() => ends.map(({ code, refused }) => ({ code, refused })));
    assert.deepEqual(found, [{ code: 4403, refused: { status: 403, code: "CONNECT" } }]);
    assert.equal(app.connects.length, 1);
  });

  test("comes back with a fresh token where the first one has expired", async (t) => {
    const app = serve(t, {
      onConnect: ({ authorization }) => {
        if (authorization !== "fresh") throw Object.assign(new Error("expired"), { status: 401 });
      },
    });
    await connect(app.url, { minReconnectionDelay: 1 }, ["expired", "fresh"]);
    await is("open");
    assert.deepEqual(await codes(), [4401]);
    const id = await page.evaluate(() => client.id);
    assert.equal(id, app.connects[1]?.clientId);
  });
});
