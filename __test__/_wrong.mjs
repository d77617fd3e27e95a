// Values of every wrong kind with the words that errors have for them, shared by the specs of the set-up functions.
import assert from "node:assert/strict";

/** A Standard Schema written by hand. */
export const schema = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) },
};
/** What errors call it. */
export const SCHEMA = 'a Standard Schema (an object with "~standard".validate)';
export const handle = () => {};

/** The ways with slow clients that an outgoing message may have, and what errors call them. */
export const POLICIES = ["disconnect", "drop", "latest"];
export const POLICY = '"disconnect", "drop" or "latest"';

/** Values that are no objects, functions apart, with the words errors have for them. */
const PRIMITIVES = [
  [undefined, "undefined"],
  [null, "null"],
  [true, "true"],
  [-0.5, "-0.5"],
  [NaN, "NaN"],
  ['te"xt\n', '"te\\"xt\\n"'],
  ["x".repeat(1_000_000), `"${"x".repeat(120)}…"`],
  [Symbol("secret"), "a symbol"],
  [10n, "a bigint"],
];
export const NO_OBJECTS = [...PRIMITIVES, [handle, "a function"], [[], "an array"]];
export const NO_PLAIN_OBJECTS = [
  ...NO_OBJECTS,
  [new Map(), "a class instance"],
  [new (class Routes {})(), "a class instance"],
  [new Date(), "a class instance"],
  [Promise.resolve({}), "a promise"],
];
export const NO_FUNCTIONS = [...PRIMITIVES, [[], "an array"], [{}, "an object"]];
export const NO_SCHEMAS = [
  ...NO_PLAIN_OBJECTS,
  [{}, "an object"],
  [{ "~standard": undefined }, "an object"],
  [{ "~standard": null }, "an object"],
  [{ "~standard": "validate" }, "an object"],
  [{ "~standard": {} }, "an object"],
  [{ "~standard": { validate: {} } }, "an object"],
];

export const NO_POLICIES = [
  ...NO_OBJECTS.slice(1),
  ["", '""'],
  ["Latest", '"Latest"'],
  [new String("latest"), "a class instance"],
  [["latest"], "an array"],
];

/** Asserts a `TypeError` with exactly this text and no properties of its own, such as a `code`. */
export function assertTypeError(call, text) {
  assert.throws(call, (error) => {
    assert.ok(error instanceof TypeError);
    assert.equal(error.message, text);
    assert.deepEqual(Object.keys(error), []);
    return true;
  });
}
