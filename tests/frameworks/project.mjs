// A project with the packed package and the programs of docs/existing-server.md, word for word, compiled.
import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { StepError, root, tool } from "../../scripts/steps.mjs";
import { CLOSE } from "./frameworks.mjs";

const PAGE = "docs/existing-server.md";
const FIXTURES = path.join(import.meta.dirname, "fixtures");
/** Programs listen on this port in the documentation, and on a free one here. */
const PORT = "3000";

/** The blocks of the page that are files: their first line is their name. */
function documentedFiles() {
  const text = readFileSync(path.join(root, PAGE), "utf8").replaceAll("\r\n", "\n");
  const blocks = text.matchAll(/^```ts\n(\/\/ (\S+\.m?ts)\n[\s\S]*?)^```$/gm);
  return new Map([...blocks].map(([, code, name]) => [name, code]));
}

/** The files of the page that a framework has. */
const filesOf = ({ name, files = [] }) => [`${name}.mts`, ...files];

/** Every file of the page must be checked. */
export function checkDocumented(frameworks) {
  const checked = frameworks.flatMap(filesOf);
  const unknown = [...documentedFiles().keys()].filter((name) => !checked.includes(name));
  if (unknown.length > 0) throw new StepError(`Nothing checks ${unknown.join(", ")} of ${PAGE}.`);
}

/** Puts the packages of the tarballs into a project, as npm would. */
function unpack(project, packages) {
  for (const { manifest, tarball } of packages) {
    if (!tarball) continue;
    const folder = path.join(project, "node_modules", manifest.name);
    mkdirSync(folder, { recursive: true });
    const args = ["-xzf", path.basename(tarball), "-C", folder, "--strip-components=1"];
    // A name alone: tar takes what stands before a colon for a host, and paths of Windows have one.
    const { status, stderr } = spawnSync("tar", args, { cwd: path.dirname(tarball) });
    if (status !== 0) throw new StepError(`tar: cannot unpack ${tarball}: ${stderr}`);
  }
}

/**
 * Lays out a project in the folder of the frameworks, so that Node finds them there: each program in a folder of its own,
 * with its fixtures, compiled. Resolves to the project's folder.
 */
export async function layOut(installed, packages, frameworks) {
  const project = mkdtempSync(path.join(installed, "run-"));
  unpack(project, packages);
  const files = documentedFiles();
  const { cert, key } = await certificate(project);
  for (const framework of frameworks) {
    const { name, fixtures } = framework;
    const folder = path.join(project, name);
    mkdirSync(folder);
    write(folder, "package.json", '{ "private": true, "type": "module" }');
    if (fixtures) cpSync(path.join(FIXTURES, fixtures), folder, { recursive: true });
    cpSync(path.join(FIXTURES, "drive.mjs"), path.join(folder, "drive.mjs"));
    write(folder, "cert.pem", cert);
    write(folder, "key.pem", key);
    for (const file of filesOf(framework)) {
      if (!files.has(file)) throw new StepError(`${PAGE} has no file ${file}.`);
      write(folder, file, files.get(file));
    }
  }
  await compile(project);
  for (const framework of frameworks) addDrive(project, framework);
  return project;
}

/** The compiler settings are those that Next.js writes into a project, with the decorators of NestJS. */
async function compile(project) {
  const compilerOptions = {
    strict: true,
    target: "es2023",
    module: "esnext",
    moduleResolution: "bundler",
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    skipLibCheck: true,
    types: ["node"],
    rootDir: ".",
  };
  const include = ["*/*.mts", "*/*.ts", "*/app/**/*.ts"];
  write(project, "tsconfig.json", JSON.stringify({ compilerOptions, include }));
  await tool("typescript/bin/tsc", "--project", project);
  // Next.js would want TypeScript and its own tsconfig.json.
  for (const file of readdirSync(project, { recursive: true })) {
    const isSource = /(?<!\.d)\.m?ts$/.test(file) && !file.startsWith("node_modules");
    if (isSource || file === "tsconfig.json") rmSync(path.join(project, file));
  }
}

/** Makes a compiled program do what the test says, on a free port. */
function addDrive(project, { name, httpServer = "httpServer", end = CLOSE }) {
  const file = path.join(project, name, `${name}.mjs`);
  const code = readFileSync(file, "utf8");
  if (code.split(PORT).length !== 2) throw new StepError(`${name}.mts does not hold ${PORT} once.`);
  const drive = `import { drive } from "./drive.mjs";
await drive({ httpServer: ${httpServer}, server, end: () => ${end} });
`;
  writeFileSync(file, code.replace(PORT, "0") + drive);
}

/** A new certificate for `localhost`, from what the specs have for that. */
async function certificate(project) {
  const source = readFileSync(path.join(root, "__test__", "_certificates.ts"), "utf8");
  // Imported only now: it may just have been installed.
  const { transform } = await import("esbuild");
  const { code } = await transform(source, { loader: "ts" });
  const file = path.join(project, "certificates.mjs");
  writeFileSync(file, code);
  const { Authority } = await import(pathToFileURL(file));
  return new Authority().issue("localhost");
}

function write(folder, name, text) {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}

/** Runs what a framework wants to be run first. */
export async function build(project, { name, build: [script, ...args] }) {
  const file = path.join(project, "..", "node_modules", script);
  const { status, stdout, stderr } = spawnSync(process.execPath, [file, ...args], {
    cwd: path.join(project, name),
    env: { ...process.env, NODE_ENV: "production", NEXT_TELEMETRY_DISABLED: "1" },
    encoding: "utf8",
    timeout: 300_000,
  });
  if (status !== 0) throw new StepError(`${name}: the build failed\n${stdout}${stderr}`);
}
