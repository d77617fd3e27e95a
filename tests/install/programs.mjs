// Runs programs of a project with one Node after another.
import { spawnSync } from "node:child_process";
import path from "node:path";

import { StepError } from "../../scripts/steps.mjs";
import { copy } from "./project.mjs";

/** Longest run of a program, in ms: one that waits for a message that never comes must end too. */
const PATIENCE = 60_000;

/** Programs with real servers and real clients, that import and that require. */
const PROGRAMS = ["round-trip.mjs", "round-trip.cjs", "runtime.mjs"];

/** Runs a program, which fails by its exit code, and prints what it printed. */
function run(node, file, ...args) {
  runWith([node], file, ...args);
}

/** The same with a command that takes arguments before the file. */
function runWith([command, ...before], file, ...args) {
  const { error, signal, status, stdout, stderr } = spawnSync(command, [...before, file, ...args], {
    cwd: path.dirname(file),
    encoding: "utf8",
    timeout: PATIENCE,
  });
  process.stdout.write(stdout ?? "");
  if (status === 0) return;
  throw new StepError(`${file}: ended with ${error?.message ?? signal ?? status}\n${stderr ?? ""}`);
}

/** Runs those programs with a runtime: a command, and what stands before the file. */
export function roundTrips(runtime, project) {
  for (const name of PROGRAMS) copy(project, name);
  for (const name of PROGRAMS) runWith(runtime, path.join(project, name));
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
