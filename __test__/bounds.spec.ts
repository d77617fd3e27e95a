// The table of ARCHITECTURE.md that lists what holds something of a client, walked: each row is filled to its bound, measured,
// let go of, and measured again.
import { CLIENT } from "./_bounds-client.ts";
import { WAY_IN } from "./_bounds-in.ts";
import { CLIENTS, WAY_OUT } from "./_bounds-out.ts";
import { eachRow } from "./_bounds.ts";

eachRow({ ...WAY_IN, ...CLIENTS, ...WAY_OUT, ...CLIENT });
