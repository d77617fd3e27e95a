// The tables of docs/errors.md as cases: a row without a case fails, and so does a case without a row.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, test, type TestContext } from "node:test";

import { readPage, tablesOf } from "./_pages.ts";
import { ROOT } from "./_child.ts";

const TABLES = tablesOf(readPage("docs/errors.md"));

/** A row by the names of its columns, without back ticks. */
export type Row = Readonly<Record<string, string>>;

/** Provokes what a row tells of, and asserts that it is so. */
export type Case = (t: TestContext, row: Row) => Promise<unknown>;

/** The rows of the table under a heading. */
export function rowsOf(heading: string): Row[] {
  const table = TABLES.find((it) => plain(it.heading) === heading);
  assert.ok(table, `docs/errors.md has no table under "${heading}"`);
  return table.rows.map((cells) => {
    const pairs = cells.map((cell, index) => [table.columns[index], cell].map(plain));
    return Object.fromEntries(pairs) as Row;
  });
}

const plain = (cell: string | undefined) => cell?.replaceAll("`", "") ?? "";

/** The values of a column, each once, sorted. */
export const valuesOf = (heading: string, column: string) =>
  [...new Set(rowsOf(heading).map((row) => row[column] ?? ""))].toSorted();

/** A test for each row of a table, by the cells of some columns. */
export function eachRow(heading: string, columns: string[], cases: Record<string, Case>): void {
  const rows = new Map(
    rowsOf(heading).map((row) => [columns.map((column) => row[column]).join(", "), row]),
  );
  describe(heading, () => {
    test("has a case for every row, a row for every case, and no row twice", () => {
      assert.deepEqual([...rows.keys()].toSorted(), Object.keys(cases).toSorted());
      assert.equal(rows.size, rowsOf(heading).length);
    });
    for (const [key, provoke] of Object.entries(cases)) {
      test(key, async (t) => {
        const row = rows.get(key);
        assert.ok(row, "there is no such row");
        for (const column of ["Cause", "What to do"]) assert.ok(row[column], `no ${column}`);
        await provoke(t, row);
      });
    }
  });
}

/** What a pattern finds in our own sources, their tests aside: the groups of each match. */
export function inSources(files: string[], pattern: RegExp): string[][] {
  return files.flatMap((file) => {
    const [source = ""] = readFileSync(path.join(ROOT, file), "utf8").split("#[cfg(test)]");
    return [...source.matchAll(pattern)].map(([, ...groups]) => groups.map(String));
  });
}
