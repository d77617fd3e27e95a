// The manifests of the platform packages, in npm/, against the main one: what npm picks one by, and what it shows of it.
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";

import { ROOT } from "./_support.ts";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly napi: { readonly binaryName: string; readonly targets: readonly string[] };
  readonly optionalDependencies?: object;
  readonly [field: string]: unknown;
}

const read = (...parts: string[]) =>
  JSON.parse(readFileSync(path.join(ROOT, ...parts), "utf8")) as Manifest;
const main = read("package.json");

/** What a target of Rust's is called by Node and npm. */
function platformOf(target: string): { os: string; cpu: string; libc?: string; name: string } {
  const [arch, , system, abi] = target.split("-");
  const cpu = { x86_64: "x64", aarch64: "arm64" }[arch ?? ""];
  assert.ok(cpu, target);
  if (system === "darwin") return { os: "darwin", cpu, name: `darwin-${cpu}` };
  if (system === "windows") return { os: "win32", cpu, name: `win32-${cpu}-${abi}` };
  const libc = { gnu: "glibc", musl: "musl" }[abi ?? ""];
  assert.ok(system === "linux" && libc, target);
  return { os: "linux", cpu, libc, name: `linux-${cpu}-${abi}` };
}

describe("npm/", () => {
  const platforms = main.napi.targets.map(platformOf);

  test("has one package per target, and no other", () => {
    assert.deepEqual(
      readdirSync(path.join(ROOT, "npm")).sort(),
      platforms.map(({ name }) => name).sort(),
    );
  });

  for (const { os, cpu, libc, name } of platforms) {
    test(`${name} says what it is for, and the rest as the main package does`, () => {
      const addon = `${main.napi.binaryName}.${name}.node`;
      const { description, license, engines, publishConfig, repository, version } = main;
      assert.deepEqual(read("npm", name, "package.json"), {
        name: `${main.name}-${name}`,
        version,
        os: [os],
        cpu: [cpu],
        ...(libc && { libc: [libc] }),
        main: addon,
        files: [addon],
        description,
        license,
        engines,
        publishConfig,
        ...(repository !== undefined && { repository }),
      });
      assert.ok(existsSync(path.join(ROOT, "npm", name, "README.md")));
    });
  }

  test("is named by the published manifest alone, so that a clone installs before anything is published", () => {
    assert.equal(main.optionalDependencies, undefined);
  });
});
