// Runs in a process of its own: imports the module it is told of, and calls its exports on demand. See processes.mjs.
const [module = ""] = process.argv.slice(2);
const exports = await import(new URL(module, import.meta.url));

process.on("message", async ({ id, name, args }) => {
  try {
    answer({ id, result: await exports[name](...args) });
  } catch (error) {
    answer({ id, error: error instanceof Error ? error.stack : String(error) });
  }
});

// After "leave" there is nobody to tell.
function answer(message) {
  if (process.connected) process.send(message);
}

process.send({ event: "ready" });
