// How much memory the process and its JavaScript may have.
import { totalmem } from "node:os";
import { getHeapStatistics } from "node:v8";

/** The assumed size of the heap in bytes, for runtimes that do not say. */
const USUAL_HEAP = 2 ** 31;

/** Bytes of memory that the process may have: what its control group allows, or else all of the machine. */
export function memory(): number {
  const machine = totalmem();
  // Without a limit this is 0, or more than there is; other runtimes do not have it.
  const allowed = (process as Partial<NodeJS.Process>).constrainedMemory?.() ?? 0;
  return allowed > 0 && allowed < machine ? allowed : machine;
}

/** Bytes that V8's heap may have. */
export function heap(): number {
  const limit = getHeapStatistics().heap_size_limit;
  return limit > 0 ? limit : USUAL_HEAP;
}
