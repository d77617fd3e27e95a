"use client";
// The whiteboard: who I am, the connection, and what is in it.
import { useState } from "react";

import { Canvas } from "./canvas.tsx";
import { Status } from "./status.tsx";
import "./style.css";
import { ZocketProvider } from "./zocket.ts";

const COLORS = ["#e5484d", "#f76b15", "#30a46c", "#0090ff", "#8e4ec6", "#d6409f"];

export function App({ url }: { url: string }) {
  const [name, setName] = useState("");
  const [color, setColor] = useState("#0090ff");
  const [isIn, setIsIn] = useState(false);

  if (!isIn) {
    return (
      <form
        className="door"
        onSubmit={(event) => {
          event.preventDefault();
          setIsIn(true);
        }}
      >
        <h1>Whiteboard</h1>
        <label>
          Your name
          <input required maxLength={30} value={name} onChange={(e) => setName(e.target.value)} />
        </label>
        <fieldset>
          <legend>Your colour</legend>
          {COLORS.map((it) => (
            <label key={it} style={{ background: it }} title={it}>
              <input
                type="radio"
                name="color"
                checked={it === color}
                onChange={() => setColor(it)}
              />
            </label>
          ))}
        </fieldset>
        <button>Start drawing</button>
      </form>
    );
  }
  return (
    <ZocketProvider url={url} headers={{ name, color }} minReconnectionDelay={500}>
      <Status />
      <Canvas color={color} />
    </ZocketProvider>
  );
}
