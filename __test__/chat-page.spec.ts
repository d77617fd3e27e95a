// The chat of `examples/chat/` as its users see it: two people in two headless browsers, and a server that goes away.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import type { Browser, Page } from "playwright-core";

import { launch } from "./_browser.ts";

/** Longest wait for anything the page is to show, in ms. */
const PATIENCE = 45_000;
const ROOT = new URL("../", import.meta.url);

let server: ChildProcess | undefined;
let browser: Browser;
let address = "";
const ports = { PORT: "0", SOCKETS_PORT: "0" };
/** What the pages complained about; a page that works has nothing to say. */
const complaints: string[] = [];

/** Starts the chat as `npm start` does and resolves when it has told its address. Later starts take the same ports. */
async function startServer(): Promise<void> {
  const script = fileURLToPath(new URL("scripts/start.mjs", ROOT));
  const started = spawn(process.execPath, [script], {
    env: { ...process.env, ...ports },
    stdio: ["ignore", "pipe", "inherit"],
  });
  server = started;
  let printed = "";
  for await (const chunk of started.stdout) {
    printed += String(chunk);
    const found = /(http:\/\/localhost:(\d+)).*ws:\/\/localhost:(\d+)/.exec(printed);
    if (!found) continue;
    [, address = "", ports.PORT = "", ports.SOCKETS_PORT = ""] = found;
    return;
  }
  throw new Error(`the chat ended without an address: ${printed}`);
}

async function stopServer(signal: NodeJS.Signals): Promise<unknown> {
  const ended = server && once(server, "exit");
  server?.kill(signal);
  server = undefined;
  return (await ended)?.[0];
}

/** Opens the page as somebody new, with storage of their own. */
async function visit(name: string): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => complaints.push(`${name}: ${error.message}`));
  page.on("console", (message) => {
    // What the browser itself says about a server that is gone is expected.
    if (message.type() === "error" && !message.text().includes("ERR_CONNECTION_REFUSED")) {
      complaints.push(`${name}: ${message.text()}`);
    }
  });
  await page.goto(address);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Start chatting" }).click();
  await page.locator("#status", { hasText: /^Connected$/ }).waitFor();
  return page;
}

const composer = (page: Page) => page.getByLabel("Message", { exact: true });
const messages = (page: Page) => page.locator("#messages");
const shows = (page: Page, selector: string, hasText: string | RegExp) =>
  page.locator(selector, { hasText }).first().waitFor();

async function say(page: Page, text: string): Promise<void> {
  await composer(page).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

describe("the chat page", () => {
  let ada: Page;
  let ben: Page;

  before(async () => {
    await startServer();
    browser = await launch();
    ada = await visit("Ada");
    ben = await visit("Ben");
  });

  after(async () => {
    await browser?.close();
    await stopServer("SIGKILL");
  });

  test("shows each of two people who is in the room", async () => {
    for (const page of [ada, ben]) {
      await shows(page, "#people li", "Ada");
      await shows(page, "#people li", "Ben");
    }
    await shows(ada, "#people li", "Ada (you)");
  });

  test("brings a message to both, to its writer as an own one, and never as markup", async () => {
    const text = '<img src=x onerror="document.title=1"> & <b>bold</b>';
    await say(ada, text);
    await shows(ada, ".message.own:not(.waiting) .text", text);
    await shows(ben, ".message:not(.own) .text", text);
    await shows(ben, ".message .name", "Ada");
    assert.equal(await messages(ben).locator("img, b").count(), 0);
    assert.match(await messages(ben).locator("time").first().innerText(), /\d/);
  });

  test("shows who is typing, and stops when the message is there", async () => {
    await composer(ben).pressSequentially("Hel");
    await shows(ada, "#typing", "Ben is typing…");
    await composer(ben).press("Enter");
    await shows(ada, ".message .text", /^Hel$/);
    await ada.locator("#typing:empty").waitFor({ state: "attached" });
  });

  test("shows what the server says about a message that is too long, and gives it back", async () => {
    await say(ada, "x".repeat(501));
    await shows(ada, "#notice", "Not sent: A message has at most 500 characters.");
    assert.equal((await composer(ada).inputValue()).length, 501);
    assert.equal(await ada.locator(".message.waiting").count(), 0);
    await say(ada, "Short enough");
    await shows(ben, ".message .text", "Short enough");
    assert.equal(await ada.locator("#notice").innerText(), "");
  });

  test("keeps rooms apart: join, unread, switch, leave", async () => {
    await ben.getByRole("button", { name: /^Join music/ }).click();
    await shows(ben, "#people li", "Ben (you)");
    assert.equal(await ben.locator("#people li").count(), 1);
    await say(ben, "Only for music");
    await shows(ben, ".message .text", "Only for music");
    await say(ada, "Still in the lobby");
    await shows(ben, ".room .unread", "1 new");
    assert.equal(await messages(ada).getByText("Only for music").count(), 0);

    await ben.getByRole("button", { name: "Leave music" }).click();
    await shows(ben, "#room-title", "#lobby");
    await shows(ben, ".message .text", "Still in the lobby");
    await ben.getByRole("button", { name: /^Join music, 0 people/ }).waitFor();
  });

  test("somebody who comes later sees what was said, and everybody sees them come and go", async () => {
    const cy = await visit("Cy");
    await shows(cy, ".message .text", "Still in the lobby");
    await shows(ada, "#people li", "Cy");
    await cy.context().close();
    await ada.locator("#people li", { hasText: "Cy" }).waitFor({ state: "detached" });
  });

  test("another name takes the old one's place", async () => {
    await ben.getByRole("button", { name: "Change name" }).click();
    await ben.getByLabel("Your name").fill("Benjamin");
    await ben.getByRole("button", { name: "Start chatting" }).click();
    await shows(ada, "#people li", "Benjamin");
    await ada.locator("#people li", { hasText: /^Ben$/ }).waitFor({ state: "detached" });
  });

  test("says that the connection is gone, keeps what is written, and sends it when it is back", async () => {
    await stopServer("SIGKILL");
    await shows(ada, "#banner", "coming back by itself");
    await say(ada, "Written meanwhile");
    await say(ada, "And one more");
    await shows(ada, ".message.waiting", "Written meanwhile");

    await startServer();
    await shows(ada, "#status", /^Connected$/);
    await ada.locator("#banner").waitFor({ state: "hidden" });
    await shows(ben, ".message .text", "Written meanwhile");
    await shows(ada, ".message.own:not(.waiting) .text", "And one more");
    for (const text of ["Written meanwhile", "And one more"]) {
      assert.equal(await messages(ben).getByText(text).count(), 1);
    }
    await shows(ada, "#people li", "Benjamin");
  });

  test("the pages had nothing to complain about", () => {
    assert.deepEqual(complaints, []);
  });

  test(
    "the server ends by itself when it is asked to",
    { skip: process.platform === "win32" },
    async () => {
      assert.equal(await stopServer("SIGTERM"), 0);
    },
  );
});
