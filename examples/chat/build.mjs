// Bundles the chat into examples/chat/built/: server.ts for Node, where @zocket/core stays a package, and page.ts for
// the browser, where @zocket/core/client is built in. `npm start` calls it.
import path from "node:path";
import { pathToFileURL } from "node:url";

import { build } from "esbuild";

const here = import.meta.dirname;

/** Resolves to the address of the built server: importing it starts the chat. */
export async function buildChat() {
  const shared = { absWorkingDir: here, bundle: true, outdir: "built", logLevel: "warning" };
  await Promise.all([
    build({
      ...shared,
      entryPoints: ["page/page.ts"],
      platform: "browser",
      format: "esm",
      target: "es2022",
      minify: true,
      sourcemap: false,
    }),
    build({
      ...shared,
      entryPoints: ["server.ts"],
      platform: "node",
      format: "esm",
      target: "node20.19",
      packages: "external",
      outExtension: { ".js": ".mjs" },
    }),
  ]);
  return pathToFileURL(path.join(here, "built", "server.mjs")).href;
}
