// The versions of React that the hooks support, each with its packages in a folder that is kept between runs.
import { rmSync } from "node:fs";
import path from "node:path";

import { findBrowser } from "../../scripts/browser.mjs";
import { installKept, keptAt } from "../../scripts/kept.mjs";
import { root } from "../../scripts/steps.mjs";
import { makeProject } from "./project.mjs";
import { runSpecs } from "./specs.mjs";
import { checkTypes } from "./types.mjs";

/** Where the packages are. */
export const CACHE = keptAt("zocket-react", "ZOCKET_REACT_CACHE");

/** The versions. */
export const REACTS = ["18", "19"];

/** Why nothing could be tested. */
export const NO_REACT = "React is not installed, and npm cannot reach its registry";

/** Runs everything for one React. Resolves to whether it was there. */
export async function testReact(version, { keep = false, specs = [] } = {}) {
  const installed = await installKept(CACHE, path.join(import.meta.dirname, version), "react");
  if (!installed) return false;
  const project = makeProject(installed);
  try {
    const browser = findBrowser();
    const env = { ZOCKET_ROOT: root, ...(browser && { CHROMIUM: browser }) };
    await runSpecs(project, specs, env);
    if (specs.length === 0) await checkTypes(project);
  } finally {
    if (keep) console.log(`kept: ${project}`);
    else rmSync(project, { recursive: true, force: true });
  }
  return true;
}
