// The files of docs/react.md, word for word: its blocks name themselves, but for the settings of the compiler.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { StepError, root } from "../../scripts/steps.mjs";

const BLOCK = /^```(tsx?|html|json)\n(?:(?:\/\/|<!--) (\S+)(?: -->)?\n)?([\s\S]*?)^```$/gm;

/** Writes them into a folder, without those that are left out. */
export function layOutGuide(folder, leaveOut = []) {
  mkdirSync(folder);
  const text = readFileSync(path.join(root, "docs", "react.md"), "utf8").replaceAll("\r\n", "\n");
  for (const [, language, name, code] of text.matchAll(BLOCK)) {
    const file = name ?? (language === "json" ? "tsconfig.json" : undefined);
    if (file === undefined)
      throw new StepError(`docs/react.md has a file without a name:\n${code}`);
    if (!leaveOut.includes(file)) writeFileSync(path.join(folder, file), code);
  }
  writeFileSync(path.join(folder, "package.json"), '{ "private": true, "type": "module" }');
}
