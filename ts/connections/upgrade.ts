// The value of an UPGRADE event, and what `onConnect` gets of it.
import type { UpgradeRequest } from "../types/upgrade-request.js";

/** What the engine tells of an upgrade that waits for admission. */
export interface Upgrade {
  readonly id: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The names of those that are real header fields, with commas between. */
  readonly fields: string;
  /** Whether a page of another site asks, that no rule has let in. */
  readonly otherSite: boolean;
  readonly origin: string | null;
  /** What else `onConnect` is told. */
  readonly request: readonly [
    url: string,
    path: string,
    host: string,
    remoteAddress: string,
    remotePort: number,
    secure: boolean,
    protocol: string | null,
    clientCertificate: string | null,
  ];
}

/** The third argument of `onConnect`: a plain object of its own for each call. */
export function requestOf({ origin, request }: Upgrade): UpgradeRequest {
  // By number: iterating over the list would cost more than all the rest.
  return {
    url: request[0],
    path: request[1],
    origin: origin ?? undefined,
    host: request[2],
    remoteAddress: request[3],
    remotePort: request[4],
    secure: request[5],
    protocol: request[6] ?? undefined,
    clientCertificate: request[7] ?? undefined,
  };
}
