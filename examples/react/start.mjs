// Starts the whiteboard: builds the package if it is older than its sources, installs what the page needs, and runs Vite.
import { prepare } from "../../scripts/prepare.mjs";
import { main, npm, step } from "../../scripts/steps.mjs";

const here = import.meta.dirname;

await main(async () => {
  await prepare();
  await step("Install React and Vite", () =>
    npm("install", "--prefix", here, "--no-fund", "--no-audit", "--loglevel=error"),
  );
  // Only now: it may just have been installed.
  const { createServer } = await import("vite");
  const vite = await createServer({ root: here, configFile: `${here}/vite.config.ts` });
  await vite.listen(Number(process.env.PORT ?? 3000));
  vite.printUrls();
});
