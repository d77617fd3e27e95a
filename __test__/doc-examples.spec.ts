// The code of README.md and of the reference: the `ts` blocks of a page are one program, which every supported TypeScript
// compiles under `strict`, which ends by itself, and which prints what the page's `text` blocks say.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { assertCompiled, blocksOf, COMPILERS, PAGES, Project, readPage } from "./_pages.ts";

/** proxies.spec.ts runs these. */
const PROXIES = ["nginx", "haproxy"];
/** What a page may hold. bus.spec.ts runs Python, and bus-nats.spec.ts starts NATS. Another language would be code that nobody compiles; an image is not built here. */
const LANGUAGES = [
  "ts",
  "tsx",
  "html",
  "text",
  "json",
  "sh",
  "dockerfile",
  "yaml",
  "caddyfile",
  "python",
  "nats",
  ...PROXIES,
];
/** reference-page.spec.ts compiles and runs the code of this page. */
const NOT_HERE = "zocket-create.md";

const pages = PAGES.filter((name) => name !== NOT_HERE).map((name) => ({
  name,
  blocks: blocksOf(readPage(`docs/${name}`)),
}));
const readme = blocksOf(readPage("README.md"));

const codeOf = (blocks: typeof readme, language: string) =>
  blocks.filter(({ info }) => info[0] === language).map(({ code }) => code);

/**
 * Whether a block is a file of its own: it uses frameworks, or several processes. `npm run test:frameworks`, `npm run test:react` and
 * share-processes.spec.ts compile these and run them.
 */
const isFile = (code: string) => /^\/\/ \S+\.m?ts\n/.test(code);
/** The pages with such files. */
const WITH_FILES = ["existing-server.md", "react.md", "scaling.md"];

/** Pages with a program, and its file. Readers save it under such a name, as README.md does; TypeScript takes a little less there. */
const programs = pages
  .map(({ name, blocks }) => ({
    name,
    file: name.replace(/md$/, "mjs"),
    code: codeOf(blocks, "ts")
      .filter((code) => !WITH_FILES.includes(name) || !isFile(code))
      .join("\n"),
    printed: codeOf(blocks, "text").join(""),
  }))
  .filter(({ code }) => code !== "");

/** The README's blocks are files that name themselves, with an address that is free and an end. */
const README_PORT = "port: 3000";
const README_URL = "ws://localhost:3000";
const README_END = `
client.on.chat.onMessage(() => client.close());
`;

function fileOf(name: string): string {
  const start = `// ${name}\n`;
  const found = codeOf(readme, "ts").find((code) => code.startsWith(start));
  assert.ok(found, `README.md has no file ${name}`);
  return found;
}

function replaced(code: string, what: string, by: string): string {
  assert.ok(code.includes(what), `README.md does not say ${what} any more`);
  return code.replace(what, by);
}

/** What the examples in comments take for granted: the README's server, and what a user has. */
const GIVEN = `
import { createServer, createZocketClient, zocket } from "@zocket/core";
import type { StandardSchemaV1, Zocket } from "@zocket/core";
import { z } from "zod";
import type { AppRouter } from "./server.js";
declare const appRouter: AppRouter;
declare const zo: Zocket<StandardSchemaV1, { userId: string; username: string; role: string }>;
declare const token: string;
declare const database: { updateLastSeen(userId: string): Promise<void> };
declare function validateToken(token: string): Promise<{ id: string; name: string }>;
`;

/** The examples in a file's comments. */
const commented = (file: string) =>
  [...readPage(file).matchAll(/^ *\* ```ts\n([\s\S]*?)^ *\* ```$/gm)].map(([, code = ""]) =>
    code.replaceAll(/^ *\* ?/gm, ""),
  );
const inTypes = ["zocket", "server/index", "client/index"].flatMap((name) =>
  commented(`ts/${name}.ts`),
);

const sources = {
  ...Object.fromEntries(programs.map(({ file, code }) => [file.replace(/mjs$/, "mts"), code])),
  "readme/hello.mts": replaced(fileOf("hello.mts"), README_PORT, "port: 0"),
  "readme/server.ts": replaced(fileOf("server.ts"), README_PORT, "port: 0"),
  "readme/page.ts":
    replaced(fileOf("page.ts"), `"${README_URL}"`, "process.env.SERVER_URL ?? ''") + README_END,
  "readme/types.ts": GIVEN + inTypes.map((code) => `{\n${code}}\n`).join(""),
};
const project = new Project(sources);

describe("the code of the documentation", () => {
  for (const compiler of Object.keys(COMPILERS)) {
    test(`compiles with ${compiler} under strict`, () => assertCompiled(project, compiler));
  }

  test("is in comments too: one example for each entry point, and it was compiled", () => {
    assert.equal(inTypes.length, 3);
  });

  test("is in blocks of a language that is looked at", () => {
    // Only where something compiles it.
    const withReact = pages.filter(({ blocks }) =>
      blocks.some(({ info }) => /tsx|html/.test(info[0] ?? "")),
    );
    assert.deepEqual(
      withReact.map(({ name }) => name),
      ["react.md"],
    );
    for (const { name, blocks } of [...pages, { name: "README.md", blocks: readme }]) {
      for (const { info, heading } of blocks) {
        assert.ok(LANGUAGES.includes(info[0] ?? ""), `${name}, ${heading}: ${info.join(" ")}`);
      }
    }
    assert.equal(codeOf(readme, "ts").length, 3, "README.md has a block that is compiled nowhere");
  });

  for (const { name, file, printed } of programs) {
    test(`of docs/${name} runs to its end and prints what the page says`, async (t) => {
      assert.equal(await project.run(t, file), printed);
    });
  }

  test("of README.md: the first example prints what the page says", async (t) => {
    const hello = project.start(t, "readme/hello.mjs");
    assert.equal(await hello.printed(/\w+: .*\n/), "Ada: hello\n");
    assert.ok(readPage("README.md").includes("It prints `Ada: hello`"));
  });

  test("of README.md: the client gets its message back, and its user's last visit is written down", async (t) => {
    const server = project.start(t, "readme/server.js");
    const url = await server.printed(/listening on (\S+)\n/);
    const page = project.start(t, "readme/page.js", { SERVER_URL: url });
    await page.endsWell();
    assert.equal(page.out, "Ada: hello\n");
    assert.equal(await server.printed(/1 is gone/), "1 is gone");
  });
});
