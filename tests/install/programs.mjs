// Runs programs of a project with one Node after another.
import { spawnSync } from "node:child_process";
import path from "node:path";

import { StepError } from "../../scripts/steps.mjs";
import { copy } from "./project.mjs";

/** Longest run of a program, in ms: one that waits for a message that never comes must end too. */
const PATIENCE = 60_000;

/** Runs a program, which fails by its exit code, and prints what it printed. */
function run(node, file, ...args) {
  const { error, signal, status, stdout, stderr } = spawnSync(node, [file, ...args], {
    encoding: "utf8",
    timeout: PATIENCE,
  });
  process.stdout.write(stdout ?? "");
  if (status === 0) return;
  throw new StepError(`${file}: ended with ${error?.message ?? signal ?? status}\n${stderr ?? ""}`);
}

/** Real servers and real clients, in programs that import and that require. */
export function roundTrips(node, project) {
  for (const name of ["round-trip.mjs", "round-trip.cjs"]) copy(project, name);
  for (const name of ["round-trip.mjs", "round-trip.cjs"]) run(node, path.join(project, name));
}

/** The compiled programs of the documentation. */
export function documented(node, project) {
  for (const name of ["readme.mjs", "reference.js"]) {
    console.log(`${name}:`);
    run(node, path.join(project, "documented", name));
  }
}

/** What a project says that has the package, and no addon for this platform. */
export function missing(node, project, platform) {
  copy(project, "missing.mjs");
  run(node, path.join(project, "missing.mjs"), platform);
}
