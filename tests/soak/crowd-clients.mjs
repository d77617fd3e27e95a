// The clients of the scenario "crowd".
import { Raw } from "./raw.mjs";

/** How many connect at a time: few enough for any backlog. */
const AT_ONCE = 100;

let clients = [];
const problems = [];

/** Opens so many. */
export async function open(port, count) {
  clients = [];
  const openSome = async () => {
    while (clients.length < count) {
      const place = clients.push(undefined) - 1;
      clients[place] = await Raw.open(port).catch((error) => problems.push(error.message));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, openSome));
  clients = clients.filter((client) => client instanceof Raw);
  for (const client of clients) client.onEnd = (why) => problems.push(`ended early: ${why}`);
  return clients.length;
}

/** Each says something, and waits for it; how many got it back. */
export async function echo(from) {
  const answers = clients.map(
    (client, place) =>
      new Promise((resolve) => {
        const wanted = JSON.stringify({ type: "onEcho", payload: { n: from + place, text: "ü" } });
        client.onMessage = (text) => {
          if (text !== wanted) problems.push(`${text} instead of ${wanted}`);
          resolve(text === wanted);
        };
        const ended = client.onEnd;
        client.onEnd = (why) => {
          ended(why);
          resolve(false);
        };
        client.say("echo", { n: from + place, text: "ü" });
      }),
  );
  return (await Promise.all(answers)).filter(Boolean).length;
}

/** Resets every second one, all in one go; how many are left. */
export function resetHalf() {
  const gone = clients.filter((_, place) => place % 2 === 0);
  clients = clients.filter((_, place) => place % 2 === 1);
  for (const client of gone) {
    client.onEnd = () => {};
    client.reset();
  }
  return clients.length;
}

/** Closes the rest; how many were closed with 1000. */
export async function closeAll() {
  const endings = clients.map(
    (client) =>
      new Promise((resolve) => {
        client.onEnd = resolve;
        client.close();
      }),
  );
  clients = [];
  return (await Promise.all(endings)).filter((why) => why === 1000).length;
}

/** What went wrong. */
export function found() {
  return problems.splice(0);
}
