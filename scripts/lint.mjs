// `npm run lint`: what needs no build. Stops at the first complaint.
import { checkFloors } from "./floors.mjs";
import { main, onlyHelp, run, step, tool } from "./steps.mjs";

onlyHelp(`Usage: npm run lint [-- --help]

Checks formatting, lints, floors and types, in Rust and TypeScript. It needs no build, and stops at the first complaint.`);

await main(async () => {
  await step("cargo fmt", () => run("cargo", ["fmt", "--all", "--check"]));
  await step("prettier", () =>
    tool("prettier/bin/prettier.cjs", "--check", "--log-level=warn", "."),
  );
  await step("oxlint", () => tool("oxlint/bin/oxlint", "--deny-warnings"));
  await step("floors", () => checkFloors());
  await step("tsc", () => tool("typescript/bin/tsc", "--project", "tsconfig.json", "--noEmit"));
  await step("clippy", async () => {
    // The binding has no tests, and in a test build nothing registers its functions: all of it would be dead code.
    const packages = [
      ["--workspace"],
      ["--package", "zocket", "--all-targets"],
      ["--package", "zocket", "--no-default-features"],
    ];
    for (const selection of packages) {
      await run("cargo", ["clippy", "--quiet", ...selection, "--", "--deny=warnings"]);
    }
  });
});
