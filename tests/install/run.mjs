// `npm run test:install`: the package as its users get it, packed, installed and used.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { BUILT_HERE, checkGlibc } from "../../scripts/glibc.mjs";
import { pack } from "../../scripts/pack.mjs";
import { prepare } from "../../scripts/prepare.mjs";
import { StepError, helpOr, main, output, paint, root, step } from "../../scripts/steps.mjs";
import { checkBundles } from "./bundle.mjs";
import { CACHE, installNodes, installTools } from "./cache.mjs";
import { compileDocumented } from "./documented.mjs";
import { checkTypeResolution, lintTarball } from "./judges.mjs";
import { documented, missing, roundTrips } from "./programs.mjs";
import { assertDocumented, assertInstalled, companions, install } from "./project.mjs";
import { withRegistry } from "./registry.mjs";
import { runtimes } from "./runtimes.mjs";
import { checkTypes } from "./types.mjs";

/** The oldest Node that package.json allows, and every line that is supported. */
const { engines } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
const NODES = [engines.node.replace(">=", "~"), "20", "22", "24", "26"];

const HELP = `Usage: npm run test:install [-- [--here] [--keep] [--help]]

Packs the package and this platform's addon, installs them in an empty project as from a registry, and there runs
servers and clients with Node ${NODES.join(", ")}, with Bun and with Deno, checks the types with every TypeScript we
support, builds a page with Vite, and asks publint and arethetypeswrong what is wrong. Installs and builds first what is
missing.

Options:
  --here  only what differs by platform, with the Node that runs this: no types, no page, no downloads
  --keep  keep the folder of the projects, and print its name

Environment:
  ZOCKET_INSTALL_CACHE  where Node and the tools are kept between runs
                        (now ${CACHE})`;

const { here, keep } = helpOr(
  () =>
    parseArgs({
      options: {
        help: { type: "boolean", short: "h" },
        here: { type: "boolean" },
        keep: { type: "boolean" },
      },
    }),
  HELP,
);

/** The one platform package that was packed, by the end of its name: `linux-x64-gnu`. */
function platformOf(packages) {
  const packed = packages.slice(0, -1).filter(({ tarball }) => tarball);
  if (packed.length !== 1)
    throw new StepError(`Wanted one addon in the repository's folder, found ${packed.length}.`);
  return packed[0].manifest.name.replace("@zocket/core-", "");
}

async function test(folder) {
  const packages = await step("Pack", () => pack({ to: path.join(folder, "tarballs") }));
  const platform = platformOf(packages);
  const project = path.join(folder, "project");
  const bare = path.join(folder, "bare");
  await step("Install from a registry", () =>
    withRegistry(packages, async (registry) => {
      await install(project, registry, ...companions());
      assertInstalled(project, "core", `core-${platform}`);
      assertDocumented(project);
      await install(bare, registry, "--omit=optional");
      assertInstalled(bare, "core");
    }),
  );
  await step("Oldest glibc", () => {
    if (platform.endsWith("-gnu")) checkGlibc(BUILT_HERE);
    else console.log(`not for ${platform}`);
  });
  await step("Programs of the documentation, compiled", () => compileDocumented(project));

  const nodes = here ? [process.execPath] : await step("Get the Nodes", () => installNodes(NODES));
  for (const node of nodes) {
    await step(`Run with Node ${output(node, ["--version"])}`, () => {
      roundTrips([node], project);
      documented(node, project);
      missing(node, bare, platform);
    });
  }
  if (here) return;

  await step("Types", () => checkTypes(project));
  await step("Get the tools", installTools);
  for (const { name, command } of runtimes()) {
    await step(`Run with ${name}`, () => {
      if (command) roundTrips(command, project);
      else console.log(`skipped: npm has no ${name} for this platform`);
    });
  }
  await step("A page, built with Vite", () => checkBundles(project));
  await step("publint and arethetypeswrong", async () => {
    const packed = packages.map(({ tarball }) => tarball).filter(Boolean);
    for (const tarball of packed) await lintTarball(tarball);
    await checkTypeResolution(packed.at(-1));
  });
}

await main(async () => {
  await prepare();
  const folder = mkdtempSync(path.join(tmpdir(), "zocket-install-"));
  try {
    await test(folder);
    console.log(paint("green", "\nThe package installs and works."));
  } finally {
    if (keep) console.log(`kept: ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  }
});
