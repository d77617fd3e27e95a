// Stands in for what a browser tells of the network and of the page.
import type { TestContext } from "node:test";

/** Where listeners are kept, and how many. */
export class Target {
  readonly #listeners = new Map<string, Set<() => void>>();

  readonly addEventListener = (type: string, listener: () => void): void => {
    const known = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, known.add(listener));
  };
  readonly removeEventListener = (type: string, listener: () => void): void => {
    this.#listeners.get(type)?.delete(listener);
  };
  emit(type: string): void {
    for (const listener of this.#listeners.get(type) ?? []) listener();
  }
  get count(): number {
    return [...this.#listeners.values()].reduce((sum, { size }) => sum + size, 0);
  }
}

/** A browser's window and document, until the test is over. */
export function platform(t: TestContext) {
  const window = new Target();
  const document = Object.assign(new Target(), { visibilityState: "visible" });
  const navigator = { onLine: true };
  const { addEventListener, removeEventListener } = window;
  const globals = { addEventListener, removeEventListener, document, navigator };
  for (const [name, value] of Object.entries(globals)) {
    const kept = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true });
    t.after(() => {
      if (kept) Object.defineProperty(globalThis, name, kept);
      else Reflect.deleteProperty(globalThis, name);
    });
  }
  return {
    /** How many listeners there are. */
    count: () => window.count + document.count,
    online(isOnline: boolean) {
      navigator.onLine = isOnline;
      window.emit(isOnline ? "online" : "offline");
    },
    /** The network changes, and nobody is told. */
    silently(isOnline: boolean) {
      navigator.onLine = isOnline;
    },
    visible(isVisible: boolean) {
      document.visibilityState = isVisible ? "visible" : "hidden";
      document.emit("visibilitychange");
    },
  };
}
