// `npm run test:frameworks`: the server on the HTTP servers of real frameworks, with the programs of docs/existing-server.md.
import { rmSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

import { pack } from "../../scripts/pack.mjs";
import { prepare } from "../../scripts/prepare.mjs";
import { helpOr, main, paint, step } from "../../scripts/steps.mjs";
import { checkBoard } from "./board.mjs";
import { CACHE, installFrameworks, versionOf } from "./cache.mjs";
import { check } from "./checks.mjs";
import { FRAMEWORKS } from "./frameworks.mjs";
import { build, checkDocumented, layOut } from "./project.mjs";

const NAMES = FRAMEWORKS.map(({ name }) => name);
const HELP = `Usage: npm run test:frameworks [-- [--only NAME]... [--keep] [--help]]

Takes the programs of docs/existing-server.md, compiles them, and runs each with the packed package and its framework:
${NAMES.join(", ")}.
Foreign clients check that pages and WebSocket connections work side by side, and what happens when the server stops or
the HTTP server closes. With Next.js, they use the whiteboard of examples/react/ too. Installs and builds first what is missing. Without a registry and a cache, it checks nothing.

Options:
  --only NAME  only this framework; may be repeated
  --keep       keep the folder of the programs, and print its name

Environment:
  ZOCKET_FRAMEWORKS_CACHE  where the frameworks are kept between runs
                           (now ${CACHE})`;

const { keep, only } = helpOr(() => {
  const options = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      keep: { type: "boolean" },
      only: { type: "string", multiple: true, default: [] },
    },
  });
  const unknown = options.values.only.find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw new Error(`There is no framework "${unknown}".`);
  return options;
}, HELP);

async function test(installed, project, frameworks) {
  for (const framework of frameworks) {
    const { name, module } = framework;
    const version = module ? versionOf(installed, module) : process.version;
    if (framework.build) await step(`Build ${name} ${version}`, () => build(project, framework));
    await step(`${name} ${version}`, async () => console.log(await check(project, framework)));
    if (name !== "next") continue;
    await step("The hooks for React with its App Router", async () =>
      console.log(await checkBoard(project)),
    );
  }
}

await main(async () => {
  await prepare();
  checkDocumented(FRAMEWORKS);
  const frameworks = FRAMEWORKS.filter(({ name }) => only.length === 0 || only.includes(name));
  const installed = await step("Get the frameworks", installFrameworks);
  if (!installed) {
    console.log("skipped: the frameworks are not installed, and npm cannot reach its registry");
    return;
  }
  const tarballs = path.join(installed, `tarballs-${process.pid}`);
  let project;
  try {
    const packages = await step("Pack", () => pack({ to: tarballs }));
    project = await step("Compile", () => layOut(installed, packages, frameworks));
    await test(installed, project, frameworks);
    console.log(paint("green", "\nThe server works on all of them."));
  } finally {
    rmSync(tarballs, { recursive: true, force: true });
    if (keep) console.log(`kept: ${project}`);
    else if (project) rmSync(project, { recursive: true, force: true });
  }
});
