// What memory the process of a server takes.
import { readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { getHeapStatistics } from "node:v8";

/**
 * Resident memory. On Linux without what files hold, such as the program itself: the system takes that back and reads it
 * again as it likes.
 */
export function resident() {
  if (process.platform !== "linux") return process.memoryUsage.rss();
  return 1024 * Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))[1]);
}

/** Memory in use, garbage collected before. `native` is what is resident without V8's heap. */
export async function memory() {
  for (let round = 0; round < 3; round++) {
    globalThis.gc();
    // Finalizers, and what they free, come in later turns.
    await sleep(20);
  }
  const { heapUsed, external } = process.memoryUsage();
  const rss = resident();
  return { rss, heapUsed, external, native: rss - getHeapStatistics().total_physical_size };
}

/** Node's own threads start at the first use of files, several at once: they are to be there before anything is counted. */
export async function startThreads() {
  await Promise.all(Array.from({ length: 8 }, () => stat(".")));
}
