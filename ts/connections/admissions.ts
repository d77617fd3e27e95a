// From the upgrade request to the answer: origin, headers schema, `onConnect`. Runs without a pause as long as the user's
// code does, so that most upgrades are answered in the batch they came in.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import { NO_RETRY, REFUSAL } from "../border/codes.js";
import type { Commands } from "../border/commands.js";
import type { Client, Clients, Suspended } from "../context/clients.js";
import { isObject, isThenable, quote, unexpected } from "../faults/check.js";
import { headersIssues } from "../faults/issues.js";
import { ClientFault, type Faults } from "../faults/report.js";
import { issuesOf } from "../faults/schema.js";
import type { UpgradeRequest } from "../types/upgrade-request.js";
import type { Scope } from "../user-code/scope.js";
import type { Disconnects } from "./disconnects.js";
import {
  AT,
  confidentialOf,
  isOfOtherSite,
  isWithheld,
  noteFields,
  requestOf,
  textOfWithheld,
  type Upgrade,
} from "./upgrade.js";

/** The callback of that name. */
export type OnConnect = (headers: unknown, clientId: string, request: UpgradeRequest) => unknown;

/** What decides about an upgrade: the user's code. */
export interface Gate {
  readonly allowedOrigins: ((origin: string) => unknown) | undefined;
  readonly headersSchema: StandardSchemaV1;
  readonly onConnect: OnConnect | undefined;
  /** Whether the engine is to tell when a client is open. */
  readonly announces: boolean;
}

/** Most bytes of the issues that are told to a client that is refused. */
const MAX_DETAILS = 16_384 - '{"error":"Invalid headers","details":}'.length;

/** Longest time in ms after which to try again, as for JavaScript's own timers: about 24.8 days. */
const MAX_RETRY = 2 ** 31 - 1;

type Reason = keyof typeof REFUSAL;

/** What `onConnect` returned is no context. */
class NoContext extends TypeError {}

/** Decides about the upgrades of one server. */
export class Admissions {
  readonly #gate: Gate;
  readonly #schema: StandardSchemaV1["~standard"];
  readonly #clients: Clients;
  readonly #commands: Commands;
  readonly #faults: Faults;
  readonly #disconnects: Disconnects;
  readonly #scope: Scope;
  /** Whether the owner knows that headers are withheld. */
  #hasTold = false;

  constructor(
    gate: Gate,
    clients: Clients,
    commands: Commands,
    faults: Faults,
    disconnects: Disconnects,
    scope: Scope,
  ) {
    this.#gate = gate;
    this.#schema = gate.headersSchema["~standard"];
    this.#clients = clients;
    this.#commands = commands;
    this.#faults = faults;
    this.#disconnects = disconnects;
    this.#scope = scope;
  }

  /** Answers an upgrade request, unless its client is gone before. Never throws. */
  decide(client: Client, request: Upgrade): void {
    const origin = request[AT.ORIGIN];
    const { allowedOrigins } = this.#gate;
    if (isWithheld(request)) this.#tellOfWithheld(request);
    let allowed: unknown = true;
    try {
      if (origin !== null && allowedOrigins) allowed = allowedOrigins(origin);
      // Inside, as a getter may be what is asked for.
      if (isThenable(allowed)) return void this.#later(client, request, "ORIGIN", allowed);
    } catch (error) {
      this.#failed(client, "ORIGIN", error);
      return;
    }
    this.#originDecided(client, request, allowed);
  }

  /** Once: from then on the owner knows. */
  #tellOfWithheld(request: Upgrade): void {
    if (this.#hasTold) return;
    this.#hasTold = true;
    this.#faults.notice(new ClientFault(textOfWithheld(request)), "ORIGIN");
  }

