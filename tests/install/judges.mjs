// The tools that know what is wrong with packages: they must find nothing, not even a suggestion.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { StepError, run } from "../../scripts/steps.mjs";
import { toolFile } from "./cache.mjs";

/** publint, on one tarball. */
export async function lintTarball(tarball) {
  const module = (name) => import(pathToFileURL(toolFile(name)));
  const { publint } = await module("publint/src/index-node.js");
  const { formatMessage } = await module("publint/src/utils.js");
  const { buffer, byteOffset, byteLength } = readFileSync(tarball);
  const bytes = buffer.slice(byteOffset, byteOffset + byteLength);
  const { messages, pkg } = await publint({ pack: { tarball: bytes } });
  for (const message of messages) console.log(formatMessage(message, pkg));
  if (messages.length > 0) throw new StepError(`publint: ${messages.length} finding(s)`);
  console.log(`publint: nothing about ${pkg.name}`);
}

/** arethetypeswrong, on the tarball of a package with types. */
export function checkTypeResolution(tarball) {
  return run(process.execPath, [
    toolFile("@arethetypeswrong/cli/dist/index.js"),
    "--no-emoji",
    "--no-color",
    tarball,
  ]);
}
