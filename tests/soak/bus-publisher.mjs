// The publisher of the scenario "bus", in a process of its own. It lives as long as the scenario.
import { randomUUID } from "node:crypto";

import { createPublisher } from "@zocket/core/bus";

import { Speaker, busAt } from "./bus-application.mjs";
import { memory, startThreads } from "./memory.mjs";

let publisher;
let speaker;

export async function start(kind, bus) {
  await startThreads();
  publisher = createPublisher(busAt(kind, bus), { onError: () => {} });
  speaker = new Speaker((payload) => publisher.send.said(payload), randomUUID());
  return { name: speaker.name };
}

export const speak = (perSecond) => speaker.speak(perSecond);
export const sayLast = (ids) => speaker.sayLast(ids);
export const sample = () => ({
  at: Date.now(),
  metrics: { bus: publisher.metrics() },
  problems: [],
});
export const flush = () => publisher.flush();
export const stop = () => publisher.close();

export { memory };
