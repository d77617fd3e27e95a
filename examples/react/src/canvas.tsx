"use client";
// The board itself: lines of everybody, and where their pointers are.
import { memo, useEffect, useRef, useState, type PointerEvent } from "react";

import type { Line, Person } from "./server.ts";
import { useCall, useEvent, useZocket } from "./zocket.ts";

type Lines = ReadonlyMap<string, Line>;
type Point = Line["points"][number];

const NO_LINES: Lines = new Map();

/** The lines with points added to one of them. An addition that is there already changes nothing. */
function added(lines: Lines, { id, color, from, points }: Line & { from: number }): Lines {
  const before = lines.get(id)?.points.slice(0, from) ?? [];
  return new Map(lines).set(id, { id, color, points: [...before, ...points] });
}

export function Canvas({ color }: { color: string }) {
  const { client } = useZocket();
  const [lines, setLines] = useState(NO_LINES);
  const [people, setPeople] = useState<readonly Person[]>([]);
  const [pointers, setPointers] = useState<ReadonlyMap<string, Point>>(new Map());

  const { run: enter, pending, error } = useCall(client.call.board.enter);
  // At each connection, as lines may have come meanwhile.
  const load = async (): Promise<void> => {
    const result = await enter().safe();
    if (!result.ok) return;
    setLines(new Map(result.data.lines.map((line) => [line.id, line])));
    setPeople(result.data.people);
  };
  useEvent(client.onOpen, load);

  useEvent(client.on.board.onPeople, setPeople);
  useEvent(client.on.board.onDraw, (addition) => setLines((before) => added(before, addition)));
  useEvent(client.on.board.onClear, () => setLines(NO_LINES));
  useEvent(client.on.board.onPoint, ({ id, at }) =>
    setPointers((before) => new Map(before).set(id, at)),
  );

  const pen = usePen((addition) => {
    const { id, from, points } = addition;
    client.send.board.draw({ id, color, from, points });
  });

  return (
    <main aria-busy={pending}>
      {error && <p role="alert">The board did not load: {error.message}</p>}
      <svg
        viewBox="0 0 1000 1000"
        preserveAspectRatio="none"
        onPointerDown={pen.down}
        onPointerUp={pen.up}
        onPointerMove={(event) => {
          pen.move(event);
          client.send.board.point(placeOf(event));
        }}
      >
        {[...lines.values()].map((line) => (
          <Stroke key={line.id} line={line} />
        ))}
      </svg>
      {people
        .filter(({ id }) => id !== client.id)
        .map((person) => (
          <Pointer key={person.id} person={person} at={pointers.get(person.id)} />
        ))}
    </main>
  );
}

/** Renders again only when its line changes. */
const Stroke = memo(({ line: { color, points } }: { line: Line }) => (
  <polyline
    points={points.map(([x, y]) => `${x * 1000},${y * 1000}`).join(" ")}
    stroke={color}
    vectorEffect="non-scaling-stroke"
  />
));

function Pointer({ person, at }: { person: Person; at: Point | undefined }) {
  if (!at) return null;
  const [x, y] = at;
  return (
    <span style={{ left: `${x * 100}%`, top: `${y * 100}%`, background: person.color }}>
      {person.name}
    </span>
  );
}

function placeOf({ currentTarget, clientX, clientY }: PointerEvent<SVGSVGElement>): Point {
  const { left, top, width, height } = currentTarget.getBoundingClientRect();
  const within = (value: number): number => Math.min(1, Math.max(0, value));
  return [within((clientX - left) / width), within((clientY - top) / height)];
}

interface Addition {
  readonly id: string;
  readonly from: number;
  readonly points: Point[];
}

/** Turns moves of the pointer into additions to a line: at most one a frame. */
function usePen(draw: (addition: Addition) => void) {
  const line = useRef<{ id: string; sent: number; waiting: Point[] }>(undefined);
  const frame = useRef(0);
  useEffect(() => () => cancelAnimationFrame(frame.current), []);

  const flush = (): void => {
    frame.current = 0;
    const current = line.current;
    if (!current || current.waiting.length === 0) return;
    draw({ id: current.id, from: current.sent, points: current.waiting });
    current.sent += current.waiting.length;
    current.waiting = [];
  };
  const move = (event: PointerEvent<SVGSVGElement>): void => {
    line.current?.waiting.push(placeOf(event));
    if (line.current && frame.current === 0) frame.current = requestAnimationFrame(flush);
  };
  return {
    down(event: PointerEvent<SVGSVGElement>) {
      event.currentTarget.setPointerCapture(event.pointerId);
      line.current = { id: Math.random().toString(36).slice(2), sent: 0, waiting: [] };
      move(event);
    },
    move,
    up() {
      flush();
      line.current = undefined;
    },
  };
}
