"use client";
// The bar at the top: the connection, who is there, and the button that clears the board.
import { useEffect, useState } from "react";

import type { Person } from "./server.ts";
import { useConnection, useEvent, useZocket } from "./zocket.ts";

export function Status() {
  const { client } = useZocket();
  const [people, setPeople] = useState<readonly Person[]>([]);
  useEvent(client.on.board.onPeople, setPeople);
  return (
    <header>
      <Connection />
      <ul aria-label="People">
        {people.map(({ id, name, color }) => (
          <li key={id} style={{ background: color }}>
            {name}
          </li>
        ))}
      </ul>
      <button onClick={() => client.send.board.clear()}>Clear</button>
    </header>
  );
}

function Connection() {
  const { state, retryAt, reconnect } = useConnection();
  const seconds = useSeconds(retryAt);
  if (state !== "waiting") return <output className={state}>{state}</output>;
  return (
    <output className={state}>
      {seconds === undefined ? "no network" : `next attempt in ${seconds} s`}
      <button onClick={reconnect}>Connect now</button>
    </output>
  );
}

/** How many seconds are left until a time. */
function useSeconds(until: number | undefined): number | undefined {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (until === undefined) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 200);
    return () => clearInterval(timer);
  }, [until]);
  return until === undefined ? undefined : Math.max(0, Math.ceil((until - now) / 1_000));
}
