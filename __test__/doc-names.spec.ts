// The reference and the package name the same things: every exported name has its heading and its line in the index, every member
// its row, every option its default, and no page tells of a name that does not exist.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";

import ts from "typescript-5.9";

import { blocksOf, codesIn, PAGES, readPage, tablesOf, type Table } from "./_pages.ts";
import { ROOT } from "./_child.ts";

/** First column of a table that lists the members of a type. */
const MEMBER_COLUMNS = ["Member", "Field", "Option"];

const program = ts.createProgram([path.join(ROOT, "index.d.ts")], {
  strict: true,
  module: ts.ModuleKind.Node16,
});
const checker = program.getTypeChecker();
const exported = new Map<string, ts.Symbol>();
{
  const file = program.getSourceFile(path.join(ROOT, "index.d.ts"));
  const module = file && checker.getSymbolAtLocation(file);
  assert.ok(module, "index.d.ts is no module");
  for (const symbol of checker.getExportsOfModule(module)) {
    // The same as `zocket`.
    if (symbol.name === "default") continue;
    const isAlias = (symbol.flags & ts.SymbolFlags.Alias) !== 0;
    exported.set(symbol.name, isAlias ? checker.getAliasedSymbol(symbol) : symbol);
  }
}

/** Documented names, with the page and the tables under the name's heading. */
const documented = new Map<string, { page: string; tables: Table[] }>();
const doubled: string[] = [];
for (const page of PAGES) {
  const text = readPage(`docs/${page}`);
  for (const [, name = ""] of text.matchAll(/^#+ `([^`]+)`$/gm)) {
    if (documented.has(name)) doubled.push(name);
    const tables = tablesOf(text).filter(({ heading }) => heading === `\`${name}\``);
    documented.set(name, { page, tables });
  }
}
// The user's own page has a heading in a form of its own.
if (readPage("docs/zocket-create.md").includes("\n# zocket.create()\n")) {
  documented.set("zocket", { page: "zocket-create.md", tables: [] });
}

const index = tablesOf(readPage("docs/README.md")).find(({ heading }) => heading === "Names");

/** The own members of an interface, or the known ones of an object type: nothing where the type is made of its parameters. */
function membersOf(symbol: ts.Symbol): ts.Symbol[] {
  if ((symbol.flags & ts.SymbolFlags.Interface) === 0) return [];
  const type = checker.getDeclaredTypeOfSymbol(symbol);
  if (type.getStringIndexType() || checker.isArrayLikeType(type)) return [];
  // Not those of a promise, nor those under a symbol, which JavaScript itself looks up.
  return checker.getPropertiesOfType(type).filter(({ name, declarations }) => {
    if (name.startsWith("__@")) return false;
    return declarations?.some((it) => !program.isSourceFileDefaultLibrary(it.getSourceFile()));
  });
}

/** Whose members a page need not list: not ours, and not for users. */
const isForeign = (name: string, symbol: ts.Symbol) =>
  name === "StandardSchemaV1" || internal(symbol) !== undefined;

/** What the types say of something that is exported but not public. */
function internal(symbol: ts.Symbol): string | undefined {
  const tag = symbol.getJsDocTags(checker).find(({ name }) => name === "internal");
  return tag && ts.displayPartsToString(tag.text);
}

const sorted = (names: Iterable<string>) => [...names].toSorted();

describe("the reference", () => {
  test("has a heading for every name that the package exports, and for no other", () => {
    assert.deepEqual(sorted(documented.keys()), sorted(exported.keys()));
    assert.deepEqual(doubled, []);
  });

  test("has an index of exactly these names, whose links lead to their headings", () => {
    const rows = index?.rows.map(([first = ""]) => /^\[`(\w+)`\]\((.+)\)$/.exec(first)) ?? [];
    assert.deepEqual(sorted(rows.map((row) => row?.[1] ?? "no link")), sorted(exported.keys()));
    for (const row of rows) {
      const name = row?.[1] ?? "";
      const anchor = name === "zocket" ? "zocketcreate" : name.toLowerCase();
      assert.equal(row?.[2], `${documented.get(name)?.page}#${anchor}`);
    }
  });

  test("uses every name in the code of its page", () => {
    for (const [name, symbol] of exported) {
      if (name === "zocket" || internal(symbol) !== undefined) continue;
      const { page = "" } = documented.get(name) ?? {};
      const used = blocksOf(readPage(`docs/${page}`))
        .filter(({ info }) => info[0] === "ts")
        .map(({ code }) => code.replaceAll(/^import [\s\S]*?;$/gm, ""))
        .some((code) => new RegExp(`\\b${name}\\b`).test(code));
      assert.ok(used, `${page} has no example with ${name}`);
    }
  });

  test("lists every page", () => {
    const linked = tablesOf(readPage("docs/README.md")).filter(
      ({ columns: [first] }) => first === "Page",
    );
    const rows = linked.flatMap((table) => table.rows);
    const targets = rows.map(([first = ""]) => /\((.+)\)/.exec(first)?.[1] ?? "no link");
    assert.deepEqual(
      sorted(targets),
      sorted(PAGES).filter((page) => page !== "README.md"),
    );
  });

  test("has links that lead somewhere", () => {
    const anchors = new Map(
      PAGES.map((page) => {
        const headings = [...readPage(`docs/${page}`).matchAll(/^#+ (.+)$/gm)];
        return [page, headings.map(([, title = ""]) => slug(title))];
      }),
    );
    for (const page of PAGES) {
      for (const [, link = ""] of readPage(`docs/${page}`).matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
        const [target = "", anchor] = link.split("#");
        // Pictures, and files elsewhere in the repository, need only be there.
        if (anchor === undefined && existsSync(path.join(ROOT, "docs", target))) continue;
        const found = anchors.get(target || page);
        assert.ok(found, `${page}: ${link}: there is no such page`);
        if (anchor !== undefined) assert.ok(found.includes(anchor), `${page}: ${link}`);
      }
    }
  });

  for (const [name, symbol] of exported) {
    const members = isForeign(name, symbol) ? [] : membersOf(symbol);
    if (members.length === 0) continue;
    test(`lists the members of ${name}, and no others`, () => {
      const table = documented
        .get(name)
        ?.tables.find(({ columns }) => MEMBER_COLUMNS.includes(columns[0] ?? ""));
      assert.ok(table, `there is no table of members under ${name}`);
      const rows = table.rows.map(([first = ""]) => codesIn(first).join());
      assert.deepEqual(sorted(rows), sorted(members.map((member) => member.name)));
    });

    test(`says of every member of ${name} in the types what it is`, () => {
      for (const member of members) {
        const said = ts.displayPartsToString(member.getDocumentationComment(checker));
        assert.ok(said || internal(member), `${name}.${member.name}`);
      }
    });
  }

  for (const name of ["ServerOptions", "ClientOptions"]) {
    test(`has the defaults that the types tell of ${name}`, () => {
      const table = documented.get(name)?.tables[0];
      const column = table?.columns.indexOf("Default") ?? -1;
      assert.ok(column > 0, "there is no column for defaults");
      for (const member of membersOf(exported.get(name) as ts.Symbol)) {
        const tag = member.getJsDocTags(checker).find((tag) => tag.name === "default");
        const row = table?.rows.find(([first = ""]) => codesIn(first).includes(member.name));
        const told = tag ? ts.displayPartsToString(tag.text) : "none";
        const plain = (text: string | undefined) => text?.replaceAll("`", "");
        assert.equal(plain(row?.[column]), plain(told), member.name);
      }
    });
  }
});

/** The anchor that a heading gets. */
function slug(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, "")
    .replaceAll(" ", "-");
}
