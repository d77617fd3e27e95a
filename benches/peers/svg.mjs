// Charts as SVG text, by hand: bars in panels, and lines over a growing number. A style sheet gives them
// the colours of light and dark pages, on a ground of their own, so that they can be read on any.

const STYLE = `
  svg { font: 12px system-ui, sans-serif; }
  .ground { fill: #ffffff; } text { fill: #24292f; } .faint { fill: #57606a; }
  .grid { stroke: #d0d7de; } .own { fill: #1a7f5a; stroke: #1a7f5a; } .peer { fill: #8c959f; stroke: #8c959f; }
  .tail { stroke-width: 2; } .line { fill: none; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; } text { fill: #e6edf3; } .faint { fill: #9198a1; }
    .grid { stroke: #30363d; } .own { fill: #3fb984; stroke: #3fb984; } .peer { fill: #6e7681; stroke: #6e7681; }
  }
  text { stroke: none; } .title { font-weight: 600; font-size: 13px; }
`;

const WIDTH = 440;
const GAP = 24;
const LABELS = 76;
const VALUES = 86;
const ROW = 20;
const TITLE = 26;
const AXIS = 38;

const escaped = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const at = (value) => Math.round(value * 10) / 10;

function text(x, y, content, { anchor = "start", kind = "" } = {}) {
  return `<text x="${at(x)}" y="${at(y)}" text-anchor="${anchor}" class="${kind}">${escaped(content)}</text>`;
}

const line = (x1, y1, x2, y2, kind) =>
  `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" class="${kind}"/>`;

/** Round numbers from 0 up to at least `largest`, about four of them. */
function ticks(largest) {
  const rough = largest / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((it) => it * power >= rough) * power;
  return Array.from({ length: Math.ceil(largest / step) + 1 }, (_, index) => index * step);
}

/**
 * A panel of horizontal bars. `rows` are `{ label, value, tail?, own, shown }`: `tail` is a second,
 * larger figure, drawn as a line behind the bar.
 */
export function bars({ title, axis, rows, format }) {
  const all = ticks(Math.max(...rows.flatMap(({ value, tail }) => [value, tail ?? 0])));
  const room = WIDTH - LABELS - VALUES;
  const scale = (value) => LABELS + (value / all.at(-1)) * room;
  const bottom = TITLE + rows.length * ROW;
  const parts = [text(0, 14, title, { kind: "title" })];
  for (const tick of all) {
    parts.push(line(scale(tick), TITLE - 4, scale(tick), bottom + 4, "grid"));
    parts.push(text(scale(tick), bottom + 17, format(tick), { anchor: "middle", kind: "faint" }));
  }
  rows.forEach(({ label, value, tail, own, shown }, index) => {
    const [y, kind] = [TITLE + index * ROW, own ? "own" : "peer"];
    parts.push(text(LABELS - 8, y + 13, label, { anchor: "end" }));
    const width = Math.max(scale(value) - LABELS, 1);
    parts.push(
      `<rect x="${LABELS}" y="${y + 3}" width="${at(width)}" height="13" class="${kind}"/>`,
    );
    const end = Math.max(scale(value), scale(tail ?? 0));
    if (tail !== undefined) {
      parts.push(line(scale(value), y + 9.5, end, y + 9.5, `${kind} tail`));
      parts.push(line(end, y + 4, end, y + 15, `${kind} tail`));
    }
    parts.push(text(end + 6, y + 13, shown));
  });
  parts.push(text(LABELS + room / 2, bottom + 32, axis, { anchor: "middle", kind: "faint" }));
  return { height: bottom + AXIS, body: parts.join("\n") };
}

/** A panel of lines over numbers that grow tenfold or more. `series` are `{ label, own, points: [[x, y]] }`. */
export function lines({ title, axis, across, series, format }) {
  const xs = [...new Set(series.flatMap(({ points }) => points.map(([x]) => x)))];
  const all = ticks(Math.max(...series.flatMap(({ points }) => points.map(([, y]) => y))));
  const [left, right, top, bottom] = [48, WIDTH - VALUES, TITLE + 16, TITLE + 156];
  const [low, high] = [Math.log(Math.min(...xs)), Math.log(Math.max(...xs))];
  const x = (value) => left + ((Math.log(value) - low) / (high - low || 1)) * (right - left);
  const y = (value) => bottom - (value / all.at(-1)) * (bottom - top);
  const parts = [text(0, 14, title, { kind: "title" })];
  parts.push(text(0, TITLE + 4, axis, { kind: "faint" }));
  for (const tick of all) {
    parts.push(line(left, y(tick), right, y(tick), "grid"));
    parts.push(text(left - 6, y(tick) + 4, format(tick), { anchor: "end", kind: "faint" }));
  }
  for (const value of xs) {
    const label = value.toLocaleString("en");
    parts.push(text(x(value), bottom + 17, label, { anchor: "middle", kind: "faint" }));
  }
  for (const { label, own, points } of series) {
    const kind = own ? "own" : "peer";
    const path = points.map((point) => `${at(x(point[0]))},${at(y(point[1]))}`).join(" ");
    parts.push(`<polyline points="${path}" class="${kind} line" style="fill:none"/>`);
    for (const point of points)
      parts.push(`<circle cx="${at(x(point[0]))}" cy="${at(y(point[1]))}" r="3" class="${kind}"/>`);
    const last = points.at(-1);
    parts.push(text(right + 8, y(last[1]) + 4, `${label} ${format(last[1])}`));
  }
  parts.push(text((left + right) / 2, bottom + 32, across, { anchor: "middle", kind: "faint" }));
  return { height: bottom + AXIS, body: parts.join("\n") };
}

/** Panels in two columns. */
export function sheet(title, note, panels) {
  const parts = [];
  let y = 66;
  for (let index = 0; index < panels.length; index += 2) {
    const pair = panels.slice(index, index + 2);
    pair.forEach(({ body }, column) => {
      const x = GAP + column * (WIDTH + GAP);
      parts.push(`<g transform="translate(${x} ${y})">\n${body}\n</g>`);
    });
    y += Math.max(...pair.map(({ height }) => height)) + GAP;
  }
  const width = 3 * GAP + 2 * WIDTH;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" width="${width}" height="${y}" role="img" aria-label="${escaped(title)}">`,
    `<style>${STYLE}</style>`,
    `<rect width="${width}" height="${y}" class="ground"/>`,
    text(GAP, 28, title, { kind: "title" }),
    text(GAP, 46, note, { kind: "faint" }),
    ...parts,
    "</svg>\n",
  ].join("\n");
}
