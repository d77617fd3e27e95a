// What a scenario found: checks that hold or fail, and figures with their bounds.

/** Mebibytes with one digit. */
export const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** The findings of one scenario. */
export class Report {
  constructor(name) {
    this.name = name;
    this.started = Date.now();
    this.checks = 0;
    this.failures = [];
    this.figures = [];
  }

  /** A line about how far it is. */
  progress(text) {
    const seconds = ((Date.now() - this.started) / 1000).toFixed(0).padStart(4);
    console.log(`   ${this.name} ${seconds} s: ${text}`);
  }

  /** Something that has to be so. */
  check(what, holds, found = "") {
    this.checks++;
    if (holds) return;
    const failure = `${what}${found === "" ? "" : `: ${found}`}`;
    this.failures.push(failure);
    console.log(`   ${this.name}: FAILED: ${failure}`);
  }

  /** A number or text that has to be exactly this. */
  equal(what, actual, expected) {
    this.check(what, actual === expected, `${actual} instead of ${expected}`);
  }

  /** A list of problems that has to be empty. */
  none(what, problems) {
    const more = problems.length > 5 ? ` and ${problems.length - 5} more` : "";
    this.check(what, problems.length === 0, problems.slice(0, 5).join("; ") + more);
  }

  /** Something worth to be told. */
  figure(what, value, bound = "") {
    this.figures.push({ what, value: String(value), bound });
  }

  /** Bytes that have to be at most so many, told as a figure too. */
  bytes(what, actual, bound) {
    this.figure(what, mib(actual), `≤ ${mib(bound)}`);
    this.check(what, actual <= bound, `${mib(actual)} instead of at most ${mib(bound)}`);
  }

  /** Files and threads of a server that have to be as many as before; told as a figure too. */
  back(what, actual, before) {
    if (before === undefined) return;
    this.figure(`${what}, before and after`, `${before}, ${actual}`, "the same");
    this.check(`${what} are as many as before`, actual <= before, `${actual}, before ${before}`);
  }

  /** A server has let go of what it took since `before`. */
  backAs(server, before) {
    this.back("open files", server.files(), before.files);
    this.back("threads", server.threads(), before.threads);
  }

  /** A server that was stopped ends by itself, and never complained. */
  async endsWell(server) {
    const { code, signal } = await server.leave();
    this.equal("the process ends by itself, with", signal ?? code, 0);
    this.equal("standard error", server.errors, "");
  }

  /** The scenario is over. */
  end() {
    this.seconds = (Date.now() - this.started) / 1000;
  }
}

/** The slope of a line through points `{ x, y }`, by least squares. */
export function slope(points) {
  const mean = (of) => points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const x = mean((point) => point.x);
  const y = mean((point) => point.y);
  const covariance = mean((point) => (point.x - x) * (point.y - y));
  const variance = mean((point) => (point.x - x) ** 2);
  return variance === 0 ? 0 : covariance / variance;
}

/** Everything as a Markdown table. */
export function table(reports) {
  const rows = reports.flatMap(({ name, figures, failures, checks, seconds }) => [
    [
      `**${name}**`,
      failures.length === 0 ? `${checks} checks hold` : `${failures.length} of ${checks} FAILED`,
      `${seconds.toFixed(0)} s`,
      "",
    ],
    ...figures.map(({ what, value, bound }) => ["", what, value, bound]),
  ]);
  const all = [["Scenario", "What", "Figure", "Bound"], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column].length)));
  const line = (row) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
  const [head, ...body] = all;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n");
}
