// `npm run build`: the addon, `ts/` and what browsers load.
import { main, npm, onlyHelp } from "./steps.mjs";

onlyHelp(`Usage: npm run build [-- --help]

Builds the addon with optimisation, ts/ and the browser's client: build:native, build:ts and build:client in turn.
"npm run build:debug" builds the addon without optimisation, in a fraction of the time.`);

await main(async () => {
  for (const part of ["native", "ts", "client"]) await npm("run", "--silent", `build:${part}`);
});
