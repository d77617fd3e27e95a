// What the compiler infers for the hooks from the type of the router, and what it refuses. `npm run test:react` compiles it.
import type {
  CallError,
  CallOptions,
  ClientError,
  ClientState,
  Jsonify,
  ZocketClient,
} from "@zocket/core";
import {
  ZocketProvider,
  createZocketReact,
  useCall,
  useConnection,
  useEvent,
  useZocket,
  type ConnectionHook,
} from "@zocket/core/react";
import { zocket } from "@zocket/core";
import { z } from "zod";

import type { AppRouter } from "./_app.ts";

/** Compiles if the two types are the same. */
type Same<TLeft, TRight> =
  (<T>() => T extends TLeft ? 1 : 2) extends <T>() => T extends TRight ? 1 : 2 ? true : false;
const same = <T extends true>(): T | undefined => undefined;

const problem = z.object({ rooms: z.array(z.string()) });
type HistoryError = CallError<{ NO_ROOM: typeof problem }>;
type History = { text: string; at: string }[];

export function Inferred() {
  const { client, useEvent: listen } = useZocket<AppRouter>();
  same<Same<typeof client, ZocketClient<AppRouter>>>();
  same<Same<typeof listen, typeof useEvent>>();

  useEvent(client.on.chat.onMessage, (message) => {
    same<Same<typeof message, Jsonify<{ from: string; text: string }>>>();
    same<Same<typeof message.text, string>>();
  });
  useEvent(client.on.chat.onMessage, async () => {});
  useEvent(client.onError, (error) => same<Same<typeof error, ClientError>>());
  useEvent(client.onState, (state, retryAt) => {
    same<Same<typeof state, ClientState>>();
    same<Same<typeof retryAt, number | undefined>>();
  });
  useEvent(client.onOpen, () => {});

  const history = useCall(client.call.chat.history);
  same<Same<typeof history.data, History | undefined>>();
  same<Same<typeof history.error, HistoryError | undefined>>();
  same<Same<Parameters<typeof history.run>, [payload: { room: string }, options?: CallOptions]>>();
  same<Same<Awaited<ReturnType<typeof history.run>>, History>>();
  const { error } = history;
  if (error?.code === "NO_ROOM") {
    const { rooms } = error.data;
    same<Same<typeof rooms, string[]>>();
  } else if (error) {
    const { data } = error;
    same<Same<typeof data, undefined>>();
  }
  void history.run({ room: "lobby" }, { timeout: 5 }).safe();

  const ping = useCall(client.call.chat.ping);
  same<Same<typeof ping.data, "pong" | undefined>>();
  void ping.run();

  const count = useCall(client.call.chat.count, { maxItems: 10 });
  same<Same<typeof count.items, readonly number[]>>();
  same<Same<typeof count.data, { total: number } | undefined>>();
  void count.run({ to: 5 });

  const own = useCall((room: string) => client.call.chat.history({ room }));
  same<Same<typeof own.data, History | undefined>>();
  void own.run("lobby");

  const { state, retryAt, reconnect } = useConnection();
  same<Same<typeof state, ClientState>>();
  same<Same<typeof retryAt, number | undefined>>();
  return <button onClick={reconnect}>{state}</button>;
}

export function Refused() {
  const { client } = useZocket<AppRouter>();
  // @ts-expect-error -- there is no such route
  useEvent(client.on.chat.onMesage, () => {});
  // @ts-expect-error -- the server does not send it
  useEvent(client.on.chat.message, () => {});
  // @ts-expect-error -- the payload has another type
  useEvent(client.on.chat.onMessage, (message: number) => message);
  useEvent(client.on.chat.onMessage, (message) => {
    // @ts-expect-error -- the payload has no such property
    console.log(message.txt);
  });
  // @ts-expect-error -- a group is no route
  useEvent(client.on.chat, () => {});
  // @ts-expect-error -- there is no such call
  useCall(client.call.chat.histroy);
  // @ts-expect-error -- a message without a reply is no call
  useCall(client.send.chat.message);
  // @ts-expect-error -- nothing is collected of a call without a stream
  useCall(client.call.chat.history, { maxItems: 1 });
  const history = useCall(client.call.chat.history);
  // @ts-expect-error -- the payload is missing
  void history.run();
  // @ts-expect-error -- the payload has another type
  void history.run({ room: 5 });
  // @ts-expect-error -- there are no items without a stream
  void history.items;
  // @ts-expect-error -- a declared code, but of another call
  void (history.error?.code === "ROOM_FULL");
  const count = useCall(client.call.chat.count);
  // @ts-expect-error -- the hook takes the items
  void count.run({ to: 1 })[Symbol.asyncIterator];
  const ping = useCall(client.call.chat.ping);
  return (
    // @ts-expect-error -- the event would be the payload
    <button onClick={ping.run} />
  );
}

export function Untyped() {
  const { client } = useZocket();
  // @ts-expect-error -- the type of the router is missing
  client.send.chat.message({ text: "" });
}

export const provided = (
  <ZocketProvider<AppRouter>
    url="ws://localhost:3000"
    headers={async () => ({ authorization: "token", other: undefined })}
    onOpen={() => {}}
    onClose={({ code }) => same<Same<typeof code, number>>()}
    shouldReconnect={({ refused }) => refused?.status !== 403}
    maxRetries={5}
  >
    text
    <Inferred />
  </ZocketProvider>
);

export const refused = [
  // @ts-expect-error -- the url is missing
  <ZocketProvider<AppRouter> key="url" />,
  // @ts-expect-error -- there is no such option
  <ZocketProvider<AppRouter> key="option" url="" retries={5} />,
  // @ts-expect-error -- a header is text
  <ZocketProvider<AppRouter> key="header" url="" headers={{ authorization: 5 }} />,
];

const dates = { serialize: (value: unknown) => value, deserialize: (json: unknown) => json };
const { message } = zocket.create({ headers: z.object({}), transformer: dates });
const rich = { onDate: message.outgoing({ payload: z.object({ at: z.date() }) }) };
type Rich = typeof rich;
const richReact = createZocketReact<Rich>();

export function RichTypes() {
  const { client } = useZocket<Rich>();
  useEvent(client.on.onDate, ({ at }) => same<Same<typeof at, Date>>());
  return [
    <ZocketProvider<Rich> key="with" url="" transformer={dates} />,
    <richReact.ZocketProvider key="once" url="" transformer={dates} />,
    // @ts-expect-error -- the router has a transformer
    <ZocketProvider<Rich> key="without" url="" />,
    // @ts-expect-error -- the router has a transformer
    <richReact.ZocketProvider key="once without" url="" />,
  ];
}

const chat = createZocketReact<AppRouter>();

export function Once() {
  const { client, useEvent: listen } = chat.useZocket();
  listen(client.on.chat.onMessage, ({ text }) => same<Same<typeof text, string>>());
  chat.useEvent(client.on.chat.onMessage, ({ text }) => same<Same<typeof text, string>>());
  const { data } = chat.useCall(client.call.chat.history);
  same<Same<typeof data, History | undefined>>();
  same<Same<ReturnType<typeof chat.useConnection>, ConnectionHook>>();
  return (
    <chat.ZocketProvider url="" headers={{ authorization: "" }}>
      <p />
    </chat.ZocketProvider>
  );
}
