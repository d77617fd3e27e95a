// What the scripts in this folder share: named, timed steps, and the programs they call. Needs Node alone.
import { spawn, spawnSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** The repository's folder. */
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");

/** A failure whose text says everything a reader needs: it is printed without a stack. */
export class StepError extends Error {}

const windows = process.platform === "win32";
// Colour only where somebody looks: logs of a CI run stay plain text.
const colours = process.stdout.isTTY && process.env.NO_COLOR === undefined;
const CODES = { bold: 1, red: 31, green: 32 };
export const paint = (format, text) => (colours ? `\x1b[${CODES[format]}m${text}\x1b[0m` : text);

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

/** Prints a heading, does the work, and prints how long it took. */
export async function step(title, work) {
  const start = performance.now();
  console.log(paint("bold", `\n== ${title}`));
  try {
    const result = await work();
    console.log(paint("green", `-- ${title}: done in ${seconds(start)}`));
    return result;
  } catch (error) {
    console.log(paint("red", `-- ${title}: failed after ${seconds(start)}`));
    throw error;
  }
}

/** Runs a program in the repository's folder with its output passed through; resolves when it ended with 0. */
export function run(command, args, { env, shell = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      shell,
      stdio: ["ignore", "inherit", "inherit"],
    });
    child.once("error", (cause) =>
      reject(new StepError(`cannot start ${command}: ${cause.message}`)),
    );
    child.once("exit", (code, signal) =>
      code === 0
        ? resolve()
        : reject(new StepError(`${[command, ...args].join(" ")}: ended with ${signal ?? code}`)),
    );
  });
}

/** What a program printed, trimmed; `undefined` when it could not be started or failed. */
export function output(command, args) {
  const { status, stdout } = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/** Runs npm; under `npm run`, the very npm that runs this script. */
export function npm(...args) {
  const own = process.env.npm_execpath;
  if (own?.endsWith("npm-cli.js")) return run(process.execPath, [own, ...args]);
  // npm is a batch file on Windows, which only a shell starts. The arguments are this project's own words.
  return run("npm", args, { shell: windows });
}

/** Runs a script of an installed package, without relying on `node_modules/.bin`. */
export function tool(script, ...args) {
  return run(process.execPath, [path.join(root, "node_modules", script), ...args]);
}

/** The compilers of TypeScript by version; the first one builds the package. */
export const COMPILERS = { 7: "typescript/bin/tsc", 5.9: "typescript-5.9/bin/tsc" };

/** Runs a script's main function: failures of steps are one line, anything else keeps its stack. */
export async function main(work) {
  const [major, minor] = process.versions.node.split(".").map(Number);
  try {
    if (major < 20 || (major === 20 && minor < 19)) {
      throw new StepError(`Node.js 20.19 or later is needed; this is ${process.versions.node}.`);
    }
    await work();
  } catch (error) {
    console.error(error instanceof StepError ? paint("red", `\n${error.message}`) : error);
    process.exitCode = 1;
  }
}

/** Prints the help and ends when it is asked for, or when an option is not one of ours. */
export function helpOr(parse, help) {
  let options;
  try {
    options = parse();
  } catch (error) {
    console.error(`${error.message}\n\n${help}`);
    process.exit(2);
  }
  if (options.values.help) {
    console.log(help);
    process.exit(0);
  }
  return options.values;
}

/** The same for a script that has no other option. */
export function onlyHelp(help) {
  helpOr(() => parseArgs({ options: { help: { type: "boolean", short: "h" } } }), help);
}
