// A page without a browser, in what _dom.mjs sets up: React's complaints, and everything gone with the test.
import assert from "node:assert/strict";
import type { TestContext } from "node:test";

import * as library from "@testing-library/react";
import type { ReactNode } from "react";

/** Does something, and returns what it returns once the page shows it. */
export function act<T>(work: () => T): T {
  let done!: T;
  // React's would wait for a promise that it gets.
  library.act(() => {
    done = work();
  });
  return done;
}

/** Longest wait for anything that is to happen, in ms. */
const PATIENCE = 45_000;

/** Waits until the function no longer throws, and returns something. */
export const until = (what: string, holds: () => unknown): Promise<void> =>
  library.waitFor(() => assert.ok(holds(), `waited in vain for ${what}`), {
    timeout: PATIENCE,
    interval: 5,
  });

/** Time for what is not to happen. */
export const aWhile = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 150));

const watched = new WeakMap<TestContext, string[]>();

/** What React and the client print as errors during a test. There is to be nothing, unless the test empties it. */
export function complaintsOf(t: TestContext): string[] {
  const known = watched.get(t);
  if (known) return known;
  const complaints: string[] = [];
  watched.set(t, complaints);
  const { error, warn } = console;
  console.error = console.warn = (...parts: unknown[]) => void complaints.push(parts.join(" "));
  t.after(() => {
    Object.assign(console, { error, warn });
    assert.deepEqual(complaints, []);
  });
  return complaints;
}

/** What rendering throws, as text. */
export function thrownBy(render: () => unknown): string {
  try {
    render();
  } catch (error) {
    const [first = error] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
    return String(first);
  }
  return "nothing";
}

/** Renders a page until the test is over. */
export function show(t: TestContext, page: ReactNode, options: library.RenderOptions = {}) {
  complaintsOf(t);
  const shown = library.render(page, options);
  t.after(() => {
    shown.unmount();
    shown.container.remove();
  });
  const { container } = shown;
  return {
    ...shown,
    text: () => container.textContent ?? "",
    /** Clicks its first button. */
    click: () => act(() => container.querySelector("button")?.click()),
  };
}
