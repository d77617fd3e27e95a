// The scenarios by name, and how they are run: one after the other, each in processes of its own.
import { paint } from "../../scripts/steps.mjs";
import * as crowd from "./crowd.mjs";
import * as blocked from "./blocked.mjs";
import * as bus from "./bus.mjs";
import * as churn from "./churn.mjs";
import * as handlers from "./handlers.mjs";
import * as hostile from "./hostile.mjs";
import * as mixed from "./mixed.mjs";
import * as neverReading from "./never-reading.mjs";
import { endAll, maxFiles } from "./processes.mjs";
import { Report } from "./report.mjs";

const SCENARIOS = {
  crowd,
  churn,
  blocked,
  "never-reading": neverReading,
  handlers,
  hostile,
  mixed,
  bus,
};

/** A line for each scenario. */
export const names = () =>
  Object.entries(SCENARIOS)
    .map(([name, { title }]) => `  ${name.padEnd(14)}${title}`)
    .join("\n");

/** Runs them; what they found. One that fails does not keep the others from being run. */
export async function soak({ only = Object.keys(SCENARIOS), short, minutes, bus: kind }) {
  const settings = { short, minutes, bus: kind, files: maxFiles(), isAlone: only.length === 1 };
  const reports = [];
  for (const name of only) {
    const { title, run } = SCENARIOS[name];
    console.log(paint("bold", `\n-- ${name}: ${title}`));
    const report = new Report(name);
    reports.push(report);
    try {
      await run(report, settings);
    } catch (error) {
      report.check("the scenario ends", false, error instanceof Error ? error.stack : error);
    } finally {
      await endAll();
      report.end();
    }
    const lines = report.figures.map(({ what, value }) => `   ${what}: ${value}`);
    console.log(lines.join("\n"));
  }
  return reports;
}

/** Every check that failed, in a line. */
export const failed = (reports) =>
  reports.flatMap(({ name, failures }) => failures.map((failure) => `  ${name}: ${failure}`));
