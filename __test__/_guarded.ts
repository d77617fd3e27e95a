// What specs of clients that offer `zocket.1` share: an application that lets in who knows the word, and a client that reports
// what it sees.
import type { Given, Headers } from "./_support.ts";

/** Lets in who knows the word. */
export const GUARDED: Given = {
  onConnect: ({ authorization }: Headers) => {
    if (authorization !== "grüße") throw Object.assign(new Error("no"), { status: 401 });
    return {};
  },
};
export const token = (authorization: string) =>
  `zocket.h.${Buffer.from(JSON.stringify({ authorization })).toString("base64url")}`;

/** What each client reports. */
export interface Seen {
  readonly protocol: string;
  readonly messages: string[];
  readonly code: number;
  readonly clean: boolean;
}

/** What a client with the interface of browsers sees until its end; it pings once it is welcomed, and closes after the pong. */
export function watch(url: string, protocols: string[], Socket: typeof WebSocket): Promise<Seen> {
  return new Promise((resolve) => {
    const messages: string[] = [];
    const socket = new Socket(url, protocols);
    socket.onmessage = ({ data }) => {
      const { type } = JSON.parse(String(data)) as { type: string };
      messages.push(type);
      if (type === "$welcome") socket.send('{"type":"$ping"}');
      if (type === "$pong") socket.close(3000);
    };
    socket.onerror = () => {};
    socket.onclose = ({ code, wasClean }) =>
      resolve({ protocol: socket.protocol, messages, code, clean: wasClean });
  });
}

export const LET_IN = {
  protocol: "zocket.1",
  messages: ["$welcome", "$pong"],
  code: 3000,
  clean: true,
};
export const TURNED_AWAY = {
  protocol: "zocket.1",
  messages: ["$refused"],
  code: 4401,
  clean: true,
};
