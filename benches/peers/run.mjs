// `npm run bench`: one server of each kind, or with `scale` several processes and threads.
const scale = process.argv[2] === "scale";
if (scale) process.argv.splice(2, 1);
await import(scale ? "./scale/run.mjs" : "./compare.mjs");
