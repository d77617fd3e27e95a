// Node's timers as they were when the package was loaded. Test runners replace timers for a while, also those of `node:timers`.
// A replaced timer fires when the test wants it, or never, and the server has to serve its clients all the same.
import * as timers from "node:timers";

/** For work that waits for a later turn of the event loop. Deadlines may use the timers of the test. */
export const { setImmediate, setTimeout } = timers;
