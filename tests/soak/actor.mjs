// Runs in a process of its own: imports the module it is told of, and calls its exports on demand. See processes.mjs.
const [module = ""] = process.argv.slice(2);
const exports = await import(new URL(module, import.meta.url));

/** Whether it was told to end by itself. */
let leaving = false;

process.on("message", async ({ id, name, args, leave }) => {
  if (leave) {
    leaving = true;
    process.disconnect();
    return;
  }
  try {
    answer({ id, result: await exports[name](...args) });
  } catch (error) {
    answer({ id, error: error instanceof Error ? error.stack : String(error) });
  }
});

// Nobody is to be left behind by a run that was broken off.
process.on("disconnect", () => {
  if (!leaving) process.exit(1);
});

// After the end there is nobody to tell.
function answer(message) {
  if (process.connected) process.send(message);
}

process.send({ event: "ready" });
