// `slowClient` of outgoing messages: the policy for clients that read too slowly.
import type { OutgoingMessage } from "../types/message.js";

/** One of the words. */
export type SlowClient = NonNullable<OutgoingMessage["slowClient"]>;

const WORDS: readonly unknown[] = ["disconnect", "drop", "latest"] satisfies SlowClient[];

/** The words, as errors list them. */
export const SLOW_CLIENT = '"disconnect", "drop" or "latest"';

/** Whether the value is one of the words. */
export function isSlowClient(value: unknown): value is SlowClient {
  return WORDS.includes(value);
}
