// `npm run build:client`: what browsers load, the client, the hooks for React and the message definitions, as ESM in dist/esm. As
// CommonJS it is built with the rest of ts/.
import { writeFileSync } from "node:fs";
import path from "node:path";

import { main, onlyHelp, root, tool } from "./steps.mjs";

onlyHelp(`Usage: npm run build:client [-- --help]

Builds what browsers load into dist/esm: the client, the hooks for React and the message definitions.`);

await main(async () => {
  await tool("typescript/bin/tsc", "--project", "tsconfig.browser.json");
  // The package is CommonJS; this tells Node and TypeScript that this folder is not.
  writeFileSync(path.join(root, "dist", "esm", "package.json"), '{ "type": "module" }\n');
});
