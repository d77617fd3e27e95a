// The whiteboard of examples/react/ in the App Router of Next.js: built, rendered on the server, and used in a browser.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";

import { findBrowser } from "../../scripts/browser.mjs";
import { root } from "../../scripts/steps.mjs";
import { Program } from "./program.mjs";
import { build } from "./project.mjs";

const SOURCES = path.join(root, "examples", "react", "src");
const FIXTURES = path.join(import.meta.dirname, "fixtures", "board");
const BOARD = { name: "board", build: ["next/dist/bin/next", "build"] };
/** Longest time that anything in the page may take, in ms. */
const PATIENCE = 60_000;

/** The package of this platform's addon, which Next.js is told to leave out of its bundles, as docs/react.md says. */
function addonPackage(project) {
  const scope = path.join(project, "node_modules", "@zocket");
  const [name] = readdirSync(scope).filter((it) => it !== "core");
  return `@zocket/${name}`;
}

/** Without types, as Next.js would want TypeScript and settings of its own. */
async function transformed(name, text) {
  const { transform } = await import("esbuild");
  const { code } = await transform(text, { loader: path.extname(name).slice(1), jsx: "preserve" });
  return code.replaceAll(/(?<=from "\.\/[\w-]+)\.ts(x?)(?=")/g, ".js$1");
}

async function layOut(project) {
  const folder = path.join(project, BOARD.name);
  cpSync(FIXTURES, folder, { recursive: true });
  writeFileSync(path.join(folder, "package.json"), '{ "private": true, "type": "module" }');
  const config = { serverExternalPackages: [addonPackage(project)] };
  writeFileSync(
    path.join(folder, "next.config.mjs"),
    `export default ${JSON.stringify(config)};\n`,
  );
  const board = path.join(folder, "app", "board");
  mkdirSync(board);
  for (const name of readdirSync(SOURCES)) {
    const text = readFileSync(path.join(SOURCES, name), "utf8");
    if (name === "main.tsx") continue;
    if (name === "server.ts")
      writeFileSync(path.join(folder, "server.mjs"), await transformed(name, text));
    else if (name.endsWith(".css")) writeFileSync(path.join(board, name), text);
    else
      writeFileSync(
        path.join(board, name.replace(/ts(?=x?$)/, "js")),
        await transformed(name, text),
      );
  }
}

/** Builds it and checks it; resolves to what there is to say of it. */
export async function checkBoard(project) {
  await layOut(project);
  await build(project, BOARD);
  const program = new Program(project, BOARD);
  try {
    await program.start();
    const { status, text } = await program.request("/state");
    assert.equal(status, 200, program.printed);
    // React puts nothing else into it.
    assert.match(text, /<output>connecting<\/output>/);
    assert.match((await program.request("/")).text, /Start drawing/);
    assert.equal((await program.request("/api")).text, "the addon works");
    const told = await useIt(program);
    program.send("end");
    await program.ends();
    return `rendered on the server; ${told}`;
  } finally {
    await program.kill();
  }
}

async function useIt(program) {
  const executablePath = findBrowser();
  if (!executablePath) return "no browser to use it with";
  const { chromium } = await import("playwright-core");
  const browser = await chromium.launch({
    executablePath,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"],
  });
  const complaints = [];
  let opened = 0;
  const visit = async (where) => {
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE);
    page.on("pageerror", ({ message }) => complaints.push(message));
    page.on("console", (it) => it.type() === "error" && complaints.push(it.text()));
    page.on("websocket", () => (opened += 1));
    await page.goto(program.url("http", where));
    return page;
  };
  const enter = async (name) => {
    const page = await visit("/");
    await page.getByLabel("Your name").fill(name);
    await page.getByRole("button", { name: "Start drawing" }).click();
    await page.locator("output.open").waitFor();
    return page;
  };
  try {
    const state = await visit("/state");
    await state.locator("output", { hasText: /^open$/ }).waitFor();
    const [ada, ben] = [await enter("Ada"), await enter("Ben")];
    const { x, y } = await ada.locator("svg").boundingBox();
    await ada.mouse.move(x + 50, y + 50);
    await ada.mouse.down();
    await ada.mouse.move(x + 150, y + 100, { steps: 5 });
    await ada.mouse.up();
    await ben.locator("polyline").waitFor({ state: "attached" });
    assert.deepEqual(complaints, []);
    assert.equal(opened, 3);
    return "two people draw in it";
  } finally {
    await browser.close();
  }
}
