// Runs a TypeScript compiler over a project, and counts the type cases in the files it compiled.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";

import { StepError, root } from "./steps.mjs";

const TESTS = path.join(root, "__test__") + path.sep;

/** Checks a project; its complaints are printed. Returns the files of `__test__` that the compiler took. */
export async function compile(compiler, project) {
  const script = path.join(root, "node_modules", compiler);
  const flags = ["--project", project, "--noEmit", "--pretty", "false", "--listFiles"];
  const { status, stdout, error } = spawnSync(process.execPath, [script, ...flags], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = (stdout ?? "").split(/\r?\n/);
  const files = lines.map((line) => path.normalize(line)).filter((line) => line.startsWith(TESTS));
  if (status === 0) return files;
  for (const line of lines) if (!path.isAbsolute(line) && line !== "") console.log(line);
  throw new StepError(`${compiler} --project ${project}: ${error?.message ?? "failed"}`);
}

/** How many types a file of type tests asserts, errors it expects and blocks of tests it has; none where it is a spec. */
export function typeCasesIn(file) {
  if (!file.endsWith(".test-d.ts")) return 0;
  const text = readFileSync(file, "utf8");
  return (
    text.match(/\bexpectTypeOf[(<]|^\s*\/\/ @ts-expect-error\b|^\s*(?:it|test)\(/gm)?.length ?? 0
  );
}
