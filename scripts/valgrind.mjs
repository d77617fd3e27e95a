// `npm run valgrind`: the engine's tests, and Node with the addon, under valgrind's memcheck. By hand: it takes minutes.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { StepError, helpOr, main, output, root, run, step } from "./steps.mjs";

/** Those that talk through sockets and end soon; the others measure memory, or send floods. */
const TESTS = ["lifecycle", "messaging", "rooms", "backpressure", "limits"];

const HELP = `Usage: npm run valgrind [-- [--only engine|node] [--help]]

Looks for reads and writes outside what is allocated, for use of what is not initialised, and for memory that nobody points to
any more. An error whose stack goes through our code fails the run; what Node and its libraries do by themselves is counted.

  engine  ${TESTS.join(", ")} and the unit tests, as cargo builds them
  node    tests/memcheck/server.mjs with the addon as it is built; with "npm run build:debug" its stacks have names

It installs nothing. It needs Linux and valgrind: "apt-get install valgrind libc6-dbg" on Debian and Ubuntu.`;

const MEMCHECK = [
  "--leak-check=full",
  // What a pointer into its middle still leads to (hash tables, stacks of threads) is no leak.
  "--show-leak-kinds=definite",
  "--errors-for-leak-kinds=definite",
  "--num-callers=40",
  "--xml=yes",
];

// V8 writes code while it runs. Without a compiler it writes the least; the rest is looked at anew each time.
const NODE = ["--smc-check=all-non-file", "--suppressions=tests/memcheck/node.supp"];
const V8 = ["--jitless"];

const { only } = helpOr(() => {
  const { values } = parseArgs({
    options: { help: { type: "boolean", short: "h" }, only: { type: "string" } },
  });
  if (values.only !== undefined && !["engine", "node"].includes(values.only))
    throw new Error("--only takes engine or node.");
  return { values };
}, HELP);

const folder = mkdtempSync(path.join(tmpdir(), "zocket-valgrind-"));

/** Runs a program under memcheck; the errors that go through `ours` fail it. */
async function memcheck(name, ours, options, program) {
  const file = path.join(folder, `${name}.xml`);
  await run("valgrind", [...MEMCHECK, `--xml-file=${file}`, ...options, ...program]).catch(
    (error) => {
      if (name === "node") throw error;
      // Programs are some thirty times slower here, and tests have deadlines: the memory is judged all the same.
      console.log(`${name} failed: ${error.message}`);
    },
  );
  const report = existsSync(file) ? readFileSync(file, "utf8") : "";
  if (!report.includes("</valgrindoutput>"))
    throw new StepError(`${name} did not come to its end.`);
  const errors = report.match(/<error>[^]*?<\/error>/g) ?? [];
  const found = errors.filter((error) => ours.test(error));
  console.log(`${name}: ${found.length} errors of ours, ${errors.length - found.length} others`);
  if (found.length > 0) throw new StepError(found.map(readable).join("\n\n"));
}

const text = (xml, tag) =>
  xml
    .match(new RegExp(`<${tag}>([^]*?)</${tag}>`))?.[1]
    .replace(/&lt;/g, "<")
    .replace(/&gt;/g, ">");

/** An error as valgrind itself would print it. */
function readable(error) {
  const frames = error.match(/<frame>[^]*?<\/frame>/g) ?? [];
  const lines = frames.map((frame) => {
    const place = text(frame, "file") ? ` (${text(frame, "file")}:${text(frame, "line")})` : "";
    return `    ${text(frame, "fn") ?? path.basename(text(frame, "obj") ?? "?")}${place}`;
  });
  return [`${text(error, "kind")}: ${text(error, "what") ?? text(error, "text")}`, ...lines].join(
    "\n",
  );
}

/** The test binaries, built now. */
function testBinaries() {
  const args = [
    "test",
    "--quiet",
    "--package",
    "zocket",
    "--no-run",
    "--message-format=json",
    "--lib",
  ];
  const built = output("cargo", [...args, ...TESTS.map((name) => `--test=${name}`)]);
  if (built === undefined) throw new StepError("cargo did not build the tests.");
  const messages = built.split("\n").map((line) => JSON.parse(line));
  return messages.filter(({ executable }) => executable).map(({ executable }) => executable);
}

await main(async () => {
  if (spawnSync("valgrind", ["--version"]).status !== 0)
    throw new StepError('valgrind was not found; "apt-get install valgrind libc6-dbg" has it.');
  try {
    if (only !== "node")
      await step("Engine", async () => {
        for (const binary of testBinaries()) {
          const name = path.basename(binary).replace(/-[^-]+$/, "");
          // Ours is all of it, but for what the test harness leaves.
          await memcheck(name, /zocket|tokio|tungstenite/, [], [binary, "--test-threads=1"]);
        }
      });
    if (only !== "engine")
      await step("Node with the addon", async () => {
        if (!existsSync(path.join(root, "dist"))) throw new StepError('"npm run build" first.');
        const program = [process.execPath, ...V8, "tests/memcheck/server.mjs"];
        await memcheck("node", /<obj>[^<]*zocket[^<]*\.node</, NODE, program);
      });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
