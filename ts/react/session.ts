// Owns the client of one provider: when it connects, which options count, and the state that components see.
import { createZocketClient } from "../client/index.js";
import { settings } from "../client/settings.js";
import type { ClientCloseEvent, NoRouter, Unsubscribe, ZocketClient } from "../client/types.js";
import { verdict } from "../client/verdict.js";
import { stay } from "./stay.js";
import type { ConnectionHook, ZocketHook, ZocketProviderProps } from "./types.js";
import { useEvent } from "./use-event.js";

/** Stands for the server's address where a page is rendered on a server, and its own address is not known. Nothing connects to it. */
const NOWHERE = "ws://localhost";

/** The client of a provider. Making one opens nothing, because React may render a component and throw it away. */
export class Session {
  readonly client: ZocketClient<NoRouter>;
  /** What `useZocket` returns. */
  readonly hook: ZocketHook<NoRouter>;
  /** The props of the last render that React kept. */
  props: ZocketProviderProps<NoRouter>;
  /** An effect that connects, and closes the client once the provider is gone. */
  readonly mount: () => () => void;
  readonly #onServer: ConnectionHook;
  #connection: ConnectionHook;
  /** Whether to connect when the provider is mounted. React may hide it for a while, and mount it again. */
  #isWanted: boolean;
  /** Whether it has never been mounted. */
  #isNew = true;
  /** The headers of the last attempt as JSON. Missing if a function gave them. */
  #headers: string | undefined;

  /** @throws `TypeError` for a wrong URL or option. */
  constructor(props: ZocketProviderProps<NoRouter>) {
    const { url, children: _, ...options } = props;
    const { autoConnect = true } = options;
    const off = autoConnect === true ? false : autoConnect;
    const isPath = pathWithoutPage(url);
    const address = isPath ? NOWHERE : url;
    // As they are given. Below, functions take their place.
    settings(address, { ...options, autoConnect: off });
    this.props = props;
    this.#isWanted = autoConnect;
    this.client = createZocketClient<NoRouter>(address, {
      ...options,
      autoConnect: off,
      headers: () => this.#nextHeaders(),
      // Anything else than a boolean leaves it to the client.
      shouldReconnect: (event) => this.#shouldReconnect(event) as boolean,
      onOpen: () => this.props.onOpen?.(),
      onClose: (event) => this.props.onClose?.(event),
    });
    this.hook = { client: this.client, useEvent };
    const { reconnect } = this.client;
    const state = autoConnect ? "connecting" : "closed";
    this.#connection = this.#onServer = { state, retryAt: undefined, reconnect };
    this.mount = stay(
      () => {
        this.#isNew = false;
        // Throws, as it is no page after all.
        if (isPath) settings(url, options);
        if (this.#isWanted) reconnect();
      },
      () => {
        this.#isWanted = this.client.state !== "closed";
        this.client.close();
      },
    );
  }

  /** Calls the listener when {@link connection} may have changed. */
  readonly subscribe = (listener: () => void): Unsubscribe => this.client.onState(listener);

  /** The state of the connection: the same object until it changes. */
  readonly connection = (): ConnectionHook => {
    if (this.#isNew) return this.#onServer;
    const { state, retryAt, reconnect } = this.client;
    const known = this.#connection;
    if (state === known.state && retryAt === known.retryAt) return known;
    return (this.#connection = { state, retryAt, reconnect });
  };

  /** The same on a server, and while a page takes over what a server rendered. */
  readonly connectionOnServer = (): ConnectionHook => this.#onServer;

  #nextHeaders() {
    const { headers = {} } = this.props;
    this.#headers = typeof headers === "function" ? undefined : JSON.stringify(headers);
    return typeof headers === "function" ? headers() : headers;
  }

  #shouldReconnect(event: ClientCloseEvent): boolean | undefined {
    const { headers = {}, shouldReconnect } = this.props;
    if (shouldReconnect) return shouldReconnect(event);
    // The client knows headers as a function, and expects better ones of it. The props may have none.
    const areSame = typeof headers !== "function" && JSON.stringify(headers) === this.#headers;
    return areSame && verdict(event) === "with other headers" ? false : undefined;
  }
}

/** Whether it is a path, and there is no page that it belongs to. */
function pathWithoutPage(url: unknown): boolean {
  const { location } = globalThis as { location?: unknown };
  return typeof url === "string" && location === undefined && !/^\s*[a-z][\w+.-]*:/i.test(url);
}
