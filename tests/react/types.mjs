// The types of the hooks with the types of one React, with every TypeScript that we support.
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";

import { COMPILERS, root, tool } from "../../scripts/steps.mjs";

const here = import.meta.dirname;
const ENDING = /\.tsx?$/;

/** Compiles the specs, the type tests, the files of the guide and, where it is, the example. */
export async function checkTypes(project) {
  const folder = path.join(project, "types");
  mkdirSync(folder);
  const names = readdirSync(here).filter((name) => ENDING.test(name));
  for (const name of names) cpSync(path.join(here, name), path.join(folder, name));
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    target: "es2023",
    lib: ["es2023", "dom", "dom.iterable"],
    module: "preserve",
    moduleResolution: "bundler",
    jsx: "react-jsx",
    allowImportingTsExtensions: true,
    types: ["node"],
    // What the specs take from the repository.
    paths: Object.fromEntries(
      ["esbuild", "playwright-core"].map((name) => [name, [path.join(root, "node_modules", name)]]),
    ),
    noEmit: true,
    // The declarations of React's own libraries are theirs to check; the package's are checked by what uses them.
    skipLibCheck: true,
  };
  writeFileSync(
    path.join(folder, "tsconfig.json"),
    JSON.stringify({ compilerOptions, include: ["."] }),
  );
  for (const [version, compiler] of Object.entries(COMPILERS)) {
    console.log(`types with TypeScript ${version}`);
    for (const place of [folder, ...["guide", "example"].map((it) => path.join(project, it))]) {
      if (existsSync(place)) await tool(compiler, "--project", place, "--pretty", "false");
    }
  }
}
