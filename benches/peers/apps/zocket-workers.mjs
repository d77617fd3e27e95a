// The same application in as many worker threads as WORKERS says, which share one server.
import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { listening } from "./application.mjs";

const count = Number(process.env.WORKERS);
const file = new URL("zocket.mjs", import.meta.url);
const workers = Array.from({ length: count }, () => new Worker(file));
const ports = await Promise.all(workers.map((worker) => once(worker, "message")));
listening(ports.flat()[0]);
