// Says which incoming routes of a router have no handler. A client that sends such a message gets `NO_ROUTE`, and its author a riddle.
import { listed } from "../faults/check.js";
import { ClientFault, type Faults } from "../faults/report.js";
import type { Scope } from "../user-code/scope.js";

/** Tells `onError` once, after `createServer` has returned: the function may use the server. */
export function tellMissing(missing: readonly string[], faults: Faults, scope: Scope): void {
  if (missing.length === 0) return;
  const text = `these incoming routes have no handler: ${listed(missing)}`;
  queueMicrotask(() => scope.run(faults.notice, faults, new ClientFault(text), "NO_HANDLER"));
}
