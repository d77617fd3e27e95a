// What a browser gets of the package: Vite builds a page with each entry, in which nothing may be native.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";

import { run } from "../../scripts/steps.mjs";
import { toolFile } from "./cache.mjs";
import { write } from "./project.mjs";

/** Most that a page's whole code may be, in bytes when compressed. */
const LARGEST = 15_000;
/** What would be in the code if any of the server were; Vite puts its own word where Node's modules were. */
const NATIVE =
  /\.node\b|\bnode:|binding|NativeServer|createServer|missingAddon|__vite-browser-external/;

async function buildPage(folder, entry) {
  write(folder, "index.html", '<script type="module" src="page.js"></script>');
  write(
    folder,
    "page.js",
    `import { createZocketClient } from "${entry}";
    const client = createZocketClient("ws://localhost:3000");
    client.on.chat.onMessage((payload) => document.write(payload.text));
    client.send.chat.message({ text: "hello" });`,
  );
  await run(process.execPath, [toolFile("vite/bin/vite.js"), "build", "--logLevel=warn", folder]);
}

/** Builds both entries and prints what they weigh. */
export async function checkBundles(project) {
  for (const entry of ["@zocket/core", "@zocket/core/client"]) {
    const folder = path.join(project, "bundled", path.basename(entry));
    await buildPage(folder, entry);
    const assets = path.join(folder, "dist", "assets");
    const names = readdirSync(assets);
    assert.ok(names.length > 0 && names.every((name) => name.endsWith(".js")), names.join());
    const code = names.map((name) => readFileSync(path.join(assets, name), "utf8")).join("\n");
    assert.match(code, /WebSocket/);
    assert.doesNotMatch(code, NATIVE);
    const { length } = gzipSync(code);
    console.log(
      `${entry}: ${length} B compressed, ${code.length} B as it is; allowed are ${LARGEST} B`,
    );
    assert.ok(length < LARGEST, `${entry} is too large for a page`);
  }
}
