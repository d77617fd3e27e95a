// How much memory the process may have.
import { totalmem } from "node:os";

/** Bytes of memory that the process may have: what its control group allows, or else all of the machine. */
export function memory(): number {
  const machine = totalmem();
  // Without a limit this is 0, or more than there is; other runtimes do not have it.
  const allowed = (process as Partial<NodeJS.Process>).constrainedMemory?.() ?? 0;
  return allowed > 0 && allowed < machine ? allowed : machine;
}
