// The specs of one React: bundled into its project, and run with Node's own test runner.
import { cpSync, readdirSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { run } from "../../scripts/steps.mjs";

const here = import.meta.dirname;

/** Runs the specs whose names begin with one of these words, or all of them. */
export async function runSpecs(project, beginnings, env) {
  // Imported only now: it may just have been installed.
  const { build } = await import("esbuild");
  const names = readdirSync(here).filter((name) => /\.spec\.tsx?$/.test(name));
  const wanted = names.filter(
    (name) => beginnings.length === 0 || beginnings.some((beginning) => name.startsWith(beginning)),
  );
  await build({
    entryPoints: wanted.map((name) => path.join(here, name)),
    outdir: project,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20.19",
    jsx: "automatic",
    sourcemap: "inline",
    logLevel: "warning",
  });
  const dom = path.join(project, "_dom.mjs");
  cpSync(path.join(here, "_dom.mjs"), dom);
  const files = wanted.map((name) => path.join(project, name.replace(/tsx?$/, "mjs")));
  const flags = ["--enable-source-maps", "--test", "--test-timeout=120000"];
  flags.push("--import", pathToFileURL(dom).href, "--test-reporter=spec");
  await run(process.execPath, [...flags, ...files], { env });
}
