// The type of the request that `onConnect` gets.

/** The request of a client that asks to connect: the third argument of `onConnect`. */
export interface UpgradeRequest {
  /** The request target as the client sent it: the path with the query. */
  readonly url: string;
  /** The path alone. */
  readonly path: string;
  /** The `Origin`: the site whose page asks. `undefined` if the request has none. */
  readonly origin: string | undefined;
  /** The host that the client asked for, with its port if one is written. */
  readonly host: string;
  /** The address of the client. Empty on a Unix-domain socket, which has no address. */
  readonly remoteAddress: string;
  /** The port of the client. 0 if it is not known. */
  readonly remotePort: number;
  /** Whether the connection is encrypted. */
  readonly secure: boolean;
  /** The subprotocol that the server selected. */
  readonly protocol: string | undefined;
  /** The verified certificate of the client, as PEM. `undefined` if it has none. */
  readonly clientCertificate: string | undefined;
}
