// The programs of the documentation, word for word, compiled in a project that has the package installed.
import { readFileSync } from "node:fs";
import path from "node:path";

import { COMPILERS, StepError, root, tool } from "../../scripts/steps.mjs";
import { copy, fixture, write } from "./project.mjs";

/** The block of code in a document that begins so. */
function block(document, beginning) {
  const text = readFileSync(path.join(root, document), "utf8");
  const blocks = [...text.matchAll(/^```(?:ts|typescript)\n([\s\S]*?)^```$/gm)];
  const found = blocks.map(([, code]) => code).find((code) => code.startsWith(beginning));
  if (found === undefined)
    throw new StepError(`${document} has no code that begins "${beginning}"`);
  return found;
}

/** Replaces what a test cannot leave as it is, which must be there once. */
function replace(folder, name, from, to) {
  const text = readFileSync(path.join(folder, name), "utf8");
  if (text.split(from).length !== 2) throw new StepError(`${name} does not hold ${from} once.`);
  write(folder, name, text.replace(from, to));
}

/** Compiles the README's server and page and the reference page's example; the programs may then be run. */
export async function compileDocumented(project) {
  const folder = path.join(project, "documented");
  write(folder, "package.json", '{ "type": "module" }');
  write(folder, "server.ts", block("README.md", "// server.ts\n"));
  write(folder, "page.ts", block("README.md", "// page.ts\n"));
  const example = block("docs/zocket-create.md", 'import { z } from "zod";\nimport { zocket }');
  write(folder, "reference.ts", example + fixture("reference.ts"));
  copy(folder, "readme.mjs");
  const compilerOptions = {
    module: "node16",
    target: "es2023",
    strict: true,
    skipLibCheck: false,
    types: ["node"],
  };
  write(folder, "tsconfig.json", JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  for (const [version, compiler] of Object.entries(COMPILERS)) {
    console.log(`README.md and docs/zocket-create.md with TypeScript ${version}`);
    await tool(compiler, "--project", folder);
  }
  // Two runs at once must not meet on a port.
  replace(folder, "server.js", "port: 3000", "port: 0");
  replace(folder, "page.js", '"ws://localhost:3000"', "process.env.ZOCKET_URL");
}