  #originDecided(client: Client, request: Upgrade, allowed: unknown): void {
    if (!allowed) {
      this.#refuseOrigin(client, request[AT.ORIGIN] ?? "");
      return;
    }
    noteFields(request);
    let result: unknown;
    try {
      result = this.#schema.validate(request[AT.HEADERS]);
      if (isThenable(result)) return void this.#later(client, request, "HEADERS", result);
    } catch (error) {
      this.#failed(client, "HEADERS", error);
      return;
    }
    this.#validated(client, request, result);
  }

  #validated(client: Client, request: Upgrade, result: unknown): void {
    if (client.phase === "gone") return;
    let context: unknown;
    let reason: Reason = "HEADERS";
    try {
      const issues = issuesOf(result);
      if (issues) {
        this.#refuseHeaders(client, request, issues);
        return;
      }
      const { value } = result as StandardSchemaV1.SuccessResult<unknown>;
      reason = "CONNECT";
      context = this.#gate.onConnect?.(value, client.id, requestOf(request));
      if (isThenable(context)) return void this.#later(client, undefined, "CONNECT", context);
    } catch (error) {
      this.#failed(client, reason, error);
      return;
    }
    this.#connected(client, context);
  }

  #connected(client: Client, context: unknown): void {
    try {
      if (context !== undefined) client.context = contextOf(context);
    } catch (error) {
      this.#failed(client, "CONNECT", error);
      return;
    }
    this.#admit(client);
  }

  /** Goes on when a promise of the application has settled. The end of the client takes the request away, which may be long. */
  #later(
    client: Client,
    request: Upgrade | undefined,
    step: Reason,
    pending: PromiseLike<unknown>,
  ): Promise<void> {
    const suspended = (client.suspended = { payload: request, ctx: undefined });
    return this.#settled(client, suspended, step, pending);
  }

  async #settled(
    client: Client,
    suspended: Suspended,
    step: Reason,
    pending: PromiseLike<unknown>,
  ): Promise<void> {
    let result: unknown;
    try {
      result = await this.#scope.later(pending);
    } catch (error) {
      client.suspended = undefined;
      this.#failed(client, step, error);
      return;
    }
    client.suspended = undefined;
    if (step === "CONNECT") this.#connected(client, result);
    else if (client.phase === "gone") return;
    else if (step === "ORIGIN") this.#originDecided(client, suspended.payload as Upgrade, result);
    else this.#validated(client, suspended.payload as Upgrade, result);
  }

  #admit(client: Client): void {
    if (client.phase === "gone") {
      // It was gone before `onConnect` was done, which has succeeded all the same.
      this.#disconnects.runLate(client);
      return;
    }
    this.#clients.open(client);
    this.#commands.admit(client.handle);
    if (this.#gate.announces) this.#commands.announce(client.handle);
  }

  #refuseOrigin(client: Client, origin: string): void {
    this.#refuse(client, "ORIGIN", 403);
    const fault = () =>
      new ClientFault(`allowedOrigins does not allow the origin ${quote(origin)}`);
    this.#faults.reportClient(fault, "ORIGIN", client.id);
  }

  #refuseHeaders(client: Client, request: Upgrade, issues: readonly unknown[]): void {
    const details = isOfOtherSite(request)
      ? "[]"
      : headersIssues(issues, confidentialOf(request), MAX_DETAILS);
    this.#refuse(client, "HEADERS", 400, NO_RETRY, details);
    const fault = () => new ClientFault("the headers do not match the headers schema", issues);
    this.#faults.reportClient(fault, "HEADERS", client.id);
  }

  #failed(client: Client, reason: Reason, error: unknown): void {
    const status = statusOf(reason, error);
    this.#refuse(client, reason, status, retryAfterOf(reason, error));
    // To throw is how `onConnect` turns a client away, which a hostile one may provoke as often as it likes.
    if (reason === "CONNECT" && status < 500) {
      this.#faults.reportClient(() => error, reason, client.id);
    } else {
      this.#faults.report(error, reason, client.id);
    }
  }

  /** `issues` is JSON text, or empty. */
  #refuse(
    client: Client,
    reason: Reason,
    status: number,
    retryAfterMs: number = NO_RETRY,
    issues = "",
  ): void {
    if (client.phase === "gone") return;
    this.#clients.end(client);
    this.#commands.refuse(client.handle, status, REFUSAL[reason], retryAfterMs, issues);
  }
}

function contextOf(value: unknown): object {
  if (isObject(value)) return value;
  const { message } = unexpected("onConnect", "it to return an object or undefined", value);
  throw new NoContext(message);
}

function statusOf(reason: Reason, error: unknown): number {
  if (reason === "ORIGIN") return 403;
  if (reason === "HEADERS") return 500;
  try {
    // Inside, as what was thrown may be a `Proxy` that throws at each look.
    if (error instanceof NoContext) return 500;
    const { status } = error as { readonly status?: unknown };
    return typeof status === "number" && Number.isInteger(status) && status >= 400 && status < 600
      ? status
      : 403;
  } catch {
    return 403;
  }
}

/** After how many ms to try again, if what was thrown says so. */
function retryAfterOf(reason: Reason, error: unknown): number {
  if (reason === "ORIGIN") return NO_RETRY;
  try {
    const { retryAfterMs } = error as { readonly retryAfterMs?: unknown };
    return typeof retryAfterMs === "number" && retryAfterMs >= 0
      ? Math.ceil(Math.min(retryAfterMs, MAX_RETRY))
      : NO_RETRY;
  } catch {
    return NO_RETRY;
  }
}
