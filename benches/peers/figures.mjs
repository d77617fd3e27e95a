// Figures of measurements: how they are made, averaged and written.

/** Above this many cores busy with something else, a measurement is marked as disturbed. */
export const DISTURBED = 0.25;

export function median(values) {
  const sorted = values.filter((value) => value !== undefined).toSorted((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What one measurement says, with costs per message. One publication makes so many deliveries as it has `members`. */
export function figures(result, { members = 1 } = {}) {
  if (result.memory) return { main: result.memory.bytes, ...result.memory };
  const each = (seconds) => (seconds === undefined ? undefined : (seconds * 1e6) / result.count);
  const moved = (at) => {
    const bytes = result.bus_moved?.[at];
    return bytes === undefined ? undefined : (bytes * members) / result.count;
  };
  return {
    main: result.per_second,
    cpu: each(result.server_cpu?.all),
    mainThread: each(result.server_cpu?.main),
    p50: result.p50_us,
    p99: result.p99_us,
    bus: each(result.bus_cpu),
    remoteP50: result.remote_p50_us,
    remoteP99: result.remote_p99_us,
    busIn: moved(0),
    busOut: moved(1),
    subscriptions: result.subscriptions,
    busy: result.generator_busy,
    generator: each(result.generator_cpu),
    elsewhere: result.elsewhere,
  };
}

export function short(value) {
  if (value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  if (value < 0) return `−${short(-value)}`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (value >= 1e5) return `${(value / 1e3).toFixed(0)} k`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  if (value >= 1000) return `${(value / 1e3).toFixed(2)} k`;
  if (value >= 100) return value.toFixed(0);
  return value < 0.1 ? value.toFixed(2) : value.toPrecision(2);
}
