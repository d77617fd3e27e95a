// What an editor shows of the package's types, asked of the language service for every name in an application and in the
// package's own declarations: never `any`.
import assert from "node:assert/strict";
import path from "node:path";
import { describe, test } from "node:test";

import ts from "typescript-5.9";

import { ROOT } from "./_child.ts";

const at = (...parts: string[]) => path.join(ROOT, ...parts).replaceAll(path.sep, "/");

/** A file that there is none of, and that shows what nothing else may. */
const WRONG = { name: at("__test__", "wrong.ts"), text: 'export const parsed = JSON.parse("");' };

/** A language service over these files, with the settings of the type tests. */
function serviceOver(files: string[]): ts.LanguageService {
  const config = ts.getParsedCommandLineOfConfigFile(
    at("__test__", "tsconfig.json"),
    { noErrorTruncation: true },
    {
      ...ts.sys,
      onUnRecoverableConfigFileDiagnostic: ({ messageText }) => assert.fail(String(messageText)),
    },
  );
  assert.ok(config);
  return ts.createLanguageService({
    getCompilationSettings: () => config.options,
    getScriptFileNames: () => files,
    getScriptVersion: () => "0",
    getScriptSnapshot: (file) => {
      const text = file === WRONG.name ? WRONG.text : ts.sys.readFile(file);
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
    },
    getCurrentDirectory: () => ROOT,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    readDirectory: ts.sys.readDirectory,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
  });
}

/** A name in a file, and what an editor shows for it. */
interface Hover {
  name: string;
  place: string;
  shown: string;
  /** Not where others declare the name: `console.log` takes `any`, and says so. */
  showsAny: boolean;
}

/** What is shown for the names in a file. */
function hoversIn(service: ts.LanguageService, file: string): Hover[] {
  const source = service.getProgram()?.getSourceFile(file);
  assert.ok(source, file);
  const hovers: Hover[] = [];
  const visit = (node: ts.Node): void => {
    ts.forEachChild(node, visit);
    if (!ts.isIdentifier(node)) return;
    const start = node.getStart(source);
    const { line } = source.getLineAndCharacterOfPosition(start);
    const info = service.getQuickInfoAtPosition(file, start);
    const shown = ts.displayPartsToString(info?.displayParts);
    const place = `${path.basename(file)}:${line + 1}`;
    const isOurs = () => {
      const [definition] = service.getDefinitionAtPosition(file, start) ?? [];
      return !definition?.fileName.includes("/node_modules/");
    };
    hovers.push({ name: node.text, place, shown, showsAny: /\bany\b/.test(shown) && isOurs() });
  };
  visit(source);
  return hovers;
}

const showAny = (hovers: Hover[]) => hovers.filter(({ showsAny }) => showsAny);

describe("no hover shows `any`", () => {
  const declarations = [
    at("index.d.ts"),
    at("dist", "zocket.d.ts"),
    at("dist", "server", "index.d.ts"),
    at("dist", "envelope.d.ts"),
    at("dist", "public.d.ts"),
    ...["index", "types"].flatMap((name) => [
      at("dist", "client", `${name}.d.ts`),
      at("dist", "esm", "client", `${name}.d.ts`),
    ]),
    ...ts.sys.readDirectory(at("dist", "react"), [".d.ts"]),
    ...ts.sys.readDirectory(at("dist", "esm", "react"), [".d.ts"]),
    at("dist", "faults", "codes.d.ts"),
    at("dist", "server", "types.d.ts"),
    ...ts.sys.readDirectory(at("dist", "types"), [".d.ts"]),
    ...ts.sys.readDirectory(at("dist", "esm", "types"), [".d.ts"]),
  ];
  const application = at("__test__", "_application.ts");
  const withReact = at("__test__", "_application-react.ts");
  const service = serviceOver([application, withReact, WRONG.name, ...declarations]);

  test("in an application: its context, middlewares, routes, handlers, server and client", () => {
    assert.deepEqual(service.getSemanticDiagnostics(application), []);
    const hovers = hoversIn(service, application);
    assert.deepEqual(showAny(hovers), []);
    // It does look: these are shown, and in full.
    const shown = (name: string) =>
      hovers.filter((hover) => hover.name === name).map((it) => it.shown);
    assert.ok(
      shown("onMessage").some((it) => it.includes("text: string;\n    at: Date;")),
      "send",
    );
    assert.ok(shown("role").includes('const role: "admin"'), "a middleware's addition");
    assert.ok(shown("at").includes("const at: string"), "a payload on the client");
    assert.ok(hovers.length > 400, String(hovers.length));
  });

  test("in a page with the hooks for React", () => {
    assert.deepEqual(service.getSemanticDiagnostics(withReact), []);
    const hovers = hoversIn(service, withReact);
    assert.deepEqual(showAny(hovers), []);
    const shown = (name: string) =>
      hovers.filter((hover) => hover.name === name).map((it) => it.shown);
    assert.ok(
      shown("run").some((it) => it.includes("payload: {\n    room: string;\n}")),
      shown("run").join("\n"),
    );
    assert.ok(shown("limit").includes("const limit: number | undefined"), shown("limit").join());
    assert.ok(shown("word").includes("(parameter) word: string"), shown("word").join());
  });

  test("in the package's own declarations", () => {
    const hovers = declarations.flatMap((file) => hoversIn(service, file));
    assert.deepEqual(showAny(hovers), []);
    assert.ok(hovers.length > 1_000, String(hovers.length));
  });

  test("and one that does is found", () => {
    assert.deepEqual(
      showAny(hoversIn(service, WRONG.name)).map(({ shown }) => shown),
      ["const parsed: any"],
    );
  });
});
