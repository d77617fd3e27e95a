// What the specs about documentation share: the pages as text, blocks and tables, and a project of its own, with the package
// installed, in which their code is compiled by every TypeScript we support, and run.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, type TestContext } from "node:test";
import { pathToFileURL } from "node:url";

import { Authority } from "./_certificates.ts";
import { Child, ROOT } from "./_child.ts";

/** The text of a page, by its path from the repository's folder. */
export const readPage = (name: string) =>
  readFileSync(path.join(ROOT, name), "utf8").replaceAll("\r\n", "\n");

/** The pages of the reference. */
export const PAGES = readdirSync(path.join(ROOT, "docs")).filter((name) => name.endsWith(".md"));

/** A block of code under its nearest heading. */
export interface Block {
  readonly heading: string;
  /** The words behind the fence, the language first. */
  readonly info: readonly string[];
  readonly code: string;
}

export function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  let heading = "";
  for (const [, title, info, code] of page.matchAll(/^#+ (.+)$|^```(.*)\n([\s\S]*?)^```$/gm)) {
    if (title !== undefined) heading = title;
    else blocks.push({ heading, info: info?.split(" ") ?? [], code: code ?? "" });
  }
  return blocks;
}

/** A table of a page, under its nearest heading. */
export interface Table {
  readonly heading: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function tablesOf(page: string): Table[] {
  const tables: Table[] = [];
  let heading = "";
  const withoutCode = page.replaceAll(/^```[\s\S]*?^```$/gm, "");
  for (const [, title, lines] of withoutCode.matchAll(/^#+ (.+)$|((?:^\|.*\|$\n?)+)/gm)) {
    if (title !== undefined) heading = title;
    if (lines === undefined) continue;
    const [columns = [], , ...rows] = lines.trim().split("\n").map(cellsOf);
    tables.push({ heading, columns, rows });
  }
  return tables;
}

/** `\|` in a cell is a bar. */
const cellsOf = (line: string) =>
  line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));

/** The names in back ticks in a cell. */
export const codesIn = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code);

export const COMPILERS = { "TypeScript 7": "typescript", "TypeScript 5.9": "typescript-5.9" };

/** Everything that pages import. */
const INSTALLED = [
  "zod",
  "valibot",
  "ws",
  "@types/ws",
  "@types/node",
  "@standard-schema/spec",
  "superjson",
  "copy-anything",
  "devalue",
];

/** Node 20 has no `WebSocket` of its own; the pages' readers are told so once. */
const GIVEN = `
import { isMainThread } from "node:worker_threads";
import { WebSocket } from "ws";
globalThis.WebSocket ??= WebSocket;
// Where the certificates are that pages read. A worker has the folder of its process.
if (isMainThread) process.chdir(import.meta.dirname);
`;

/** Compiles files before the tests of a spec, in one project, since a compiler's start costs seconds. */
export class Project {
  #folder = "";
  /** What each compiler had to say; nothing where all is well. */
  readonly complaints: Record<string, string> = {};

  constructor(sources: Readonly<Record<string, string>>) {
    before(() => this.#build(sources));
    after(() => rmSync(this.#folder, { recursive: true, force: true }));
  }

  /** Runs a compiled file, by its path from the folder of sources, and asserts that it ends by itself with 0. */
  async run(t: TestContext, file: string): Promise<string> {
    const child = this.start(t, file);
    await child.endsWell();
    return child.out;
  }

  start(t: TestContext, file: string, env: NodeJS.ProcessEnv = {}): Child {
    const given = pathToFileURL(path.join(this.#folder, "given.mjs")).href;
    const program = path.join(this.#folder, COMPILERS["TypeScript 7"], file);
    // Readers are told to have Node trust a certificate of their own so.
    const trust = { NODE_EXTRA_CA_CERTS: path.join(this.#folder, "ca.pem") };
    return new Child(t, process.execPath, ["--import", given, program], { ...trust, ...env });
  }

  async #build(sources: Readonly<Record<string, string>>): Promise<void> {
    this.#folder = mkdtempSync(path.join(tmpdir(), "zocket-pages-"));
    this.#install("@zocket/core", path.resolve(ROOT));
    for (const name of INSTALLED) this.#install(name, path.join(ROOT, "node_modules", name));
    const compilerOptions = {
      strict: true,
      target: "es2022",
      module: "nodenext",
      moduleResolution: "nodenext",
      types: ["node"],
      rootDir: ".",
      // The type tests check the declarations of all packages; again here, that would take six times as long.
      skipLibCheck: true,
    };
    const files = Object.keys(sources);
    this.#write("package.json", '{ "type": "module" }');
    this.#write("tsconfig.json", JSON.stringify({ compilerOptions, files }));
    this.#write("given.mjs", GIVEN);
    const authority = new Authority();
    const { cert, key } = authority.issue("localhost");
    this.#write("ca.pem", authority.cert);
    this.#write("cert.pem", cert);
    this.#write("key.pem", key);
    for (const [name, text] of Object.entries(sources)) this.#write(name, text);
    await Promise.all(Object.entries(COMPILERS).map((compiler) => this.#compile(...compiler)));
  }

  async #compile(name: string, compiler: string): Promise<void> {
    const tsc = path.join(ROOT, "node_modules", compiler, "bin", "tsc");
    const args = [tsc, "-p", this.#folder, "--outDir", path.join(this.#folder, compiler)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    let printed = "";
    child.stdout.on("data", (text) => (printed += String(text)));
    const [code] = await once(child, "close");
    this.complaints[name] = code === 0 ? printed : `ended with ${code}:\n${printed}`;
  }

  #install(name: string, from: string): void {
    const place = path.join(this.#folder, "node_modules", name);
    mkdirSync(path.dirname(place), { recursive: true });
    symlinkSync(from, place, "junction");
  }

  #write(name: string, text: string): void {
    const file = path.join(this.#folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}

/** Asserts that a compiler had nothing to say. */
export function assertCompiled(project: Project, compiler: string): void {
  assert.equal(project.complaints[compiler], "");
}
