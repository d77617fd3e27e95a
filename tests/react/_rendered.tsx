// A page that a server renders and a browser takes over.
import {
  ZocketProvider,
  useCall,
  useConnection,
  useEvent,
  useZocket,
  type ZocketProviderProps,
} from "@zocket/core/react";
import { useState } from "react";

import type { AppRouter } from "./_app.ts";

export function Rendered(props: ZocketProviderProps<AppRouter>) {
  return (
    <ZocketProvider<AppRouter> {...props}>
      <main>
        <Inner />
      </main>
    </ZocketProvider>
  );
}

function Inner() {
  const { client } = useZocket<AppRouter>();
  const { state } = useConnection();
  const [heard, setHeard] = useState(0);
  useEvent(client.on.chat.onMessage, () => setHeard((before) => before + 1));
  const { pending } = useCall(client.call.chat.history);
  return (
    <>
      <b>{state}</b>
      <i>{heard}</i>
      <u>{pending ? "pending" : "idle"}</u>
    </>
  );
}
