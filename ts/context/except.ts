// Reads the options of sends to rooms and to everybody.
import { isOptions, unexpected } from "../faults/check.js";
import { refuseUnknown } from "../unknown-options.js";
import { clientIds } from "./client-ids.js";

const KNOWN = ["except"];
/** Names that come to mind. */
const ALIASES = { exclude: "except", excluding: "except", omit: "except", skip: "except" };

/** The ids of the clients that a send with these options leaves out. */
export function exceptedIds(options: unknown, place: string): readonly string[] {
  const name = `${place}: options`;
  if (!isOptions(options)) throw unexpected(name, "an object", options);
  refuseUnknown(`${name}.`, options, KNOWN, ALIASES);
  const { except } = options as { readonly except?: unknown };
  return except === undefined ? [] : clientIds(except, `${name}.except`);
}
