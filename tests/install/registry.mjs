// A registry of npm, on this machine, that has the packed packages alone: they are installed from it as they would be from
// the public one, the platform package as an optional dependency that npm picks by `os`, `cpu` and `libc`.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";

/** Serves the packages while `work` runs, which gets the registry's address. */
export async function withRegistry(packages, work) {
  const server = createServer((request, response) => {
    const wanted = decodeURIComponent(request.url).slice(1);
    const tarball = packages.find(({ tarball }) => tarball && path.basename(tarball) === wanted);
    const named = packages.find(({ manifest }) => manifest.name === wanted);
    if (tarball) response.end(readFileSync(tarball.tarball));
    else if (named) response.end(JSON.stringify(document(named)));
    else response.writeHead(404).end();
  });

  /** What a registry says of a package. One without an addon has a manifest too, but nothing that could be fetched. */
  const document = ({ manifest, tarball }) => {
    const { name, version } = manifest;
    const dist = { tarball: `${address}/${path.basename(tarball ?? "missing.tgz")}` };
    if (tarball)
      dist.integrity = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
    return {
      name,
      "dist-tags": { latest: version },
      versions: { [version]: { ...manifest, dist } },
    };
  };

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = `http://127.0.0.1:${server.address().port}`;
  try {
    return await work(address);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
