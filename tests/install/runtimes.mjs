// Runtimes other than Node, as npm has them: each is a package that leads to one with an executable for this platform.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";

import { toolFile } from "./cache.mjs";

const exe = process.platform === "win32" ? ".exe" : "";
/** What Deno lets a program do that uses an addon, as docs/runtimes.md has it. */
const ALLOWED = ["--allow-ffi", "--allow-read", "--allow-env", "--allow-net", "--allow-sys"];

const RUNTIMES = [
  { name: "Bun", tool: "bun", executables: [`bin/bun${exe}`, "bin/bun.exe"], args: [] },
  {
    name: "Deno",
    tool: "deno",
    executables: [`deno${exe}`],
    args: ["run", "--no-prompt", "--node-modules-dir=manual", ...ALLOWED],
  },
];

/** The runtimes with their commands, which a platform that npm has no executable for lacks. */
export function runtimes() {
  return RUNTIMES.map(({ name, tool, executables, args }) => {
    const { optionalDependencies, version } = JSON.parse(
      readFileSync(toolFile(`${tool}/package.json`), "utf8"),
    );
    const platform = Object.keys(optionalDependencies).find((it) => existsSync(toolFile(it)));
    // The scripts of the tool's package may have moved the executable there.
    const places = platform ? [platform, tool] : [];
    const found = places
      .flatMap((place) => executables.map((file) => toolFile(path.join(place, file))))
      .find((file) => existsSync(file));
    return { name: `${name} ${version}`, command: found && [found, ...args] };
  });
}
