// How a client with the option `routes` gets at what checks payloads: the definitions bring it. So it is in no bundle of a page that does
// not load definitions.
import type { Issue } from "../envelope.js";
import { isObject } from "../faults/check.js";

/** Under this key each definition has what makes {@link Checks}. Another copy of the package knows it too. */
const CHECKS = Symbol.for("@zocket/core checks");

/** Why a payload does not fit: its issues, or what the schema threw. */
export interface Refusal {
  readonly issues?: readonly Issue[];
  readonly cause?: unknown;
}

/** Nothing for a payload that fits. */
export type Verdict = Refusal | undefined;

/** A message that is about to be sent. */
export interface Outgoing {
  readonly route: string;
  readonly call?: unknown;
}

/** What becomes of a message that is about to be sent. */
export interface Ways<TMessage> {
  /** Whether the client has a transformer. */
  readonly isTransformed: boolean;
  /** Its payload fits. */
  pass(message: TMessage): void;
  /** It does not. */
  refuse(message: TMessage, refusal: Refusal): void;
  /** Too many wait. */
  full(message: TMessage): void;
  /** How many bytes it has. */
  size(message: TMessage): number;
}

/** Checks the payloads of one client. */
export interface Checks<TMessage> {
  /** Takes a message that is about to be sent. It waits if its schema takes its time, and so do those behind it. */
  enter(message: TMessage, payload: unknown): void;
  /** A connection is open: what `first` sends goes out before what waited for it, and then `then` follows. */
  opened(first: () => void, then: () => void): void;
  /** Forgets a call that waits. */
  forget(call: unknown): void;
  /** Judges a message of the server. */
  received(route: string, payload: unknown): Verdict;
  /** Judges the reply to a call, or an item of it. */
  answer(route: string, kind: "reply" | "stream", value: unknown): Verdict;
  /** Judges the data of an error that a call declares. */
  error(route: string, code: string, data: unknown): Verdict;
}

/**
 * Makes them of routes, or of a router. `place` is what errors call these, and `limit` how many bytes of messages wait at most.
 *
 * @throws `TypeError` naming what is no message definition.
 */
export type MakeChecks = <TMessage extends Outgoing>(
  place: string,
  routes: unknown,
  ways: Ways<TMessage>,
  limit: number,
) => Checks<TMessage>;

/** Gives a definition what makes checks. Hidden, so that copying, comparing and printing pass over it. */
export function bringing<TDefinition extends object>(
  definition: TDefinition,
  make: MakeChecks,
): TDefinition {
  return Object.defineProperty(definition, CHECKS, { __proto__: null, value: make } as object);
}

/** What makes checks, from the first definition that has it. */
export function makerIn(routes: unknown, seen = new Set()): MakeChecks | undefined {
  if (!isObject(routes) || seen.has(routes)) return undefined;
  seen.add(routes);
  const { [CHECKS]: make, _direction } = routes as { [CHECKS]?: MakeChecks; _direction?: unknown };
  if (make || typeof _direction === "string") return make;
  for (const value of Object.values(routes)) {
    const found = makerIn(value, seen);
    if (found) return found;
  }
  return undefined;
}
