// `npm run lint`: what needs no build. Stops at the first complaint.
import { main, run, step, tool } from "./steps.mjs";

await main(async () => {
  await step("cargo fmt", () => run("cargo", ["fmt", "--all", "--check"]));
  await step("prettier", () =>
    tool("prettier/bin/prettier.cjs", "--check", "--log-level=warn", "."),
  );
  await step("oxlint", () => tool("oxlint/bin/oxlint", "--deny-warnings"));
  await step("tsc", () => tool("typescript/bin/tsc", "--project", "tsconfig.json", "--noEmit"));
  await step("clippy", () =>
    run("cargo", ["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny=warnings"]),
  );
});
