// `npm run format`: writes Rust and TypeScript as `npm run lint` wants them.
import { main, onlyHelp, run, tool } from "./steps.mjs";

onlyHelp(`Usage: npm run format [-- --help]

Formats Rust with cargo fmt, and everything else with prettier.`);

await main(async () => {
  await run("cargo", ["fmt", "--all"]);
  await tool("prettier/bin/prettier.cjs", "--write", "--log-level=warn", ".");
});
