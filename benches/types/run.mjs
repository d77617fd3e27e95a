// What does a router cost a compiler? Checks applications of so many routes with each kind of schema and each TypeScript, and
// the schemas alone beside them: the difference is ours. Another application has as many calls, with replies and errors.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

import { COMPILERS, helpOr, main, root } from "../../scripts/steps.mjs";
import { KINDS, application, calls } from "./application.mjs";

const HELP = `Usage: npm run bench:types [-- --routes N] [--rounds N]

Prints, for each, the median over the rounds. A build is needed first (npm run build).

  --routes N  how many routes, a multiple of 20 (default 300)
  --rounds N  how often each is checked (default 3)`;

const options = helpOr(() => {
  const count = (name, fallback) => ({ [name]: { type: "string", default: String(fallback) } });
  const parsed = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      ...count("routes", 300),
      ...count("rounds", 3),
    },
  });
  for (const name of ["routes", "rounds"]) {
    if (!/^[1-9]\d*$/.test(parsed.values[name])) throw new Error(`--${name} takes a number.`);
  }
  return parsed;
}, HELP);

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** What is checked: an application, its schemas alone, and an application whose routes are all calls. */
const CHECKED = {
  "the application": (kind, routes) => application(kind, routes),
  "its schemas alone": (kind, routes) => application(kind, routes, { withLibrary: false }),
  "as many calls": calls,
};

/** Writes a program as a project, and returns its folder. */
function project(kind, checked) {
  const folder = path.join(root, "target", "types", `${kind}-${checked.replaceAll(" ", "-")}`);
  mkdirSync(folder, { recursive: true });
  const source = CHECKED[checked](kind, Number(options.routes));
  writeFileSync(path.join(folder, "application.ts"), source);
  const compilerOptions = {
    target: "es2023",
    module: "nodenext",
    types: ["node"],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
  };
  const config = { compilerOptions, files: ["application.ts"] };
  writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify(config));
  return folder;
}

/** One check, by the compiler's own figures. */
function check(compiler, folder) {
  const script = path.join(root, "node_modules", compiler);
  const flags = ["--project", folder, "--pretty", "false", "--extendedDiagnostics"];
  const { status, stdout } = spawnSync(process.execPath, [script, ...flags], { encoding: "utf8" });
  if (status !== 0) throw new Error(stdout);
  const figure = (what) => Number(new RegExp(`^${what}:\\s+([\\d.]+)`, "m").exec(stdout)[1]);
  return {
    types: figure("Types"),
    instantiations: figure("Instantiations"),
    check: figure("Check time"),
    total: figure("Total time"),
  };
}

await main(async () => {
  console.log(`${options.routes} routes; seconds are medians of ${options.rounds}\n`);
  console.log("| TypeScript | schemas | checked | types | instantiations | check s | total s |");
  console.log("| --- | --- | --- | ---: | ---: | ---: | ---: |");
  for (const [version, compiler] of Object.entries(COMPILERS)) {
    if (!existsSync(path.join(root, "node_modules", compiler))) continue;
    for (const kind of KINDS) {
      for (const checked of Object.keys(CHECKED)) {
        const folder = project(kind, checked);
        const rounds = Array.from({ length: Number(options.rounds) }, () =>
          check(compiler, folder),
        );
        const [{ types, instantiations }] = rounds;
        const seconds = ["check", "total"].map((name) =>
          median(rounds.map((round) => round[name])).toFixed(2),
        );
        const row = [version, kind, checked, types, instantiations, ...seconds];
        console.log(`| ${row.join(" | ")} |`);
      }
    }
  }
});
