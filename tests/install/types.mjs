// The types of the installed package, in every way that TypeScript may look for them.
import path from "node:path";

import { COMPILERS, tool } from "../../scripts/steps.mjs";
import { fixture, write } from "./project.mjs";

const NODE = { lib: ["es2023"], types: ["node"] };
const BROWSER = { lib: ["es2023", "dom"], types: [] };
/** How modules are resolved, the kind of module that goes with it, and the world that the program then lives in. */
const RESOLUTIONS = {
  node16: { module: "node16", ...NODE },
  nodenext: { module: "nodenext", ...NODE },
  bundler: { module: "preserve", ...BROWSER },
  "bundler for the browser": { module: "preserve", customConditions: ["browser"], ...BROWSER },
  "bundler for React Native": {
    module: "preserve",
    customConditions: ["react-native"],
    ...BROWSER,
  },
};

/** What only CommonJS can say. */
const REQUIRED = `
import core = require("@zocket/core");
import coreClient = require("@zocket/core/client");
same<Same<typeof core.createServer, typeof createServer>>();
same<Same<typeof coreClient.createZocketClient, typeof createClient>>();
`;

/** Checks one program of each kind, whose declarations are written too, as those of a library would be. */
export async function checkTypes(project) {
  const folder = path.join(project, "types");
  write(folder, "esm.mts", fixture("types.ts"));
  write(folder, "commonjs.cts", fixture("types.ts") + REQUIRED);
  for (const [title, world] of Object.entries(RESOLUTIONS)) {
    const compilerOptions = {
      ...world,
      moduleResolution: title.split(" ")[0],
      target: "es2023",
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      declaration: true,
      emitDeclarationOnly: true,
      outDir: `built for ${title}`,
    };
    const name = `tsconfig for ${title}.json`;
    write(folder, name, JSON.stringify({ compilerOptions, files: ["esm.mts", "commonjs.cts"] }));
    for (const [version, compiler] of Object.entries(COMPILERS)) {
      console.log(`${title}, ESM and CommonJS, with TypeScript ${version}`);
      await tool(compiler, "--project", path.join(folder, name));
    }
  }
}
