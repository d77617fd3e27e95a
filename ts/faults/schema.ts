// Reads the result of a Standard Schema, which may be hostile.
import { isObject } from "./check.js";

/**
 * The issues of a validation's result, `undefined` if there are none, so that `value` counts.
 *
 * @throws `TypeError` if the result is neither: then nothing may be taken as valid.
 */
export function issuesOf(result: unknown): readonly unknown[] | undefined {
  if (isObject(result)) {
    const { issues } = result as { readonly issues?: unknown };
    if (Array.isArray(issues)) {
      if (issues.length > 0) return issues;
    } else if (issues !== undefined && issues !== null) {
      throw new TypeError("the schema returned issues that are not an array");
    }
    if ("value" in result) return undefined;
  }
  throw new TypeError("the schema returned neither a value nor issues");
}
