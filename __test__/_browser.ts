// Starts the headless browser of the specs that need one. CHROMIUM names it: `npm test` finds one, or skips these specs.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { chromium, type Browser, type BrowserContext } from "playwright-core";

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
