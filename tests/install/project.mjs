// Empty projects with the packed package in them, as `npm install @zocket/core` leaves it.
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";

import { npm, root } from "../../scripts/steps.mjs";

const FIXTURES = path.join(import.meta.dirname, "fixtures");

/** What a program in the documentation uses beside the package, in the versions that the repository tests with. */
export function companions() {
  const lock = JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8"));
  return ["zod", "ws", "@types/node", "@types/ws"].map(
    (name) => `${name}@${lock.packages[`node_modules/${name}`].version}`,
  );
}

/** Makes a project with the package in it; `more` are npm's options and other packages. */
export async function install(folder, registry, ...more) {
  mkdirSync(folder, { recursive: true });
  write(folder, "package.json", '{ "private": true }');
  // The package's own scope alone is read from the local registry.
  const scope = `--@zocket:registry=${registry}`;
  const options = [scope, "--noproxy=127.0.0.1", "--no-fund", "--no-audit", "--loglevel=error"];
  await npm("install", "--prefix", folder, ...options, "@zocket/core", ...more);
}

/** What the README of the installed package links to in its docs must be installed too. */
export function assertDocumented(folder) {
  const installed = path.join(folder, "node_modules", "@zocket", "core");
  const readme = readFileSync(path.join(installed, "README.md"), "utf8");
  const links = [...readme.matchAll(/\]\((docs\/[\w/.-]+)/g)].map(([, link]) => link);
  assert.ok(links.length > 0);
  const missing = links.filter((link) => !existsSync(path.join(installed, link)));
  assert.deepEqual(missing, []);
  console.log(`documented: ${new Set(links).size} links of the README lead to files`);
}

/** The packages of our scope that npm installed in a project must be these. */
export function assertInstalled(folder, ...names) {
  const found = readdirSync(path.join(folder, "node_modules", "@zocket")).sort();
  assert.deepEqual(found, names.sort());
  console.log(`installed: ${found.map((name) => `@zocket/${name}`).join(", ")}`);
}

/** Writes a file of a project. */
export function write(folder, name, text) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, name), text);
}

/** Copies a fixture into a project. */
export function copy(folder, name, as = name) {
  mkdirSync(folder, { recursive: true });
  cpSync(path.join(FIXTURES, name), path.join(folder, as));
}

/** The text of a fixture. */
export const fixture = (name) => readFileSync(path.join(FIXTURES, name), "utf8");
