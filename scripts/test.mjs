// `npm test`: every test there is, a heading for each kind and a summary at the end.
import { existsSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

import { NO_REACT, REACTS, testReact } from "../tests/react/versions.mjs";
import { findBrowser } from "./browser.mjs";
import { prepare } from "./prepare.mjs";
import { PAGES, runSpecs, specNames } from "./specs.mjs";
import { COMPILERS, StepError, helpOr, main, paint, root, run, step } from "./steps.mjs";
import { compile, typeCasesIn } from "./types.mjs";

const HELP = `Usage: npm test [-- [--only KIND] [SPEC...] [--help]]

Installs and builds what is missing or older than its sources, then runs the tests.

  SPEC         the specs whose names begin so, alone: "npm test -- rooms"

Options:
  --only KIND  one kind alone; may be given several times. Kinds:
                 cargo   the engine's tests (cargo test)
                 specs   the specs of __test__/, with Node's test runner
                 types   the type tests and the examples, with every TypeScript we support
                 soak    a server under load and faults, in its short form (npm run test:soak -- --short)
                 react   the hooks with each React that they support; skipped where npm cannot reach its registry
                 page    the chat page and the client in a headless Chromium; skipped where there is none

Environment:
  CHROMIUM       the browser to use for the pages
  ZOCKET_PYTHON  a Python that has "websockets", for the specs that use a client in another language`;

/** What a kind throws when it cannot run here, which is no failure. A kind that passed may return its counts. */
class Skipped extends Error {}

const KINDS = {
  cargo: ["Engine: cargo test", () => run("cargo", ["test", "--quiet", "--package", "zocket"])],
  specs: ["Specs: node --test", checkSpecs],
  types: ["Types: tsc", checkTypes],
  soak: [
    "Soak: load and faults, short",
    () => run(process.execPath, ["tests/soak/run.mjs", "--short"]),
  ],
  react: ["React: the hooks", testReacts],
  page: ["Pages: headless Chromium", testPages],
};

async function checkSpecs() {
  return `${await runSpecs(specNames(specs))} contract cases`;
}

async function checkTypes() {
  const cases = new Map();
  for (const project of ["__test__/tsconfig.json", "examples/tsconfig.json"]) {
    for (const [version, compiler] of Object.entries(COMPILERS)) {
      if (!existsSync(path.join(root, "node_modules", compiler))) continue;
      console.log(`${project} with TypeScript ${version}`);
      for (const file of await compile(compiler, project)) cases.set(file, typeCasesIn(file));
    }
  }
  const total = [...cases.values()].reduce((sum, count) => sum + count, 0);
  if (total === 0) throw new StepError("No type case was compiled.");
  return `${total} type cases`;
}

async function testReacts() {
  for (const version of REACTS) {
    console.log(`React ${version}`);
    if (!(await testReact(version))) throw new Skipped(NO_REACT);
  }
}

async function testPages() {
  const browser = findBrowser();
  if (!browser) throw new Skipped("no Chromium found; CHROMIUM names one");
  await runSpecs(PAGES, { CHROMIUM: browser });
}

const { only, specs } = helpOr(() => {
  const parsed = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h" },
      only: { type: "string", multiple: true },
    },
  });
  const { values, positionals: specs } = parsed;
  const only = values.only ?? (specs.length > 0 ? ["specs"] : Object.keys(KINDS));
  const unknown = only.find((kind) => !Object.hasOwn(KINDS, kind));
  if (unknown !== undefined) throw new Error(`There is no kind of test called "${unknown}".`);
  return { values: { ...values, only, specs } };
}, HELP);

await main(async () => {
  // Cargo builds what its tests need by itself.
  if (only.some((kind) => kind !== "cargo")) await prepare();
  const results = [];
  for (const kind of only) {
    const [title, work] = KINDS[kind];
    let result = "passed";
    await step(title, async () => {
      try {
        const counts = await work();
        if (counts) result += `, ${counts}`;
      } catch (error) {
        if (!(error instanceof Skipped)) throw error;
        result = `skipped: ${error.message}`;
        console.log(result);
      }
    }).catch((error) => {
      // One kind that fails does not keep the others from being run.
      console.error(error instanceof StepError ? error.message : error);
      result = "FAILED";
    });
    results.push([title, result]);
  }

  console.log(paint("bold", "\n== Summary"));
  for (const [title, result] of results) console.log(`${title}: ${result}`);
  const failed = results.filter(([, result]) => result === "FAILED").length;
  if (failed > 0) throw new StepError(`${failed} of ${results.length} kinds of tests failed.`);
});
