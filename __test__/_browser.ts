// Starts the headless browser of the specs that need one, and serves pages with the package's client. CHROMIUM names it: `npm test` finds one, or skips these specs.
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

import { build } from "esbuild";
import { chromium, type Browser, type BrowserContext } from "playwright-core";

import { ROOT } from "./_child.ts";

const OPTIONS = {
  executablePath: process.env["CHROMIUM"] ?? "chromium",
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // A name for this machine that a browser does not know to be this machine.
    "--host-resolver-rules=MAP zocket.test 127.0.0.1",
  ],
};

export function launch(): Promise<Browser> {
  // A user-data-dir is made and removed by playwright at each launch.
  return chromium.launch(OPTIONS);
}

/** A browser that takes cookies of third parties, as its users may: by default Chromium no longer sends any. */
export async function launchTolerant(): Promise<BrowserContext> {
  const folder = mkdtempSync(path.join(tmpdir(), "zocket-browser-"));
  mkdirSync(path.join(folder, "Default"));
  const preferences = { profile: { cookie_controls_mode: 0, block_third_party_cookies: false } };
  writeFileSync(path.join(folder, "Default", "Preferences"), JSON.stringify(preferences));
  const context = await chromium.launchPersistentContext(folder, OPTIONS);
  process.once("exit", () => {
    try {
      rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
    } catch {
      // A browser that is slow to end may still write there; what is left is the system's to clear.
    }
  });
  return context;
}

/** Where pages come from. */
export interface Site {
  readonly origin: string;
  readonly pages: Server;
}

/** A site whose pages have the package's client, as `zocket`. A page without an address may not reach this machine. */
export async function serveClient(
  entry = "@zocket/core/client",
  headers: Record<string, string> = {},
): Promise<Site> {
  const { outputFiles } = await build({
    stdin: { contents: `export { createZocketClient } from "${entry}";`, resolveDir: ROOT },
    bundle: true,
    platform: "browser",
    format: "iife",
    globalName: "zocket",
    write: false,
  });
  const script = outputFiles[0]?.text ?? "";
  const pages = createServer((_, response) => {
    response.writeHead(200, { ...headers, "content-type": "text/html; charset=utf-8" });
    response.end(`<!doctype html><title>client</title><script>${script}</script>`);
  }).listen(0, "127.0.0.1");
  await once(pages, "listening");
  const { port } = pages.address() as AddressInfo;
  return { origin: `http://127.0.0.1:${port}`, pages };
}
