// Runs the specs of `__test__/` with Node's own test runner. Node 20 reads no TypeScript, so esbuild turns it into
// JavaScript first, in an ignored folder as deep as `__test__`: paths that lead out of it stay true.
import { readFileSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";

import { StepError, root, run } from "./steps.mjs";

const FROM = path.join(root, "__test__");
const TO = path.join(root, ".specs");

/** Keeps the package under test, and everything else outside `__test__`, out of the bundle: one copy, as built. */
const outsideStaysOutside = {
  name: "outside-stays-outside",
  setup(build) {
    build.onResolve({ filter: /^\.\.?\// }, ({ path: wanted, resolveDir }) => {
      const target = path.resolve(resolveDir, wanted);
      if (target.startsWith(FROM + path.sep)) return undefined;
      const relative = path.relative(TO, target).replaceAll(path.sep, "/");
      return { path: relative, external: true };
    });
  },
};

/** Specs that need a browser. */
export const PAGES = [
  "bytes-page.spec.ts",
  "chat-page.spec.ts",
  "client-line-page.spec.ts",
  "compression-page.spec.ts",
  "client-page.spec.ts",
  "origin-page.spec.ts",
  "refusals-page.spec.ts",
];

/** The specs' names, or those that begin with one of these; none that needs a browser. */
export function specNames(beginnings) {
  const names = readdirSync(FROM).filter(
    (name) => /\.spec\.(ts|mjs)$/.test(name) && !PAGES.includes(name),
  );
  if (beginnings.length === 0) return names;
  const wanted = names.filter((name) => beginnings.some((beginning) => name.startsWith(beginning)));
  if (wanted.length === 0)
    throw new StepError(`There is no spec called ${beginnings.join(" or ")}.`);
  return wanted;
}

/** Runs these specs; their own output ends with the runner's counts, of which it returns how many cases there were. */
export async function runSpecs(names, env) {
  // Imported only now: it may just have been installed.
  const { build } = await import("esbuild");
  rmSync(TO, { recursive: true, force: true });
  await build({
    absWorkingDir: root,
    // All TypeScript, not the specs alone: some start another file in a process or worker of its own.
    entryPoints: readdirSync(FROM)
      .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts") && !name.endsWith("-d.ts"))
      .map((name) => path.join(FROM, name)),
    outdir: TO,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20.19",
    sourcemap: "inline",
    logLevel: "warning",
    plugins: [outsideStaysOutside],
  });
  const files = names.map((name) =>
    name.endsWith(".ts") ? path.join(TO, name.replace(/ts$/, "mjs")) : path.join(FROM, name),
  );
  const flags = ["--enable-source-maps", "--test", "--test-timeout=600000"];
  // Many specs wait, for timers and for other processes. The runner itself would leave one core unused, and the other one idle.
  flags.push(`--test-concurrency=${Math.max(2, availableParallelism() - 1)}`);
  // The second reporter writes the same counts where they can be read.
  const counts = path.join(TO, "counts.tap");
  flags.push("--test-reporter=spec", "--test-reporter-destination=stdout");
  flags.push("--test-reporter=tap", `--test-reporter-destination=${counts}`);
  await run(process.execPath, [...flags, ...files], { env });
  return countIn(readFileSync(counts, "utf8"));
}

/** How many cases the runner counted: the last `# tests` of its output, as what a test prints comes before. */
function countIn(tap) {
  const count = tap
    .match(/^# tests (\d+)$/gm)
    ?.at(-1)
    ?.slice("# tests ".length);
  if (count === undefined)
    throw new StepError("The test runner did not say how many cases it ran.");
  return Number(count);
}
