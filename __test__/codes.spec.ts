// The numbers of the border: the addon has them, and JavaScript reads them from it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import binding from "../binding.js";
import * as codes from "../dist/border/codes.js";

describe("the numbers of the border", () => {
  it("are those of the engine, and cannot be changed", () => {
    const groups = {
      OPCODE: "opcode",
      EVENT: "event",
      REFUSAL: "refusal",
      BAD: "bad",
      HEAD: "head",
      UPGRADE: "upgrade",
    } as const;
    for (const [name, group] of Object.entries(groups)) {
      const numbers = codes[name as keyof typeof groups];
      assert.deepEqual({ ...numbers }, { ...binding[group as "opcode"] });
      assert.ok(Object.isFrozen(numbers));
      for (const number of Object.values(numbers)) assert.ok(Number.isInteger(number));
    }
  });

  it("are all read: none is missing in the addon", () => {
    const read = Object.entries(codes).filter(([name]) => /^[A-Z_]+$/.test(name));
    assert.ok(read.length > 0);
    for (const [name, value] of read) {
      const numbers = typeof value === "object" ? Object.values(value) : [value];
      assert.ok(numbers.length > 0, name);
      for (const number of numbers) assert.ok(Number.isInteger(number), name);
    }
  });

  it("stand in the engine alone", () => {
    const source = readFileSync(new URL("../ts/border/codes.ts", import.meta.url), "utf8");
    const code = source.replaceAll(/\/\*\*[^]*?\*\/|\/\/.*/g, "");
    // What a bit is counted in is no number of the border.
    const literals = code.replaceAll("1 <<", "").match(/\b\d[\w.]*/g);
    assert.equal(literals, null);
  });
});
