// The whiteboard of examples/react/ as its users see it, in a headless browser, served by Vite.
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import type { Browser, Page } from "playwright-core";

import { launch, startVite, visit, type Visit, type Vite } from "./_browser.ts";

const { CHROMIUM, ZOCKET_PICTURE } = process.env;
const EXAMPLE = path.join(import.meta.dirname, "example");
const skip = CHROMIUM && existsSync(EXAMPLE) ? false : "no browser, or a React without the example";

describe("the whiteboard", { skip }, () => {
  let vite: Vite;
  let browser: Browser;

  before(async () => {
    vite = await startVite(EXAMPLE);
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await vite?.close();
  });

  async function enter(name: string): Promise<Visit> {
    const visitor = await visit(browser, vite.url);
    const { page } = visitor;
    await page.getByLabel("Your name").fill(name);
    if (name === "Ben") await page.getByTitle("#e5484d").click();
    await page.getByRole("button", { name: "Start drawing" }).click();
    await page.locator("output.open").waitFor();
    return visitor;
  }

  /** How many connections to the board a page has opened. Vite has one of its own. */
  const connections = ({ opened }: Visit) => opened.filter((it) => it === "/board").length;

  /** Draws a line, from 0 to 1 across the board. */
  async function draw({ page }: Visit, ...points: readonly (readonly [number, number])[]) {
    const box = await page.locator("svg").boundingBox();
    assert.ok(box);
    for (const [at, [x, y]] of points.entries()) {
      await page.mouse.move(box.x + x * box.width, box.y + y * box.height, { steps: 4 });
      if (at === 0) await page.mouse.down();
    }
    await page.mouse.up();
  }

  const lines = ({ page }: Visit, many: number) =>
    page.waitForFunction((count) => document.querySelectorAll("polyline").length === count, many);

  let ada: Visit;
  let ben: Visit;

  test("shows two people to each other, with one connection each in Strict Mode", async () => {
    ada = await enter("Ada");
    ben = await enter("Ben");
    for (const { page } of [ada, ben]) {
      await page.locator("header li", { hasText: "Ada" }).waitFor();
      await page.locator("header li", { hasText: "Ben" }).waitFor();
    }
    assert.deepEqual([connections(ada), connections(ben)], [1, 1]);
  });

  test("brings a line to the other one, and to somebody who comes later", async () => {
    const [left, right, floor] = [0.15, 0.42, 0.85];
    await draw(
      ada,
      [left, floor],
      [left, 0.5],
      [0.285, 0.2],
      [right, 0.5],
      [right, floor],
      [left, floor],
    );
    await draw(ada, [0.25, floor], [0.25, 0.62], [0.32, 0.62], [0.32, floor]);
    await lines(ben, 2);
    const sun = Array.from({ length: 25 }, (_, at) => (at / 24) * 2 * Math.PI);
    await draw(
      ben,
      ...sun.map((it) => [0.72 + 0.1 * Math.cos(it), 0.3 + 0.17 * Math.sin(it)] as const),
    );
    await lines(ada, 3);
    await ada.page.locator("main span", { hasText: "Ben" }).waitFor();
    const pointsOf = (page: Page) =>
      page.locator("polyline").evaluateAll((all) => all.map((it) => it.getAttribute("points")));
    await ben.page.waitForFunction(
      (points) =>
        [...document.querySelectorAll("polyline")].map((it) => it.getAttribute("points")).join() ===
        points,
      (await pointsOf(ada.page)).join(),
    );
    const cy = await enter("Cy");
    await lines(cy, 3);
    assert.deepEqual(await pointsOf(cy.page), await pointsOf(ada.page));
    if (ZOCKET_PICTURE) await ada.page.screenshot({ path: ZOCKET_PICTURE });
    assert.deepEqual(cy.complaints, []);
    await cy.page.context().close();
    await ada.page.locator("header li", { hasText: "Cy" }).waitFor({ state: "detached" });
  });

  for (const [file, before, after] of [
    ["status.tsx", "Clear</button>", "Wipe</button>"],
    // It renders the provider.
    ["app.tsx", "minReconnectionDelay={500}", "minReconnectionDelay={600}"],
  ] as const) {
    test(`keeps the connection and the lines when ${file} is changed while it runs`, async () => {
      const place = path.join(EXAMPLE, "src", file);
      const code = readFileSync(place, "utf8");
      const changed = code.replace(before, after);
      assert.notEqual(changed, code);
      const updated = ada.page.waitForEvent("console", {
        predicate: (message) => message.text().includes("hot updated"),
      });
      writeFileSync(place, changed);
      await updated;
      await lines(ada, 3);
      await ada.page.locator("output.open").waitFor();
      // It still talks.
      await draw(ben, [0.5, 0.9], [0.6, 0.9]);
      await lines(ada, 4);
      await ada.page.getByRole("button", { name: "Wipe" }).click();
      await lines(ben, 0);
      await draw(ada, [0.1, 0.1], [0.2, 0.2]);
      await draw(ada, [0.1, 0.3], [0.2, 0.4]);
      await draw(ada, [0.1, 0.5], [0.2, 0.6]);
      await lines(ben, 3);
      await lines(ada, 3);
      assert.deepEqual([ada.loads(), connections(ada), connections(ben)], [1, 1, 1]);
    });
  }

  test("had nothing to complain about", () => {
    assert.deepEqual([...ada.complaints, ...ben.complaints], []);
  });
});
