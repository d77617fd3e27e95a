// `npm run pack`: the tarballs that a release publishes, from what is built here.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { StepError, helpOr, main, npm, root } from "./steps.mjs";

const HELP = `Usage: npm run pack -- [--to FOLDER] [--all] [--repository URL] [--help]

Packs the main package, and each platform package of npm/ whose addon is in the repository's folder.

Options:
  --to FOLDER       where the tarballs go (default: tarballs/)
  --all             fail if an addon of one of the platforms is missing
  --repository URL  what the manifests name as their repository; npm wants it for a provenance statement`;

const readJson = (file) => JSON.parse(readFileSync(file, "utf8"));

/** What npm calls the tarball of a package. */
const tarballName = ({ name, version }) =>
  `${name.replace("@", "").replace("/", "-")}-${version}.tgz`;

/** The manifests of npm/, with the folder that each stands in. */
function platforms() {
  const folder = path.join(root, "npm");
  return readdirSync(folder).map((name) => ({
    folder: path.join(folder, name),
    manifest: readJson(path.join(folder, name, "package.json")),
  }));
}

/**
 * The main manifest as it is published. The platform packages become optional dependencies only here: while they are not
 * published, a manifest and lock file that named them could not be installed in a clone.
 */
function published() {
  const manifest = readJson(path.join(root, "package.json"));
  // `private` keeps npm from publishing the folder as it is, whose addon nobody would find.
  for (const own of ["private", "scripts", "napi", "devDependencies", "overrides"])
    delete manifest[own];
  manifest.optionalDependencies = Object.fromEntries(
    platforms().map(({ manifest: { name, version } }) => [name, version]),
  );
  return manifest;
}

/** Lays out a package in a folder of its own, so that what is committed stays as it is. */
function stage(folder, manifest, files) {
  mkdirSync(folder, { recursive: true });
  for (const file of files) {
    if (!existsSync(file)) throw new StepError(`${file} is missing: run "npm run build" first.`);
    cpSync(file, path.join(folder, path.basename(file)), { recursive: true });
  }
  writeFileSync(path.join(folder, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/**
 * Packs everything into a folder. Resolves to the packages, the main one last, as a manifest and the path of its tarball,
 * which is `undefined` for a platform whose addon is not there.
 */
export async function pack({ to, all = false, repository }) {
  const staged = mkdtempSync(path.join(tmpdir(), "zocket-pack-"));
  try {
    return await packFrom(staged, { to, all, repository });
  } finally {
    rmSync(staged, { recursive: true });
  }
}

async function packFrom(staged, { to, all, repository }) {
  mkdirSync(to, { recursive: true });
  const named = (manifest) =>
    repository ? { ...manifest, repository: { type: "git", url: repository } } : manifest;
  const license = path.join(root, "LICENSE");
  const packages = [];
  const folders = [];
  const add = (manifest, files) => {
    const folder = path.join(staged, manifest.name.replace("/", "-"));
    stage(folder, manifest, files);
    folders.push(folder);
    packages.push({ manifest, tarball: path.join(to, tarballName(manifest)) });
  };

  for (const { folder, manifest } of platforms()) {
    const addon = path.join(root, manifest.main);
    // napi's manifests do not say it, and Node would guess.
    const typed = { ...named(manifest), type: "commonjs" };
    if (existsSync(addon)) add(typed, [addon, path.join(folder, "README.md"), license]);
    else if (all) throw new StepError(`${manifest.main} is missing, of ${manifest.name}.`);
    else packages.push({ manifest, tarball: undefined });
  }
  const manifest = named(published());
  const files = [...manifest.files, "README.md"].map((name) => path.join(root, name));
  add(manifest, [...files, license]);

  await npm("pack", "--silent", "--pack-destination", to, ...folders);
  return packages;
}

if (process.argv[1] === import.meta.filename) {
  const options = helpOr(
    () =>
      parseArgs({
        options: {
          all: { type: "boolean" },
          help: { type: "boolean", short: "h" },
          repository: { type: "string" },
          to: { type: "string", default: "tarballs" },
        },
      }),
    HELP,
  );
  await main(() => pack({ ...options, to: path.resolve(root, options.to) }));
}
