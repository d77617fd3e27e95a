// `npm run test:react`: the hooks with each React that they support.
import { parseArgs } from "node:util";

import { prepare } from "../../scripts/prepare.mjs";
import { helpOr, main, step } from "../../scripts/steps.mjs";
import { CACHE, NO_REACT, REACTS, testReact } from "./versions.mjs";

const HELP = `Usage: npm run test:react [-- [--only VERSION] [--keep] [SPEC...] [--help]]

Runs the specs of tests/react/ with React ${REACTS.join(" and React ")}. Installs and builds first what is missing. Without a registry and
a cache, it checks nothing.

  SPEC            the specs whose names begin so, alone

Options:
  --only VERSION  only this React
  --keep          keep the folder of the project, and print its name

Environment:
  ZOCKET_REACT_CACHE  where the packages are kept between runs
                      (now ${CACHE})`;

const { only, keep, specs } = helpOr(() => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h" },
      keep: { type: "boolean" },
      only: { type: "string" },
    },
  });
  if (values.only !== undefined && !REACTS.includes(values.only))
    throw new Error(`There is no test for React ${values.only}.`);
  return { values: { ...values, specs: positionals } };
}, HELP);
await main(async () => {
  await prepare();
  for (const version of REACTS.filter((it) => only === undefined || it === only)) {
    await step(`React ${version}`, async () => {
      if (!(await testReact(version, { keep, specs }))) console.log(`skipped: ${NO_REACT}`);
    });
  }
});
