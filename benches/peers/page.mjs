// Pages of `docs/` with parts that a record fills.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";

/** The newest record of a kind, and its data. */
export function newestRecord(folder, kind) {
  const ours = readdirSync(folder).filter((name) => name.endsWith(`-${kind}.json`));
  const newest = ours.toSorted().at(-1);
  if (newest === undefined) throw new Error("no record with data: npm run bench writes one");
  return { newest, data: JSON.parse(readFileSync(path.join(folder, newest), "utf8")) };
}

/** A link from a page to the text of a record. */
export function linkTo(newest) {
  const text = newest.replace(".json", ".md");
  return `[${text}](../benches/record/${text})`;
}

/** Puts parts between the marks of a page that have their names. */
export async function fillPage(file, parts) {
  let page = readFileSync(file, "utf8");
  for (const [name, content] of Object.entries(parts)) {
    const marks = new RegExp(`(<!-- ${name} -->)[^]*?(<!-- /${name} -->)`);
    if (!marks.test(page)) throw new Error(`${file} has no marks for ${name}`);
    page = page.replace(marks, (_, begin, end) => `${begin}\n\n${content.trim()}\n\n${end}`);
  }
  const { format, resolveConfig } = await import("prettier");
  const style = await resolveConfig(file);
  writeFileSync(file, await format(page, { ...style, parser: "markdown" }));
}
