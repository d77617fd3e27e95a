// `--node`: a path, or a version that comes from npm as a package and is kept outside the repository.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import os from "node:os";
import path from "node:path";

/** The Node.js that runs the servers: `given` is a path or, as in `26` or `24.1`, a version. */
export function nodeOf(given) {
  if (!/^\d+(\.\d+)*$/.test(given)) return given;
  const platform = { win32: "win" }[os.platform()] ?? os.platform();
  const name = `node-${platform}-${os.arch()}`;
  const cache = process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), ".cache");
  const folder = path.join(cache, "zocket-bench", `node-${given}`);
  const binary = path.join(folder, "node_modules", name, "bin", "node");
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true });
    const quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    const install = ["install", ...quiet, "--no-save", "--prefix", folder, `${name}@${given}`];
    execFileSync("npm", install, { stdio: ["ignore", "inherit", "inherit"] });
  }
  return binary;
}

/** As in `26`. */
export function majorOf(node) {
  const text = execFileSync(node, ["--version"], { encoding: "utf8" });
  return Number(/^v(\d+)\./.exec(text)[1]);
}
