// The package's types in projects of other people: every way of finding modules, their own declarations, and what a large
// router costs. Compilers count the same at every run, so that the cost can be asserted; time is for `benches/types`.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { application, calls } from "../benches/types/application.mjs";
import { COMPILERS } from "../scripts/steps.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));
const compilers = Object.entries(COMPILERS)
  .map(([version, script]) => [version, path.join(root, "node_modules", script)])
  .filter(([, script]) => existsSync(script));

/** Compiles these files in a folder of their own, inside the package so that its name is found; returns the folder. */
function compile(t, compiler, files, options) {
  mkdirSync(path.join(root, ".specs"), { recursive: true });
  const folder = mkdtempSync(path.join(root, ".specs", "project-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  const compilerOptions = {
    target: "es2023",
    lib: ["es2023", "dom"],
    types: ["node"],
    strict: true,
    module: "nodenext",
    noEmit: true,
    ...options,
  };
  const config = {
    compilerOptions,
    files: Object.keys(files).filter((name) => !/\.d\./.test(name)),
  };
  writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify(config));
  const flags = ["--project", folder, "--pretty", "false", "--extendedDiagnostics"];
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...flags], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stdout);
  const counted = (what) => Number(new RegExp(`^${what}:\\s+(\\d+)`, "m").exec(stdout)?.[1]);
  return { folder, types: counted("Types"), instantiations: counted("Instantiations") };
}

// Compilers are slow where the machine is busy.
const timeout = 600_000;

for (const [version, compiler] of compilers) {
  describe(`TypeScript ${version}`, { timeout }, () => {
    for (const [module, moduleResolution] of [
      ["node16", "node16"],
      ["nodenext", "nodenext"],
      ["preserve", "bundler"],
    ]) {
      test(
        `finds nothing wrong in the declarations, resolved as ${moduleResolution}`,
        { timeout },
        (t) => {
          const program = application("hand-written", 20);
          const alone =
            'export * from "@zocket/core/client";\nexport * as core from "@zocket/core";\n';
          const files = { "a.mts": program, "b.cts": program, "c.mts": alone, "d.cts": alone };
          compile(t, compiler, files, { module, moduleResolution, skipLibCheck: false });
        },
      );
    }

    test(
      "writes declarations of a router with 300 routes, and they type the same client",
      { timeout },
      (t) => {
        const program = application("hand-written", 300);
        const emit = { noEmit: false, declaration: true, emitDeclarationOnly: true };
        const { folder } = compile(t, compiler, { "application.mts": program }, emit);
        const declarations = readFileSync(path.join(folder, "application.d.mts"), "utf8");
        assert.match(declarations, /export declare const appRouter: /);
        assert.doesNotMatch(declarations, /\bany\b/);
        const consumer = `import { createZocketClient, type ZocketClient } from "@zocket/core/client";
import { appRouter, client, routes, server, zo } from "./application.mjs";
const own = createZocketClient<typeof appRouter>("ws://localhost:3000");
const byRoutes: ZocketClient<typeof routes> = own;
const same: typeof client = byRoutes as ZocketClient<typeof appRouter>;
same.on.group14.deeper.onMessage9(({ at }) => { const text: string = at; void text; });
same.send.group0.message1({ id: "", text: "", count: 1 });
server.send.group14.deeper.onMessage9({ id: "", text: "", at: new Date(), author: { name: "" } });
zo.message.use(({ ctx }) => ({ again: ctx.userId.length }));
// @ts-expect-error wrong payload
own.send.group0.message1({ id: 1 });
// @ts-expect-error wrong route
own.on.group14.deeper.onMessage10(() => {});
`;
        compile(t, compiler, { "application.d.mts": declarations, "consumer.mts": consumer });
      },
    );

    // About a tenth above what was counted when this was written; `benches/types` shows what the schemas alone are of it.
    const most = {
      routes: {
        "hand-written": { types: 20_000, instantiations: 126_000 },
        valibot: { types: 39_000, instantiations: 258_000 },
        zod: { types: 37_000, instantiations: 280_000 },
      },
      "calls with replies and errors": {
        "hand-written": { types: 67_000, instantiations: 320_000 },
        zod: { types: 111_000, instantiations: 720_000 },
      },
    };
    for (const [what, kinds] of Object.entries(most)) {
      const write = what === "routes" ? application : calls;
      for (const [kind, { types, instantiations }] of Object.entries(kinds)) {
        test(`checks 300 ${what} with ${kind} schemas without much work`, { timeout }, (t) => {
          const files = { "application.mts": write(kind, 300) };
          const counted = compile(t, compiler, files, { skipLibCheck: true });
          const found = `${counted.types} types, ${counted.instantiations} instantiations`;
          assert.ok(counted.instantiations <= instantiations && counted.types <= types, found);
          // A count that is missing, or of another program, would be below any bound.
          assert.ok(
            counted.instantiations > instantiations / 2 && counted.types > types / 2,
            found,
          );
        });
      }
    }
  });
}
