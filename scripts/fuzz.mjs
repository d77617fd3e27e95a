// `npm run fuzz`: the fuzz targets of `fuzz/`, guided by coverage, for as long as you like. Needs a stable Rust and a
// C++ compiler: libFuzzer comes with a crate, and its instrumentation with rustc.
import { cpSync, mkdirSync, readdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

import { StepError, helpOr, main, output, root, run, step } from "./steps.mjs";

const FOLDER = path.join(root, "fuzz");
const TARGETS = readdirSync(path.join(FOLDER, "fuzz_targets")).map((file) =>
  path.basename(file, ".rs"),
);

const HELP = `Usage: npm run fuzz -- [--minutes N] [TARGET...] [--help]

Runs coverage-guided fuzzing over the seeds in fuzz/seeds, one target after the other, and stops at the first
input that breaks a promise. That input is kept in fuzz/artifacts; "npm run fuzz -- TARGET --input FILE" runs it
again. What it shows belongs into fuzz/seeds, under a name that tells what it is, so that "npm test" repeats it.

  TARGET       ${TARGETS.join(", ")}; all of them by default

Options:
  --minutes N  for all targets together (default 10)
  --input FILE runs one input only`;

// What cargo-fuzz passes, without a sanitizer: the engine forbids unsafe code, and a stable compiler has none.
const FLAGS = [
  "--cfg=fuzzing",
  "-Cpasses=sancov-module",
  "-Cllvm-args=-sanitizer-coverage-level=4",
  "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
  "-Cllvm-args=-sanitizer-coverage-pc-table",
  "-Cllvm-args=-sanitizer-coverage-trace-compares",
  "-Ccodegen-units=1",
];

const { targets, minutes, input } = helpOr(() => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h" },
      minutes: { type: "string", default: "10" },
      input: { type: "string" },
    },
  });
  const unknown = positionals.find((target) => !TARGETS.includes(target));
  if (unknown !== undefined) throw new Error(`There is no target called "${unknown}".`);
  const wanted = Number(values.minutes);
  if (!(wanted > 0)) throw new Error("--minutes takes a number.");
  if (values.input !== undefined && positionals.length !== 1)
    throw new Error("--input takes one target.");
  const targets = positionals.length > 0 ? positionals : TARGETS;
  return { values: { ...values, targets, minutes: wanted } };
}, HELP);

/** Runs a target. A fuzzer's own `main` does not ignore writes to closed sockets, as Rust's and Node's do. */
const fuzz = (binary, args) => run("sh", ["-c", `trap "" PIPE; exec "$0" "$@"`, binary, ...args]);

await main(async () => {
  const host = output("rustc", ["-vV"])?.match(/^host: (.+)$/m)?.[1];
  if (host === undefined) throw new StepError("rustc was not found.");
  // Naming the target keeps the flags off build scripts.
  const cargo = ["--release", "--manifest-path", path.join(FOLDER, "Cargo.toml"), "--target", host];
  const env = { RUSTFLAGS: FLAGS.join(" ") };
  await step("Build", () => run("cargo", ["build", "--quiet", ...cargo], { env }));

  const seconds = Math.max(1, Math.round((minutes * 60) / targets.length));
  for (const target of targets) {
    const binary = path.join(FOLDER, "target", host, "release", target);
    if (input !== undefined) {
      await fuzz(binary, [path.resolve(input)]);
      continue;
    }
    // New inputs go into a copy, and stay there for the next run.
    const corpus = path.join(FOLDER, "corpus", target);
    const artifacts = path.join(FOLDER, "artifacts", target);
    for (const folder of [corpus, artifacts]) mkdirSync(folder, { recursive: true });
    cpSync(path.join(FOLDER, "seeds", target), corpus, { recursive: true });
    await step(`${target}: ${seconds} s`, () =>
      fuzz(binary, [
        corpus,
        `-artifact_prefix=${artifacts}${path.sep}`,
        `-max_total_time=${seconds}`,
        "-max_len=4096",
        // The targets know by themselves when they hang; a process that was suspended must not look as if it did.
        "-timeout=600",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        "-verbosity=0",
      ]),
    );
  }
});
