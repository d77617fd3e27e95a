// Tells a component that is gone from one that React takes off and puts back at once. Strict Mode and hot reloads do that.

/** An effect that calls `begin` when its component is mounted, and `end` when it is gone for good. Both may come several times. */
export function stay(begin: () => void, end: () => void): () => () => void {
  let isMounted = false;
  let hasBegun = false;
  return () => {
    isMounted = true;
    if (!hasBegun) {
      hasBegun = true;
      begin();
    }
    return () => {
      isMounted = false;
      // React puts it back before it returns.
      void Promise.resolve().then(() => {
        if (isMounted || !hasBegun) return;
        hasBegun = false;
        end();
      });
    };
  };
}
