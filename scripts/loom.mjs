// `npm run loom`: models what threads share, and tries every order of what they do with at most two preemptions.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";

import { StepError, main, onlyHelp, root, step } from "./steps.mjs";

onlyHelp(`Usage: npm run loom [-- --help]

Models what threads share, and tries every order of what they do with at most two preemptions.`);

const MODELS = "src/border/models.rs";

/** Runs the models; fails as well when a filter that went stale leaves some of them out. */
function runModels() {
  // In a folder of its own: another flag would make cargo compile everything anew, each time one follows the other.
  const filter = ["--lib", "--target-dir=target/loom", "border::models::"];
  const { status, stdout } = spawnSync("cargo", ["test", "--package", "zocket", ...filter], {
    cwd: root,
    env: { ...process.env, RUSTFLAGS: "--cfg zocket_loom", LOOM_MAX_PREEMPTIONS: "2" },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.stdout.write(stdout ?? "");
  if (status !== 0) throw new StepError("a model failed");
  const passed = Number(/(\d+) passed/.exec(stdout)?.[1] ?? 0);
  const models = readFileSync(path.join(root, MODELS), "utf8").split("#[test]").length - 1;
  if (passed === 0 || passed !== models) {
    throw new StepError(`${passed} models ran, but ${MODELS} has ${models}`);
  }
}

await main(() => step("Loom: inbox, bell, mailbox, pending places", runModels));
