// The value of a CLOSED event, and what `onDisconnect` gets of it.
import { ENDED } from "../border/codes.js";
import type { DisconnectInfo } from "../types/disconnect.js";

/** How a connection ended: after its 101 a list, and before it only who ended it. */
export type Ending = readonly [by: number, code: number, reason: string] | number;

/** The code of an end without a close frame. */
const NO_CLOSE_FRAME = 1006;

type By = DisconnectInfo["by"];

const names: Record<keyof typeof ENDED, By> = {
  CLIENT: "client",
  SERVER: "server",
  NETWORK: "network",
  SLOW: "slow",
  STOP: "stop",
};

/** The names by the numbers of the border. */
const BY: readonly By[] = Object.entries(names).reduce<By[]>((list, [name, by]) => {
  list[ENDED[name as keyof typeof names]] = by;
  return list;
}, []);

/** The end of a connection whose I/O thread died. */
export function brokenInfo(): DisconnectInfo {
  return withoutFrame("server");
}

/** The third argument of `onDisconnect`: a plain object of its own for each call. */
export function infoOf(ending: Ending): DisconnectInfo {
  if (typeof ending === "number") return withoutFrame(BY[ending] ?? "server");
  const [by, code, reason] = ending;
  return { code, reason, by: BY[by] ?? "server" };
}

function withoutFrame(by: By): DisconnectInfo {
  return { code: NO_CLOSE_FRAME, reason: "", by };
}
