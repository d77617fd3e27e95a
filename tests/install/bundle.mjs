// What a browser gets of the package: Vite builds a page with each entry, in which nothing may be native.
import assert from "node:assert/strict";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

import { toolFile } from "./cache.mjs";
import { write } from "./project.mjs";

/** Most that a page's whole code may be, in bytes when compressed. */
const LARGEST = 15_000;
/** What would be in the code if any of the server were. */
const NATIVE = /\.node\b|\bnode:|binding|NativeServer|createServer|missingAddon/;
/** What the code may be made of, from the project's folder: the page, and the client as an ECMAScript module. */
const ALLOWED = /^(?:index\.html|page\.js|node_modules\/@zocket\/core\/dist\/esm\/.*\.js)$/;

/** Builds a page that uses the client of an entry; resolves to what Vite wrote and the warnings that it had. */
async function buildPage(folder, entry) {
  const { build, createLogger } = await import(pathToFileURL(toolFile("vite/dist/node/index.js")));
  write(folder, "index.html", '<script type="module" src="page.js"></script>');
  write(
    folder,
    "page.js",
    `import { createZocketClient } from "${entry}";
    const client = createZocketClient("ws://localhost:3000");
    client.on.chat.onMessage((payload) => document.write(payload.text));
    client.send.chat.message({ text: "hello" });`,
  );
  // Vite only warns of one of Node's modules, and puts an empty one in its place.
  const warnings = [];
  const warn = (text) => warnings.push(text);
  const { output } = await build({
    root: folder,
    configFile: false,
    logLevel: "warn",
    customLogger: { ...createLogger("silent"), warn, warnOnce: warn },
    build: { modulePreload: { polyfill: false }, write: false },
  });
  return { output, warnings };
}

/** Builds both entries and prints what they weigh. */
export async function checkBundles(project) {
  for (const entry of ["@zocket/core", "@zocket/core/client"]) {
    const folder = path.join(project, "bundled", path.basename(entry));
    const { output, warnings } = await buildPage(folder, entry);
    assert.deepEqual(warnings, []);
    assert.deepEqual(
      output.map(({ fileName }) => path.extname(fileName)),
      [".js", ".html"],
    );
    const [{ code, moduleIds }] = output;
    const places = moduleIds.map((id) => {
      const from = id.includes("node_modules") ? project : folder;
      return path.relative(from, id).replaceAll(path.sep, "/");
    });
    assert.deepEqual(
      places.filter((place) => !ALLOWED.test(place)),
      [],
    );
    assert.match(code, /WebSocket/);
    assert.doesNotMatch(code, NATIVE);

    const { length } = gzipSync(code);
    console.log(
      `${entry}: ${length} B compressed, ${code.length} B as it is, of ${places.length} files`,
    );
    assert.ok(length < LARGEST, `${entry} is larger than ${LARGEST} B`);
  }
}
