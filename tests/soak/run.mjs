// `npm run test:soak`: a server under load and faults, with figures.
import { writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { BUSES } from "../../scripts/buses.mjs";
import { prepare } from "../../scripts/prepare.mjs";
import { StepError, helpOr, main, paint } from "../../scripts/steps.mjs";
import { failed, names, soak } from "./scenarios.mjs";
import { table } from "./report.mjs";

const HELP = `Usage: npm run test:soak [-- [--minutes N] [--only NAME,...] [--bus KIND] [--short] [--json FILE] [--help]]

Starts a server in a process of its own and does to it what servers are done to; checks what it promises and prints
figures as a table in Markdown. Exit: 0 every check holds, 1 one does not.

Scenarios, in this order:
${names()}

Options:
  --minutes N   how long "mixed" takes (default 10). "bus", "churn" and "hostile" take as long, but at most 10 minutes,
                and "hostile" as long again with other limits. The others take two to four minutes together: with
                --minutes 60 all are done after about 105. A "bus" alone takes all of it: npm run soak:bus -- --minutes 30
  --only NAMES  these scenarios alone, separated by commas
  --bus KIND    the bus of "bus": redis (default) or nats
  --short       the small form that is part of "npm test": two minutes
  --json FILE   write the figures there, too`;

const options = helpOr(() => {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      minutes: { type: "string", default: "10" },
      only: { type: "string" },
      bus: { type: "string", default: "redis" },
      short: { type: "boolean", default: false },
      json: { type: "string" },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error("--minutes takes a number.");
  if (!Object.hasOwn(BUSES, values.bus)) throw new Error("--bus takes redis or nats.");
  const only = values.only?.split(",");
  const unknown = only?.find((name) => !names().includes(`  ${name} `));
  if (unknown !== undefined) throw new Error(`There is no scenario called "${unknown}".`);
  return { values: { ...values, minutes, only } };
}, HELP);

await main(async () => {
  await prepare();
  const reports = await soak(options);
  console.log(`\n${table(reports)}`);
  if (options.json !== undefined) {
    const [{ model } = { model: "unknown" }] = os.cpus();
    const machine = { cpu: model, cores: os.availableParallelism(), node: process.version };
    const record = { date: new Date().toISOString(), machine, options, scenarios: reports };
    writeFileSync(path.resolve(options.json), `${JSON.stringify(record, null, 2)}\n`);
  }
  const failures = failed(reports);
  if (failures.length > 0) throw new StepError(`Failed:\n${failures.join("\n")}`);
  console.log(paint("green", "\nAll checks hold."));
});
