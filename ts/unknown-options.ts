// Refuses unknown options, and suggests the right name. The native side does the same for the options that it reads.

/** Longest name that is compared with ours, in characters. Ours are shorter by far. */
const MAX_COMPARED = 64;

/**
 * Refuses the own names of an object of options that are not among `known`, also those that are `undefined`.
 *
 * `place` is what stands before a name in the error, such as `server.stop: options.`; `aliases` are names from other libraries,
 * in lower case, each with ours. The caller looks at the names in `elsewhere` itself.
 *
 * @throws `TypeError` naming the option, and the right name where one is near.
 */
export function refuseUnknown(
  place: string,
  options: object,
  known: readonly string[],
  aliases: Readonly<Record<string, string>> = {},
  elsewhere: readonly string[] = [],
): void {
  for (const name of Object.keys(options)) {
    if (known.includes(name) || elsewhere.includes(name)) continue;
    const meant = meantBy(name, known, aliases);
    const among = `expected ${known.length > 1 ? "one of " : ""}${known.join(", ")}`;
    const hint = meant ? `did you mean ${meant}?` : among;
    throw new TypeError(`${place}${shown(name)}: unknown option; ${hint}`);
  }
}

/**
 * Says what was meant if the required option `required` is missing and another name stands for it.
 *
 * @throws `TypeError` naming both.
 */
export function refuseOtherNameOf(
  required: string,
  place: string,
  options: object,
  aliases: Readonly<Record<string, string>>,
): void {
  for (const name of Object.keys(options)) {
    if (name !== required && meantBy(name, [required], aliases) === required) {
      throw new TypeError(`${place}${shown(name)}: unknown option; did you mean ${required}?`);
    }
  }
}

/** The option that a wrong name stands for, if one is near. */
function meantBy(
  name: string,
  known: readonly string[],
  aliases: Readonly<Record<string, string>>,
): string | undefined {
  if (name.length > MAX_COMPARED) return undefined;
  const wanted = name.toLowerCase();
  if (Object.hasOwn(aliases, wanted)) return aliases[wanted];
  let nearest: string | undefined;
  // Of a long name more characters may be wrong.
  let least = 2 + Math.floor(wanted.length / 8);
  for (const option of known) {
    const far = distance(wanted, option.toLowerCase());
    if (far < least) [nearest, least] = [option, far];
  }
  return nearest;
}

/** How many characters have to be added, left out, replaced or swapped with their neighbour to make one text the other. */
function distance(left: string, right: string): number {
  // The distances from each beginning of `left`, a row each, to each beginning of `right`.
  const rows: number[][] = [];
  const from = (i: number, j: number) => rows[i]?.[j] ?? Infinity;
  for (let i = 0; i <= left.length; i += 1) {
    const row: number[] = [];
    rows.push(row);
    for (let j = 0; j <= right.length; j += 1) {
      const isSame = left[i - 1] === right[j - 1];
      const isSwapped = left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      const least = Math.min(
        i === 0 || j === 0 ? i + j : Infinity,
        from(i - 1, j - 1) + (isSame ? 0 : 1),
        from(i - 1, j) + 1,
        from(i, j - 1) + 1,
        isSwapped ? from(i - 2, j - 2) + 1 : Infinity,
      );
      row.push(least);
    }
  }
  return from(left.length, right.length);
}

/** A name as errors show it: shortened, with control characters escaped. */
function shown(name: string): string {
  const text = JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name);
  return text.slice(1, -1);
}
