// A project in the folder of one React, with the package in it as npm would install it: so Node and bundlers find both.
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  symlinkSync,
} from "node:fs";
import path from "node:path";

import { root } from "../../scripts/steps.mjs";
import { layOutGuide } from "./guide.mjs";

const PACKAGE = [
  "index.js",
  "index.mjs",
  "index.d.ts",
  "index.d.mts",
  "binding.js",
  "binding.d.ts",
];

/** Makes the project. Resolves to its folder. */
export function makeProject(installed) {
  const project = mkdtempSync(path.join(installed, "run-"));
  const folder = path.join(project, "node_modules", "@zocket", "core");
  mkdirSync(folder, { recursive: true });
  for (const name of [...PACKAGE, "package.json", "dist"])
    cpSync(path.join(root, name), path.join(folder, name), { recursive: true });
  // The addon is large, and a link does for it, where everybody may make one.
  const put = process.platform === "win32" ? copyFileSync : symlinkSync;
  for (const name of readdirSync(root).filter((it) => it.endsWith(".node")))
    put(path.join(root, name), path.join(folder, name));
  // Where Vite is, so is the example.
  const hasVite = existsSync(path.join(installed, "node_modules", "vite"));
  layOutGuide(path.join(project, "guide"), hasVite ? [] : ["vite.config.ts"]);
  if (hasVite) {
    const isSource = (file) => !/[\\/](?:node_modules|package-lock\.json)$/.test(file);
    const example = path.join(root, "examples", "react");
    cpSync(example, path.join(project, "example"), { recursive: true, filter: isSource });
  }
  return project;
}
