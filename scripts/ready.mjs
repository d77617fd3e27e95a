// `npm run ready`: everything CI runs, in order. Stops at the first failure.
import { StepError, main, npm, onlyHelp, output, paint, run, step } from "./steps.mjs";

onlyHelp(`Usage: npm run ready [-- --help]

Runs everything that CI runs, in the same order. It stops at the first failure.`);

/** `binding.js` and `binding.d.ts` are generated and committed, so what was built must be what git has. */
function checkBinding() {
  const drift = output("git", ["status", "--porcelain", "--", "binding.js", "binding.d.ts"]);
  if (drift) throw new StepError(`The generated binding differs from what is committed:\n${drift}`);
}

await main(async () => {
  const start = performance.now();
  await step("Lint", () => npm("run", "--silent", "lint"));
  await step("Build", () => npm("run", "--silent", "build"));
  await step("Drift of binding.js and binding.d.ts", checkBinding);
  await step("Test", () => npm("run", "--silent", "test"));
  await step("Install", () => npm("run", "--silent", "test:install"));
  await step("Frameworks", () => npm("run", "--silent", "test:frameworks"));
  await step("Models of what threads share", () => npm("run", "--silent", "loom"));
  await step("Conformance: Autobahn", () =>
    run("bash", ["tests/conformance/conformance.sh", "--quick"]),
  );
  // In the profile of the tests, so that nothing is compiled a third time.
  await step("Benchmarks compile", () =>
    run("cargo", ["bench", "--quiet", "--package", "zocket", "--no-run", "--profile=dev"]),
  );
  await step("Docs", () =>
    run("cargo", ["doc", "--quiet", "--workspace", "--no-deps"], {
      env: { RUSTDOCFLAGS: "--deny=warnings" },
    }),
  );
  const minutes = ((performance.now() - start) / 60_000).toFixed(1);
  console.log(paint("green", `\nReady: everything passed in ${minutes} min.`));
});
