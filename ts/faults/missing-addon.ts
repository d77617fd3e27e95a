// The error of a process whose addon is missing or does not load. It names the platform and says what to do.

/** The platforms that the addon is built for, as `process.platform`, `process.arch` and, on Linux, the C library name them. */
const PLATFORMS: readonly string[] = [
  "darwin-arm64",
  "darwin-x64",
  "linux-arm64-gnu",
  "linux-arm64-musl",
  "linux-x64-gnu",
  "linux-x64-musl",
  "win32-arm64-msvc",
  "win32-x64-msvc",
];

/** This process's platform, as the names of the packages have it. */
function platform(): string {
  const name = `${process.platform}-${process.arch}`;
  if (process.platform === "win32") return `${name}-msvc`;
  if (process.platform !== "linux") return name;
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return `${name}-${header.glibcVersionRuntime === undefined ? "musl" : "gnu"}`;
}

/** The texts of an error and its causes. The loader's error begins a chain of the errors that it met. */
function textsOf(cause: unknown): string[] {
  const texts: string[] = [];
  // Not `instanceof`: where a test runner loads this file in a realm of its own, the loader's errors are from another one.
  for (
    let error = cause as Partial<Error> | undefined;
    error?.message;
    error = error.cause as never
  )
    texts.push(error.message);
  return texts;
}

/** Makes the error for what the binding threw while it was loaded. */
export function missingAddon(cause: unknown): Error & { code: string } {
  const here = platform();
  const [told, ...met] = textsOf(cause);
  // Node says this for a missing file or package. Any other text means a file that exists and does not load.
  const failure = met.find((text) => !text.startsWith("Cannot find module"));
  let text: string;
  if (!PLATFORMS.includes(here)) {
    text = `@zocket/core has no native addon for ${here}. It has one for ${PLATFORMS.join(", ")}.`;
  } else if (failure === undefined && met.length > 0) {
    text =
      `The native addon of @zocket/core for ${here} is not installed. It is in the package @zocket/core-${here}, ` +
      `an optional dependency: install again on this platform, with optional dependencies ("npm install ` +
      `--include=optional"), and without a node_modules that was copied from another platform.`;
  } else {
    text = `The native addon of @zocket/core for ${here} cannot be loaded: ${failure ?? told}`;
  }
  return Object.assign(new Error(text, { cause }), { code: "ADDON_NOT_LOADED" });
}
