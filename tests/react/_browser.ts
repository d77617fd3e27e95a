// A headless browser, and Vite as a test uses it.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

import type * as Playwright from "playwright-core";
import type { Browser, Page } from "playwright-core";

/** Longest wait for anything that is to happen, in ms. */
const PATIENCE = 30_000;

const { CHROMIUM = "", ZOCKET_ROOT = "." } = process.env;

/** Loads a package of the repository: the specs need not install it. */
export const ofRepository = (name: string): unknown =>
  createRequire(pathToFileURL(path.join(ZOCKET_ROOT, "package.json")))(name);

/** Starts the browser. */
export function launch(): Promise<Browser> {
  const { chromium } = ofRepository("playwright-core") as typeof Playwright;
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"],
  });
}

/** A running Vite. */
export interface Vite {
  readonly url: string;
  close(): Promise<void>;
}

interface ViteModule {
  createServer(options: object): Promise<{
    listen(): Promise<unknown>;
    close(): Promise<void>;
    resolvedUrls: { local: string[] };
  }>;
}

/** Starts Vite over a folder. Only React 19's project has it, so that it is not imported before. */
export async function startVite(root: string): Promise<Vite> {
  const name = "vite";
  const { createServer } = (await import(name)) as ViteModule;
  const vite = await createServer({
    root,
    configFile: path.join(root, "vite.config.ts"),
    logLevel: "warn",
    server: { host: "127.0.0.1", port: 0, watch: { usePolling: true, interval: 50 } },
  });
  await vite.listen();
  return { url: vite.resolvedUrls.local[0] ?? "", close: () => vite.close() };
}

/** A page, and what happened to it. */
export interface Visit {
  readonly page: Page;
  /** The paths of the WebSocket connections that it opened. */
  readonly opened: string[];
  readonly complaints: string[];
  /** How often it was loaded. */
  readonly loads: () => number;
}

/** Opens a page, as somebody new. */
export async function visit(browser: Browser, url: string): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 900, height: 600 } });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const opened: string[] = [];
  const complaints: string[] = [];
  let loads = 0;
  page.on("websocket", (socket) => opened.push(new URL(socket.url()).pathname));
  page.on("pageerror", ({ message }) => complaints.push(message));
  page.on("load", () => (loads += 1));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  await page.goto(url);
  return { page, opened, complaints, loads: () => loads };
}
