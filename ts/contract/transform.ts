// Runs the transformer of payloads, and checks what it returns. Server and client share it.
import { isFunction, isThenable } from "../faults/check.js";
import type { Transformer } from "../types/transformer.js";

/** Whether the value has the two functions of a transformer. A class with static ones, such as superjson, is one too. */
export function isTransformer(value: unknown): value is Transformer {
  const given = value as { readonly [name in keyof Transformer]?: unknown } | null | undefined;
  return isFunction(given?.serialize) && isFunction(given?.deserialize);
}

/**
 * What the transformer makes of a payload: something for JSON. A payload that is missing stays missing.
 *
 * @throws `TypeError` whose `cause` is what the transformer threw, or says that it returned what JSON cannot carry. `place` stands
 * before the text.
 */
export function serialized(transformer: Transformer, payload: unknown, place: string): unknown {
  if (payload === undefined) return undefined;
  try {
    const made = settled(transformer.serialize(payload));
    // JSON would leave it out, and the payload would silently be missing.
    if (made === undefined || typeof made === "function" || typeof made === "symbol") {
      throw returned(typeof made);
    }
    return made;
  } catch (cause) {
    throw new TypeError(`${place}: the transformer cannot serialize the payload`, { cause });
  }
}

/** The payload that the other side's transformer was given. Throws what the transformer throws, which may be anything. */
export function deserialized(transformer: Transformer, json: unknown): unknown {
  return json === undefined ? undefined : settled(transformer.deserialize(json));
}

/** What the transformer returned, unless that is a promise. */
function settled(made: unknown): unknown {
  if (!isThenable(made)) return made;
  // Nobody waits for it, and a rejection that nobody handles may end the process.
  void Promise.resolve(made).then(undefined, () => {});
  throw returned("a promise");
}

const returned = (what: string) => new TypeError(`the transformer returned ${what}`);
