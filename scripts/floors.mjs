// Checks who imports whom, in both languages: part of `npm run lint`. A file uses floors below its own, and files of its own folder;
// files that use each other in a ring are a fault. Who reads the code then knows what a file can depend on.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import ts from "typescript-5.9";

import { readRust } from "./floors-rust.mjs";
import { StepError, main, root } from "./steps.mjs";

/** Whether the engine's floors are checked too. */
const RUST = true;

/** The one file that may import the binding, which stands outside ts/. */
const BINDS = "border/native.ts";

const read = (...parts) => readFileSync(path.join(root, ...parts), "utf8");

/** The files of a folder, with `/` between the parts of their names. */
function filesOf(folder, ending) {
  return readdirSync(path.join(root, folder), { recursive: true })
    .map((name) => name.replaceAll(path.sep, "/"))
    .filter((name) => name.endsWith(ending))
    .toSorted();
}

/** The floors in a page, top first: the names in back ticks of the first cell of each row, in the table with the column "Floor". */
function floorsIn(page) {
  const rows = page.split(/^(?=.*\| *floor *\|)/im)[1]?.split("\n") ?? [];
  const end = rows.findIndex((row) => !row.includes("|"));
  const cells = rows.slice(2, end === -1 ? undefined : end).map((row) => row.split("|")[1] ?? "");
  return cells.map((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
}

/** Each file of ts/ with the files that it imports, for types or for more. */
function readTypeScript() {
  const files = new Map();
  const faults = [];
  for (const name of filesOf("ts", ".ts")) {
    const { importedFiles } = ts.preProcessFile(read("ts", name), true, true);
    const uses = new Set();
    for (const { fileName } of importedFiles.filter((it) => it.fileName.startsWith("."))) {
      const target = path.posix.join(path.posix.dirname(name), fileName).replace(/\.js$/, ".ts");
      if (target === "../binding.ts") {
        if (name !== BINDS) faults.push(`${name} imports the binding, which only ${BINDS} may`);
      } else uses.add(target);
    }
    files.set(name, uses);
  }
  return { files, faults };
}

/** What is wrong with files, given by name with those that they use. `unitOf` says by which name the floors have a file. */
function faultsOf(files, floors, unitOf) {
  const faults = [];
  const floorOf = new Map(floors.flatMap((names, floor) => names.map((name) => [name, floor])));
  const units = new Set([...files.keys()].map(unitOf));
  for (const name of floorOf.keys()) if (!units.has(name)) faults.push(`there is no ${name}`);
  for (const name of units) if (!floorOf.has(name)) faults.push(`${name} is on no floor`);
  for (const [file, uses] of files) {
    for (const used of uses) {
      const own = floorOf.get(unitOf(file));
      const other = floorOf.get(unitOf(used));
      if (own === undefined || other === undefined || unitOf(file) === unitOf(used)) continue;
      if (own === other) faults.push(`${file} uses ${used}, which stands on the same floor`);
      if (own > other) faults.push(`${file} uses ${used}, which stands on a higher floor`);
    }
  }
  return [...faults, ...ringsIn(files).map((ring) => `a ring: ${ring.join(" > ")}`)];
}

/** A ring for each file that closes one on a walk through all of them. */
function ringsIn(files) {
  const rings = [];
  const done = new Set();
  const walk = (file, way) => {
    if (way.includes(file)) rings.push([...way.slice(way.indexOf(file)), file]);
    if (way.includes(file) || done.has(file)) return;
    for (const used of files.get(file) ?? []) walk(used, [...way, file]);
    done.add(file);
  };
  for (const file of files.keys()) walk(file, []);
  return rings;
}

/** `server/stop.ts` stands with its folder, `index.ts` alone. */
const folderOf = (file) => (file.includes("/") ? `${file.split("/")[0]}/` : file);
/** `shard.rs` and all in `shard/` are one module of the engine. */
const moduleOf = (file) => file.split("/")[0].replace(/\.rs$/, "");

function checkTypeScript() {
  const { files, faults } = readTypeScript();
  return [...faults, ...faultsOf(files, floorsIn(read("ARCHITECTURE.md")), folderOf)];
}

function checkRust() {
  const names = filesOf("src", ".rs");
  const { files, faults } = readRust(new Map(names.map((name) => [name, read("src", name)])));
  // It is the list, and names all of them.
  files.delete("lib.rs");
  return [
    ...faults,
    ...faultsOf(files, floorsIn(read("src/lib.rs").replaceAll("//! ", "")), moduleOf),
  ];
}

/** Throws for each fault there is. */
export function checkFloors(rust = RUST) {
  const faults = [
    ...checkTypeScript().map((fault) => `ts: ${fault}`),
    ...(rust ? checkRust() : []).map((fault) => `src: ${fault}`),
  ];
  if (faults.length > 0) throw new StepError(faults.join("\n"));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => checkFloors(RUST || process.argv.includes("--rust")));
}
