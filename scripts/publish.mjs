// What the release workflow calls when every addon is built and tested: packs and publishes, the main package last, so that
// nobody installs it before its addons are there.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { pack } from "./pack.mjs";
import { StepError, helpOr, main, npm, output, step } from "./steps.mjs";

const HELP = `Usage: node scripts/publish.mjs --tag vVERSION --repository URL [--dry-run] [--help]

Publishes the packages whose addons are in the repository's folder, and leaves out what is published already, so that a
release that failed half-way can be run again.

Options:
  --tag vVERSION    the tag in git, which must be that of package.json's version
  --repository URL  the repository that the manifests name, and that a provenance statement is about
  --provenance      publish with a provenance statement, which only a workflow can make
  --dry-run         publish nothing, and do with the addons that are there`;

const options = helpOr(
  () =>
    parseArgs({
      options: {
        "dry-run": { type: "boolean", default: false },
        help: { type: "boolean", short: "h" },
        provenance: { type: "boolean", default: false },
        repository: { type: "string" },
        tag: { type: "string" },
      },
    }),
  HELP,
);

async function publish({ manifest: { name, version }, tarball }) {
  if (output("npm", ["view", `${name}@${version}`, "version"]) === version) {
    console.log(`${name}@${version} is published already`);
    return;
  }
  // A version such as 1.0.0-beta.1 is not what a plain "npm install" should take.
  const tag = version.includes("-") ? "next" : "latest";
  const how = ["provenance", "dry-run"].filter((name) => options[name]).map((name) => `--${name}`);
  await npm("publish", tarball, "--access", "public", "--tag", tag, ...how);
}

await main(async () => {
  const { repository, tag, "dry-run": dry } = options;
  if (!repository || !tag) throw new StepError(`--tag and --repository are needed.\n\n${HELP}`);
  const to = mkdtempSync(path.join(tmpdir(), "zocket-publish-"));
  try {
    const packages = await step("Pack", () => pack({ to, all: !dry, repository }));
    const { version } = packages.at(-1).manifest;
    if (tag !== `v${version}`) throw new StepError(`${tag} is not the tag of version ${version}.`);
    for (const one of packages.filter(({ tarball }) => tarball))
      await step(`Publish ${one.manifest.name}`, () => publish(one));
  } finally {
    rmSync(to, { recursive: true, force: true });
  }
});
