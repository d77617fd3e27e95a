// The manifests of the platform packages, in npm/, against the main one: what npm picks one by, and what it shows of it. And
// the release workflow, which must know the same platforms.
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";

import { ROOT } from "./_child.ts";

/** The text of a file. */
const textOf = (...parts: string[]) => readFileSync(path.join(ROOT, ...parts), "utf8");

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly napi: { readonly binaryName: string; readonly targets: readonly string[] };
  readonly optionalDependencies?: object;
  readonly [field: string]: unknown;
}

const read = (...parts: string[]) => JSON.parse(textOf(...parts)) as Manifest;
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
    assert.equal(main["private"], true, "the folder as it is could be published");
  });
});

test("the lock files name versions and sums, and neither a registry nor a path", () => {
  const folders = [
    ".",
    "benches/peers/optional",
    "tests/install",
    "tests/react/18",
    "tests/react/19",
  ];
  for (const folder of folders) {
    const { packages } = read(folder, "package-lock.json") as unknown as {
      packages: Readonly<
        Record<string, { readonly integrity?: string; readonly resolved?: string }>
      >;
    };
    for (const [name, { integrity, resolved }] of Object.entries(packages)) {
      assert.equal(resolved, undefined, `${folder}: ${name}`);
      if (name !== "") assert.match(integrity ?? "", /^sha512-/, `${folder}: ${name}`);
    }
  }
});

describe("the release workflow", () => {
  const workflow = textOf(".github", "workflows", "release.yml");

  test("builds and tests every target, and no other", () => {
    const [, build = "", tested = ""] = workflow.split(/^  (?:build|test):$/m);
    for (const job of [build, tested]) {
      const named = new Set([...job.matchAll(/target: ([\w-]+)/g)].map(([, target]) => target));
      assert.deepEqual([...named].sort(), [...main.napi.targets].sort());
    }
  });

  test("links against the oldest glibc that the README names and the release checks", () => {
    const released = /RELEASED = "([\d.]+)"/.exec(textOf("scripts", "glibc.mjs"))?.[1];
    assert.ok(released);
    const linked = [...workflow.matchAll(/glibc: "\.([\d.]+)"/g)].map(([, version]) => version);
    assert.deepEqual(linked, [released, released]);
    assert.ok(textOf("README.md").includes(`glibc ${released} or later`));
  });
});
