// What goes wrong with a message: its sender gets a `$error`, and `onError` hears of it.
import { BAD, MAX_ISSUES_AND_ROUTE } from "../border/codes.js";
import type { Commands } from "../border/commands.js";
import { badText } from "../border/native.js";
import type { Payload } from "../border/payload.js";
import type { Client } from "../context/clients.js";
import { payloadIssues } from "../faults/issues.js";
import { ClientFault, type Faults } from "../faults/report.js";
import type { Call, Calls } from "./calls.js";
import { Unreadable, type Route } from "./route.js";

/** Refuses messages of all clients. */
export class Refusals {
  readonly #commands: Commands;
  readonly #calls: Calls;
  readonly #faults: Faults;

  constructor(commands: Commands, calls: Calls, faults: Faults) {
    this.#commands = commands;
    this.#calls = calls;
    this.#faults = faults;
  }

  /** The schema found issues. */
  invalid(client: Client, route: Route, call: Call | undefined, issues: readonly unknown[]): void {
    this.#refuse(client, BAD.INVALID_PAYLOAD, route, call, issues);
    const fault = () => new ClientFault(badText(BAD.INVALID_PAYLOAD), issues);
    this.#faults.reportClient(fault, "INVALID_PAYLOAD", client.id, route.name);
  }

  /** The schema threw, or the transformer before it. */
  schemaThrew(client: Client, route: Route, call: Call | undefined, error: unknown): void {
    this.#refuse(client, BAD.INVALID_PAYLOAD, route, call);
    if (Unreadable.is(error)) {
      const { cause } = error;
      const text = `${badText(BAD.INVALID_PAYLOAD)}: the transformer cannot deserialize it`;
      const fault = () => Object.assign(new ClientFault(text), { cause });
      this.#faults.reportClient(fault, "INVALID_PAYLOAD", client.id, route.name);
    } else {
      this.#faults.report(error, "INVALID_PAYLOAD", client.id, route.name);
    }
  }

  /** A middleware threw. */
  rejected(client: Client, route: Route, call: Call | undefined, error: unknown): void {
    this.#refuse(client, BAD.REJECTED, route, call);
    this.#faults.reportClient(() => error, "REJECTED", client.id, route.name);
  }

  handlerThrew(client: Client, route: Route, call: Call | undefined, error: unknown): void {
    this.#refuse(client, BAD.HANDLER_ERROR, route, call);
    this.#faults.report(error, "HANDLER_ERROR", client.id, route.name);
  }

  /** The handler answers with an error that its message declares. */
  declared(
    client: Client,
    route: Route,
    call: Call | undefined,
    code: string,
    data: Payload,
  ): void {
    if (!this.#ends(client, call)) return;
    const number = BAD_CODES + route.codes.indexOf(code);
    this.#commands.error(client.handle, number, route.number, call?.number, data);
  }

  #refuse(
    client: Client,
    code: number,
    route: Route,
    call: Call | undefined,
    issues?: readonly unknown[],
  ): void {
    if (!this.#ends(client, call)) return;
    const room = MAX_ISSUES_AND_ROUTE - Buffer.byteLength(JSON.stringify(route.name));
    const detail = issues && payloadIssues(issues, room);
    this.#commands.error(client.handle, code, route.number, call?.number, detail);
  }

  /** Whether there is somebody to tell: the answer ends the call. */
  #ends(client: Client, call: Call | undefined): boolean {
    return call === undefined ? client.phase === "open" : this.#calls.ends(client, call);
  }
}

/** Declared codes of a route are numbered from here on. */
const BAD_CODES = BAD.DECLARED;
