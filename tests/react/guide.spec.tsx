// The first program of docs/react.md, as a reader has it: its server, and its page from Vite.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

import type * as Esbuild from "esbuild";

import { launch, ofRepository, startVite, visit } from "./_browser.ts";

const { CHROMIUM } = process.env;
const GUIDE = path.join(import.meta.dirname, "guide");
const skip =
  CHROMIUM && existsSync(path.join(GUIDE, "vite.config.ts")) ? false : "no browser or no Vite";
/** Readers have it on this port. */
const PORT = "3000";

test(
  "the guide's server and page talk, and the page has nothing to complain about",
  { skip },
  async (t) => {
    const esbuild = ofRepository("esbuild") as typeof Esbuild;
    const source = readFileSync(path.join(GUIDE, "server.ts"), "utf8");
    assert.ok(source.includes(`port: ${PORT}`));
    // Node 20 reads no TypeScript.
    const { code } = await esbuild.transform(source.replace(PORT, "0"), { loader: "ts" });
    const program = path.join(GUIDE, "server.mjs");
    writeFileSync(program, code);
    const server = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => server.kill("SIGKILL"));
    let printed = "";
    for await (const chunk of server.stdout) {
      printed += String(chunk);
      if (printed.includes("\n")) break;
    }
    const url = /listening on (\S+)/.exec(printed)?.[1] ?? "";
    const main = path.join(GUIDE, "main.tsx");
    const page = readFileSync(main, "utf8");
    assert.ok(page.includes(`"ws://localhost:${PORT}"`));
    writeFileSync(main, page.replace(`ws://localhost:${PORT}`, url));

    const vite = await startVite(GUIDE);
    t.after(() => vite.close());
    const browser = await launch();
    t.after(() => browser.close());
    const enter = async (name: string) => {
      const { page, complaints } = await visit(browser, "about:blank");
      page.on("dialog", (dialog) => void dialog.accept(name));
      await page.goto(vite.url);
      await page.getByText("You are connected.").waitFor();
      return { page, complaints };
    };
    const ada = await enter("Ada");
    await ada.page.locator("input").fill("hello");
    await ada.page.getByRole("button", { name: "Send" }).click();
    await ada.page.getByText("Ada: hello").waitFor();
    const ben = await enter("Ben");
    await ben.page.getByText("Ada: hello").waitFor();
    await ben.page.locator("input").fill("hello Ada");
    await ben.page.getByRole("button", { name: "Send" }).click();
    await ada.page.getByText("Ben: hello Ada").waitFor();
    // The guide has no picture for the tab.
    const about = [...ada.complaints, ...ben.complaints].filter((it) => !it.includes("404"));
    assert.deepEqual(about, []);
  },
);
