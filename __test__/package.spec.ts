// The package as it is loaded: `import` and `require` alike, and the client's entry without anything native.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build, transform } from "esbuild";
import { z } from "zod";

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL("../", import.meta.url));

/** Runs a program in the package's folder and returns what it printed. */
function run(program: string, type: "module" | "commonjs", ...flags: string[]): string {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...flags, `--input-type=${type}`, "--eval", program],
    { cwd: root, encoding: "utf8" },
  );
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

/** Bundles a program for a browser: its size, minified and compressed, what it is made of, and what it exports. */
async function bundled(contents: string) {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: root },
    bundle: true,
    minify: true,
    platform: "browser",
    format: "esm",
    external: ["react"],
    metafile: true,
    write: false,
    logLevel: "silent",
  });
  const { length: size } = gzipSync(outputFiles[0]?.contents ?? "");
  const [output] = Object.values(metafile.outputs);
  return { size, inputs: Object.keys(metafile.inputs), exports: output?.exports.toSorted() };
}

const names = (module: object) =>
  Object.keys(module)
    .filter((name) => name !== "default" && name !== "module.exports")
    .sort();

describe("@zocket/core", () => {
  const expected = ["ZocketError", "createServer", "createZocketClient", "zocket"];

  test("exports the same names to import and to require, and no others", async () => {
    const imported = (await import("@zocket/core")) as object;
    const required = require("@zocket/core") as object;
    assert.deepEqual(names(imported), expected);
    assert.deepEqual(names(required), expected);
    for (const name of expected) {
      assert.equal(imported[name as never], required[name as never], name);
      assert.notEqual(imported[name as never], undefined, name);
    }
  });

  test("has zocket as its default export, to import and to what compilers make of an import", async () => {
    const { default: imported, zocket } = await import("@zocket/core");
    assert.equal(imported, zocket);
    const program =
      'import zocket, { zocket as named } from "@zocket/core"; console.log(zocket === named);';
    assert.equal(run(program, "module"), "true");
    // With the interop of compilers, and without.
    const { code } = await transform(program, { format: "cjs" });
    assert.equal(run(code, "commonjs"), "true");
    const bare = 'const core = require("@zocket/core"); console.log(core.default === core.zocket);';
    assert.equal(run(bare, "commonjs"), "true");
  });

  test("works in a program of either kind, from create to stop", () => {
    const program = `
      const headers = { "~standard": { version: 1, vendor: "x", validate: (value) => ({ value }) } };
      const zo = zocket.create({ headers });
      const app = zo.router({ say: zo.message.incoming({ payload: headers }) }, {});
      const server = createServer(app, zo, { port: 0 });
      console.log(server.port > 0, server.url.endsWith(":" + server.port));
      server.stop();`;
    const names = "{ createServer, zocket }";
    assert.equal(run(`import ${names} from "@zocket/core";${program}`, "module"), "true true");
    assert.equal(
      run(`const ${names} = require("@zocket/core");${program}`, "commonjs"),
      "true true",
    );
  });

  for (const format of ["esm", "cjs"] as const) {
    test(`works in a server's bundle that leaves it out, as ${format}`, async () => {
      const contents = `
        import zocket, { createServer } from "@zocket/core";
        import { z } from "zod";
        const zo = zocket.create({ headers: z.object({}) });
        const server = createServer(zo.router({}, {}), zo, { port: 0, hostname: "127.0.0.1" });
        console.log(server.port > 0);
        void server.stop();`;
      const { outputFiles } = await build({
        stdin: { contents, resolveDir: root },
        bundle: true,
        platform: "node",
        external: ["@zocket/core"],
        minify: true,
        format,
        write: false,
      });
      const code = outputFiles[0]?.text ?? "";
      assert.doesNotMatch(code, /NativeServer|\.node\b/);
      const folder = mkdtempSync(path.join(root, ".specs", "bundle-"));
      const file = path.join(folder, format === "esm" ? "server.mjs" : "server.cjs");
      try {
        writeFileSync(file, code);
        const { stdout, stderr } = spawnSync(process.execPath, [file], { encoding: "utf8" });
        assert.equal(stdout, "true\n", stderr);
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }

  for (const condition of ["browser", "react-native"]) {
    test(`resolved with the condition ${condition} is the client alone`, async () => {
      const { metafile, outputFiles } = await build({
        conditions: [condition],
        stdin: {
          contents:
            'export * from "@zocket/core"; export { createZocketClient } from "@zocket/core";',
          resolveDir: root,
        },
        bundle: true,
        platform: condition === "browser" ? "browser" : "neutral",
        format: "esm",
        metafile: true,
        write: false,
        logLevel: "silent",
      });
      const inputs = Object.keys(metafile.inputs);
      assert.deepEqual(
        inputs.filter((input) => /binding|native|server|\.node$/.test(input)),
        [],
      );
      const [output] = outputFiles;
      const code = Buffer.from(output?.text ?? "").toString("base64");
      const client = (await import(`data:text/javascript;base64,${code}`)) as object;
      assert.ok(names(client).includes("createZocketClient"), names(client).join());
      assert.equal(names(client).includes("createServer"), false);

      const flag = `--conditions=${condition}`;
      const shown =
        "console.log(Object.keys(core).filter((it) => /^[a-z]\\w+[A-Z]/.test(it)).join())";
      const imported = `import * as core from "@zocket/core"; ${shown}`;
      assert.equal(run(imported, "module", flag), "createZocketClient");
      const required = `const core = require("@zocket/core"); ${shown}`;
      assert.equal(run(required, "commonjs", flag), "createZocketClient");
    });
  }
});

describe("an addon that does not load", () => {
  /** The error of a process that first runs `before`, as its code and message. */
  const refusal = (before: string) =>
    run(
      `${before}
      try { require("@zocket/core"); }
      catch (error) { console.log(error.code, error.cause instanceof Error, error.message); }`,
      "commonjs",
    );

  test("is told with what the system says of it", (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), "zocket-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const broken = path.join(folder, "broken.node");
    writeFileSync(broken, "no shared library");
    assert.match(
      refusal(`process.env.NAPI_RS_NATIVE_LIBRARY_PATH = ${JSON.stringify(broken)};`),
      /^ADDON_NOT_LOADED true The native addon of @zocket\/core for \S+ cannot be loaded: .*broken\.node/,
    );
  });

  test("can be caught where it is imported", () => {
    const broken = "process.env.NAPI_RS_NATIVE_LIBRARY_PATH = 'none.node';";
    const program = `${broken}
      const tried = await import("@zocket/core").catch(({ code }) => code);
      // Time for what nobody caught.
      await new Promise((resolve) => setTimeout(resolve, 50));
      console.log(tried);`;
    assert.equal(run(program, "module"), "ADDON_NOT_LOADED");
  });

  test("on a platform that has none is told with those that have one", () => {
    const elsewhere = 'Object.defineProperty(process, "arch", { value: "mips" })';
    const { targets } = (require("../package.json") as { napi: { targets: string[] } }).napi;
    const message = refusal(`${elsewhere};`);
    assert.match(message, /^ADDON_NOT_LOADED true @zocket\/core has no native addon for \S+-mips/);
    assert.equal(message.split("It has one for ")[1]?.split(", ").length, targets.length);
  });
});

describe("@zocket/core/client", () => {
  const expected = ["ZocketError", "createZocketClient"];

  test("exports the same names to import and to require", async () => {
    const imported = (await import("@zocket/core/client")) as object;
    const required = require("@zocket/core/client") as object;
    assert.deepEqual(names(imported), expected);
    assert.deepEqual(names(required), expected);
  });

  test("loads and works where nothing native can be loaded, and without Node's own modules", () => {
    const guard = `process.dlopen = () => { throw new Error("something native is loaded"); };`;
    const use = `
      class Fake {
        constructor(url, [, token]) { console.log(url + " " + token); }
        addEventListener() {}
        close() {}
      }
      createZocketClient("ws://localhost:1", { WebSocket: Fake, headers: { a: "b" } }).close();`;
    const imported = `${guard}
      const { createZocketClient } = await import("@zocket/core/client");${use}`;
    const required = `${guard}
      const { createZocketClient } = require("@zocket/core/client");${use}`;
    for (const printed of [run(imported, "module"), run(required, "commonjs")]) {
      assert.equal(printed, "ws://localhost:1/ zocket.h.eyJhIjoiYiJ9");
    }
    // The guard is one: the server's entry does load something native.
    assert.throws(() => run(`${guard} require("@zocket/core");`, "commonjs"), /something native/);
  });

  test("bundles to a few kilobytes for a browser", async (t) => {
    const { size, inputs } = await bundled(
      'export { createZocketClient } from "@zocket/core/client";',
    );
    t.diagnostic(`minified and compressed: ${size} B`);
    // What checks payloads comes with the definitions, to the pages that load them.
    assert.ok(!inputs.some((input) => /validation|gate/.test(input)), inputs.join());
    assert.ok(size > 1_000 && size < 12_000, `${size} B`);
    assert.deepEqual(
      inputs.filter((input) => input.includes("node_modules")),
      [],
    );
  });
});

describe("@zocket/core/react", () => {
  const client = 'export { createZocketClient } from "@zocket/core/client";';

  test("adds at most 3 kB to the client", async (t) => {
    const alone = await bundled(client);
    const both = await bundled(`${client} export * from "@zocket/core/react";`);
    const added = both.size - alone.size;
    t.diagnostic(`minified and compressed: ${added} B beside the client`);
    assert.ok(added > 500 && added < 3_000, `${added} B`);
    const hooks = "useCall,useConnection,useEvent,useZocket";
    const names = `ZocketProvider,createZocketClient,createZocketReact,${hooks}`;
    assert.equal(both.exports?.join(), names);
    assert.ok(both.inputs.some((input) => input.includes("/react/")));
    assert.deepEqual(
      both.inputs.filter((input) => !/^(?:dist\/esm\/|<stdin>$)/.test(input)),
      [],
    );
  });

  test("adds nothing to the main entry, nor to the client's", async () => {
    for (const entry of ["@zocket/core", "@zocket/core/client"]) {
      const { inputs } = await bundled(`export * from "${entry}";`);
      assert.ok(inputs.length > 5);
      assert.deepEqual(
        inputs.filter((input) => input.includes("react")),
        [],
      );
    }
    // It has no dependency on React either: none is installed here.
    assert.throws(() => require("@zocket/core/react") as unknown, { code: "MODULE_NOT_FOUND" });
  });

  test("tells frameworks with server components that it is for the page", () => {
    for (const folder of ["dist", "dist/esm"]) {
      const code = readFileSync(path.join(root, folder, "react", "index.js"), "utf8");
      assert.match(code, /^(?:"use strict";\n)?"use client";\n/);
    }
  });
});

describe("@zocket/core/contract", () => {
  test("exports the same names to import and to require", async () => {
    const imported = (await import("@zocket/core/contract")) as object;
    const required = require("@zocket/core/contract") as object;
    assert.deepEqual(names(imported), ["bytes", "message"]);
    assert.deepEqual(names(required), ["bytes", "message"]);
  });

  test("defines messages where nothing native can be loaded, and a server's router takes them", async () => {
    const guard = `process.dlopen = () => { throw new Error("something native is loaded"); };`;
    const use = `
      const payload = { "~standard": { version: 1, vendor: "spec", validate: (value) => ({ value }) } };
      console.log(Object.keys(message).join(), message.incoming({ payload })._direction);`;
    const imported = `${guard} const { message } = await import("@zocket/core/contract"); ${use}`;
    assert.equal(run(imported, "module"), "incoming,outgoing,bytes,withTransformer in");
    const required = `${guard} const { message } = require("@zocket/core/contract"); ${use}`;
    assert.equal(run(required, "commonjs"), "incoming,outgoing,bytes,withTransformer in");

    const { message } = await import("@zocket/core/contract");
    const { zocket } = await import("@zocket/core");
    const payload = z.string();
    const routes = { say: message.incoming({ payload }), said: message.outgoing({ payload }) };
    const { router } = zocket.create({ headers: z.object({}) });
    const app = router(routes, { say: ({ ctx }) => ctx.send.said("hello").broadcast() });
    assert.equal(app.routes, routes);
  });

  test("is a few hundred lines of a page, with nothing of the server", async () => {
    const { metafile } = await build({
      stdin: { contents: 'export * from "@zocket/core/contract";', resolveDir: root },
      bundle: true,
      platform: "browser",
      format: "esm",
      metafile: true,
      write: false,
    });
    const inputs = Object.keys(metafile.inputs).filter((input) => input !== "<stdin>");
    const allowed =
      /^dist\/esm\/(contract\/|faults\/(check|schema)\.js$|bytes\.js$|unknown-options\.js$|zocket-error\.js$)/;
    assert.deepEqual(
      inputs.filter((input) => !allowed.test(input)),
      [],
    );
  });
});
