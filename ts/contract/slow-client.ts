// `slowClient` of outgoing messages: what becomes of them for a client that reads too slowly.
import type { OutgoingMessage } from "../types/message.js";

/** One of the words. */
export type SlowClient = NonNullable<OutgoingMessage["slowClient"]>;

const WORDS: readonly unknown[] = ["disconnect", "drop", "latest"] satisfies SlowClient[];

/** What errors call the words. */
export const SLOW_CLIENT = '"disconnect", "drop" or "latest"';

/** Whether the value is one of the words. */
export function isSlowClient(value: unknown): value is SlowClient {
  return WORDS.includes(value);
}
