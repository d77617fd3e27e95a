// Asks the platform whether there is a network, and listens for changes of it and of the page. Only browsers tell.
import { isLoopback } from "./address.js";

/** What happened: the network came or went, or the page is seen again. */
export type NetworkChange = "online" | "offline" | "visible";

interface Target {
  addEventListener?(type: string, listener: () => void): void;
  removeEventListener?(type: string, listener: () => void): void;
}

/** A worker has no document, and Node.js has none of these. */
const platform = globalThis as Target & {
  readonly document?: Target & { readonly visibilityState?: string };
  readonly navigator?: { readonly onLine?: boolean };
};

/** The network as the platform tells of it. */
export class Network {
  readonly #listeners: readonly [Target | undefined, type: string, listener: () => void][];
  readonly #isLoopback: boolean;
  #isWatched = false;

  constructor(url: string, changed: (change: NetworkChange) => void) {
    const { document } = platform;
    this.#isLoopback = isLoopback(url);
    this.#listeners = [
      [platform, "online", () => changed("online")],
      [platform, "offline", () => changed("offline")],
      [
        document,
        "visibilitychange",
        () => document?.visibilityState === "visible" && changed("visible"),
      ],
    ];
  }

  /** Whether attempts to connect are in vain now. A platform that would not say when that changes does not count. */
  get isOffline(): boolean {
    const { addEventListener, navigator } = platform;
    return !this.#isLoopback && navigator?.onLine === false && addEventListener !== undefined;
  }

  /** Whether to listen. The platform keeps the client alive for as long. */
  set isWatched(isWatched: boolean) {
    if (isWatched === this.#isWatched) return;
    this.#isWatched = isWatched;
    for (const [target, type, listener] of this.#listeners) {
      if (isWatched) target?.addEventListener?.(type, listener);
      else target?.removeEventListener?.(type, listener);
    }
  }
}
