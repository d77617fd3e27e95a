// The scripts of package.json: each says what it does, and refuses an option that it does not have, before it does anything.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const { scripts } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
/** Those are programs of others, which have a help of their own. */
const FOREIGN = ["build:native", "build:debug", "build:ts", "bench:engine"];
const own = Object.entries(scripts).filter(([name]) => !FOREIGN.includes(name));

/** The variants of a script, by its words. */
const variants = own.flatMap(([name, command]) => {
  const words = command.split(" ");
  return name === "bench" ? [words, [...words, "scale"]] : [words];
});

function run([program, ...words], option) {
  const file = program === "node" ? process.execPath : program;
  const { status, stdout, stderr } = spawnSync(file, [...words, option], {
    cwd: root,
    encoding: "utf8",
    timeout: 120_000,
  });
  return { status, stdout, stderr };
}

describe("scripts", () => {
  test("there are some of ours, and no other of others", () => {
    assert.ok(own.length > 15, String(own.length));
    for (const [name, command] of own) assert.match(command, /^(node|bash) [^&|;]+$/, name);
  });

  for (const words of variants) {
    const name = words.slice(1).join(" ");
    const skip = words[0] === "bash" && process.platform === "win32";

    test(`${name} explains itself`, { skip }, () => {
      const { status, stdout } = run(words, "--help");
      assert.equal(status, 0);
      assert.ok(stdout.trim().length > 80, stdout);
    });

    test(`${name} refuses an option that does not exist`, { skip }, () => {
      const { status, stdout, stderr } = run(words, "--no-such-option");
      assert.deepEqual([status, stdout], [2, ""]);
      assert.match(stderr, /--no-such-option/);
    });
  }
});
