// The oldest glibc that an addon loads with, read from the versions of the symbols that it asks for.
import { readdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

import { StepError, helpOr, main, output, root } from "./steps.mjs";

/** What the README promises of the released addons: their toolchain links against this one. */
export const RELEASED = "2.17";
/** What an addon built on a current Linux needs: since this version, threads and `dlopen` are in libc itself. */
export const BUILT_HERE = "2.34";

const HELP = `Usage: node scripts/glibc.mjs [--released] [--help]

Fails if a glibc addon in the repository's folder needs a newer glibc than ${BUILT_HERE}, and prints what it needs.

Options:
  --released  the oldest glibc that released addons promise instead: ${RELEASED}`;

const minor = (version) => Number(version.split(".")[1]);

/** The newest version of glibc that a file asks for. */
export function glibcOf(file) {
  const needs = output("readelf", ["--version-info", "--wide", file]);
  if (needs === undefined) throw new StepError(`readelf, of binutils, cannot read ${file}.`);
  const versions = [...needs.matchAll(/\bGLIBC_([\w.]+)/g)].map(([, version]) => version);
  // An addon asks for something, by number: anything else is not what readelf is known to print.
  if (versions.length === 0 || !versions.every((version) => /^2\.\d+(?:\.\d+)?$/.test(version)))
    throw new StepError(`${file} asks for versions of glibc that are not understood: ${versions}`);
  return versions.sort((a, b) => minor(a) - minor(b)).at(-1);
}

/** Checks every glibc addon in the repository's folder. */
export function checkGlibc(limit) {
  const addons = readdirSync(root).filter((name) => name.endsWith("-gnu.node"));
  if (addons.length === 0) throw new StepError("There is no addon for glibc to check.");
  for (const name of addons) {
    const needed = glibcOf(path.join(root, name));
    console.log(`${name} needs glibc ${needed}; allowed is ${limit}`);
    if (minor(needed) > minor(limit)) throw new StepError(`${name} needs too new a glibc.`);
  }
}

if (process.argv[1] === import.meta.filename) {
  const { released } = helpOr(
    () =>
      parseArgs({
        options: { help: { type: "boolean", short: "h" }, released: { type: "boolean" } },
      }),
    HELP,
  );
  await main(() => checkGlibc(released ? RELEASED : BUILT_HERE));
}
