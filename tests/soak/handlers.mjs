// Handlers that throw, reject and never end, callbacks as bad, and each way to stop in the middle of it.
import { setTimeout as sleep } from "node:timers/promises";

import { Actor, eventually } from "./processes.mjs";

const IN_FLIGHT = 8;
/** Fewer messages than may wait behind a client's calls under way, and more: then the client is not read. */
const FEW = 40;
const MANY = 200;

/** How the server is stopped, what `onDisconnect` does meanwhile, and the codes its clients may see. */
const STOPS = {
  "stop()": { how: undefined, gone: "faults", codes: [1001] },
  "stop({ drain })": { how: { drain: 300 }, gone: "faults", codes: [1001, 1012] },
  "stop(true)": { how: true, gone: "faults", codes: [1001, 1006] },
  "stop() in onDisconnect": { inside: true, gone: "stop", codes: [1001] },
  "stop() with an onDisconnect that never ends": { how: undefined, gone: "stuck", codes: [1001] },
};

export const title = "handlers and callbacks that fail, and stop() amid all of it";

export async function run(report, { short }) {
  const server = await Actor.start("./server.mjs", "--expose-gc");
  const clients = await Actor.start("./handlers-clients.mjs");
  // Whatever is made once and kept is made before anything is counted.
  await server.call("start");
  await server.call("stop");
  const before = { files: server.files(), threads: server.threads() };

  const rounds = short ? 1 : 5;
  let stops = 0;
  let late = 0;
  for (let round = 1; round <= rounds; round++) {
    for (const [name, stop] of Object.entries(STOPS)) {
      // It takes the ten seconds that are promised.
      if (stop.gone === "stuck" && (short || round > 1)) continue;
      // Who is not read does not answer the close frame, for which there are five seconds: once is enough.
      const more = round === 1 && !short ? MANY : FEW;
      const crowd = short ? 20 : 100;
      const unread = await oneLife(report, server, clients, name, stop, crowd, more);
      if (more === MANY && stop.how !== true) late += unread;
      if (stop.gone === "stuck") late++;
      stops++;
    }
    report.progress(`round ${round} of ${rounds}`);
  }

  const end = await server.call("state");
  report.figure("servers, all stopped", stops);
  report.figure("onConnect, onDisconnect", `${end.connected}, ${end.disconnected}`, "the same");
  report.figure("told to onError", JSON.stringify(end.faults));
  report.check("callbacks failed", end.faults.DISCONNECT > 0 && end.faults.CONNECT > 0);
  report.equal("no fault of the library", end.faults.INTERNAL ?? 0, 0);
  report.equal("told of what outlasted stop()", end.faults.STOP ?? 0, late);
  await eventually(() => before.files === undefined || server.files() <= before.files);
  await eventually(() => before.threads === undefined || server.threads() <= before.threads);
  report.backAs(server, before);
  await report.endsWell(server);
  await clients.end();
}

/** A server from its start to its end; how many clients asked for what never ends. */
async function oneLife(report, server, clients, name, stop, crowd, more) {
  const { how, inside, gone, codes } = stop;
  const { faults, nevers } = await server.call("state");
  await server.call("setOnGone", gone);
  const port = await server.call("start", { maxHandlersInFlight: IN_FLIGHT });
  await clients.call("open", port, crowd);
  const seen = await clients.call("misbehave", IN_FLIGHT, more);
  report.equal(`${name}: who asks for what never ends is not answered`, seen.stuckAnswers, 0);
  report.equal(`${name}: the others are`, seen.echoes, seen.others);
  report.equal(`${name}: with an error for each failure`, seen.errors, 10 * seen.others);
  await eventually(
    async () => (await server.call("state")).nevers >= nevers + IN_FLIGHT * seen.stuck,
  );
  const busy = await server.call("state");
  report.equal(`${name}: calls that never end`, busy.nevers - nevers, IN_FLIGHT * seen.stuck);
  const told = busy.faults.HANDLER_ERROR - (faults.HANDLER_ERROR ?? 0);
  report.equal(`${name}: failures are told to onError`, told, 10 * seen.others);

  await clients.call("go", port);
  await sleep(300);
  const closed = clients.call("closed");
  closed.catch(() => {});
  let end;
  if (inside) {
    const stopped = server.call("stoppedInside");
    await clients.call("endStopper");
    await stopped;
    end = await server.call("stop");
  } else end = await server.call("stop", how);
  report.equal(`${name}: onConnect and onDisconnect in pairs`, end.connected - end.disconnected, 0);
  report.equal(`${name}: none is left`, end.open, 0);
  report.equal(`${name}: none twice`, end.unpaired, 0);
  report.equal(`${name}: clientCount()`, end.clients, 0);
  report.equal(`${name}: pending onDisconnect`, end.leaving, gone === "stuck" ? 1 : 0);
  report.equal(`${name}: nothing waits`, end.metrics.queued, 0);
  report.equal(`${name}: out of order`, end.outOfOrder, 0);
  const { sent, written, dropped } = end.metrics;
  report.equal(`${name}: sent = written + dropped`, sent, written + dropped);
  const ended = await closed;
  const strange = ended.codes.filter((code) => !codes.includes(code));
  report.none(`${name}: codes of the clients`, strange);
  report.none(`${name}: what clients saw`, await clients.call("found"));
  await server.call("forget");
  return seen.stuck;
}
