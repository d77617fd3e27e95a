// The reference page (docs/zocket-create.md) as its readers take it: its example is compiled under `strict` in a project of
// its own, with the package installed, and run; its signature and fragments are held against the types.
import assert from "node:assert/strict";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Child, ROOT, soon } from "./_support.ts";

const PAGE = readFileSync(path.join(ROOT, "docs", "zocket-create.md"), "utf8");
/** The page's blocks of code, each under its nearest heading. */
const blocks = new Map<string, string[]>();
{
  let heading = "";
  for (const [, title, code] of PAGE.matchAll(/^#+ (.+)$|^```typescript\n([\s\S]*?)^```$/gm)) {
    if (title !== undefined) heading = title;
    else blocks.set(heading, [...(blocks.get(heading) ?? []), code ?? ""]);
  }
}
const block = (heading: string, index = 0): string => {
  const code = blocks.get(heading)?.[index];
  assert.ok(code, `the page has no code under "${heading}"`);
  return code;
};

/** What the page takes for granted. */
const GIVEN = `
const users = new Map([["secret", { id: "1", name: "Ada", role: "admin" }]]);
async function validateToken(token: string) {
  const user = users.get(token);
  if (!user) throw new Error("unknown token");
  return user;
}
const database = {
  updateLastSeen: async (userId: string) => console.log("last seen", userId),
};
async function logDisconnection(userId: string, clientId: string) {
  console.log("gone", userId, clientId.length);
}
`;

/** Passes where both types are the same. */
const SAME = `
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <T extends true>(..._: T[]) => {};
`;

/** Serves what \`zo\` says, lets one client in and one not, and exchanges a message. */
const USE = `
import { createServer } from "@zocket/core";
import { WebSocket } from "ws";

const routes = {
  chat: {
    message: zo.message.incoming({ payload: z.object({ text: z.string() }) }),
    onMessage: zo.message.outgoing({ payload: z.object({ from: z.string(), text: z.string() }) }),
  },
};
const router = zo.router(routes, {
  chat: {
    message: ({ payload, ctx }) => {
      ctx.send.chat.onMessage({ from: \`\${ctx.username} the \${ctx.role}\`, text: payload.text }).broadcast();
    },
  },
});
const server = createServer(router, zo, { port: 0, hostname: "127.0.0.1", onError: () => {} });
const stranger = new WebSocket(server.url, { headers: { authorization: "wrong" } });
stranger.on("unexpected-response", (_, response) => {
  console.log("stranger", response.statusCode);
  stranger.terminate();
  const ada = new WebSocket(server.url, { headers: { authorization: "secret" } });
  ada.on("open", () => ada.send('{"type":"chat.message","payload":{"text":"hello"}}'));
  ada.on("message", (text) => {
    console.log("ada", String(text));
    void server.stop();
  });
});
stranger.on("error", () => {});
`;
const RAN = [
  "stranger 403",
  'ada {"type":"chat.onMessage","payload":{"from":"Ada the admin","text":"hello"}}',
  "last seen 1",
];

const COMPILERS = { "TypeScript 7": "typescript", "TypeScript 5.9": "typescript-5.9" };

let project = "";
before(() => {
  project = mkdtempSync(path.join(tmpdir(), "zocket-page-"));
  const installed = (name: string, from: string) => {
    const place = path.join(project, "node_modules", name);
    mkdirSync(path.dirname(place), { recursive: true });
    symlinkSync(from, place, "junction");
  };
  installed("@zocket/core", path.resolve(ROOT));
  for (const name of [
    "zod",
    "valibot",
    "ws",
    "@types/ws",
    "@types/node",
    "@standard-schema/spec",
  ]) {
    installed(name, path.join(ROOT, "node_modules", name));
  }
});
after(() => rmSync(project, { recursive: true, force: true }));

/** Compiles one file, and returns where its JavaScript is; complaints of the compiler fail the test. */
async function compile(
  t: Parameters<typeof Child.node>[0],
  code: string,
  { compiler = "typescript", kind = "module" } = {},
): Promise<string> {
  const folder = mkdtempSync(path.join(project, "src-"));
  const write = (name: string, value: unknown) =>
    writeFileSync(path.join(folder, name), JSON.stringify(value));
  write("package.json", { type: kind });
  write("tsconfig.json", {
    compilerOptions: {
      strict: true,
      target: "es2022",
      module: "nodenext",
      moduleResolution: "nodenext",
      types: ["node"],
      outDir: "out",
      rootDir: ".",
      noUnusedLocals: false,
    },
    files: ["main.ts"],
  });
  writeFileSync(path.join(folder, "main.ts"), code);
  const tsc = path.join(ROOT, "node_modules", compiler, "bin", "tsc");
  const child = new Child(t, process.execPath, [tsc, "-p", folder]);
  const end = await soon("the compiler's end", child.exit);
  assert.deepEqual({ ...end, out: child.out }, { code: 0, signal: null, out: "" });
  cpSync(path.join(folder, "package.json"), path.join(folder, "out", "package.json"));
  return path.join(folder, "out", "main.js");
}

describe("the reference page", () => {
  for (const [name, compiler] of Object.entries(COMPILERS)) {
    for (const kind of ["module", "commonjs"]) {
      test(`its example compiles with ${name} under strict as ${kind}, and does what it says`, async (t) => {
        const code = `${block("Example")}${GIVEN}${USE}`;
        const child = new Child(t, process.execPath, [await compile(t, code, { compiler, kind })]);
        await child.endsWell();
        assert.deepEqual(child.out.trim().split("\n"), RAN);
      });
    }
  }

  test("its example gives the types it tells", async (t) => {
    const code = `${block("Example")}${GIVEN}${SAME}
import type { DisconnectContext, Zocket } from "@zocket/core";

type User = { userId: string; username: string; role: string };
type Schema = z.ZodObject<{ authorization: z.ZodString }>;
same<Same<typeof zo, Zocket<Schema, User>>>();

zocket.create({
  headers: z.object({ authorization: z.string(), count: z.coerce.number() }),
  onConnect: (headers, clientId) => {
    same<Same<typeof headers, { authorization: string; count: number }>>();
    same<Same<typeof clientId, string>>();
    return { userId: headers.authorization };
  },
  onDisconnect: (ctx, clientId) => {
    same<Same<typeof ctx.rooms, ReadonlySet<string>>>();
    same<Same<typeof ctx.userId, string>>();
    same<Same<typeof clientId, string>>();
    const again: DisconnectContext<{ userId: string }> = ctx;
    void again;
  },
});

// Both type parameters may be given, the second one may be left out.
const empty = zocket.create({ headers: z.object({}) });
same<Same<typeof empty, Zocket<z.ZodObject<{}>, {}>>>();
const given = zocket.create<Schema, User>({
  headers: z.object({ authorization: z.string() }),
  onConnect: ({ authorization }) => ({ userId: authorization, username: "", role: "" }),
});
same<Same<typeof given, Zocket<Schema, User>>>();

// @ts-expect-error: \`headers\` is required.
zocket.create({});
`;
    await compile(t, code);
  });

  test("its signature is the one the package has", async (t) => {
    const signature = block("Signature").replace("function create<", "declare function create<");
    const code = `
import { zocket, type DisconnectContext, type Zocket } from "@zocket/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";
${signature}
// Each can stand for the other.
const ours: typeof create = zocket.create;
const theirs: typeof zocket.create = create;
void ours, theirs;
`;
    await compile(t, code);
  });

  test("its fragments work where they belong", async (t) => {
    const code = `
import { z } from "zod";
import { zocket } from "@zocket/core";
${GIVEN}
const middleware = () => {};
const zo = zocket.create({
  ${block("config.headers (required)").trim().replace(/;$/, ",")}
  ${block("config.onConnect (optional)").trim().replace(/;$/, ",")}
  ${block("config.onDisconnect (optional)").trim().replace(/;$/, ",")}
});
${block("message").replaceAll("{...}", "{ text: z.string() }")}
const routes = { say: zo.message.incoming({ payload: z.string() }) };
const handlers = { say: () => {} };
${block("router")}
console.log("done");
`;
    const child = new Child(t, process.execPath, [await compile(t, code)]);
    await child.endsWell();
    assert.equal(child.out, "done\n");
  });

  test("its example works with a Valibot schema too", async (t) => {
    const example = block("Example")
      .replace(
        'import { z } from "zod";',
        'import * as v from "valibot";\nimport { z } from "zod";',
      )
      .replace(
        "z.object({\n    authorization: z.string(),",
        "v.object({\n    authorization: v.string(),",
      );
    assert.match(example, /authorization: v\.string/);
    const child = new Child(t, process.execPath, [await compile(t, `${example}${GIVEN}${USE}`)]);
    await child.endsWell();
    assert.deepEqual(child.out.trim().split("\n"), RAN);
  });
});
