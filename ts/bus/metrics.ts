// The counters of a bus.

/** The engine, as far as it counts. Its whole type would bring the types of Node to every user. */
interface Counting {
  bus(): Readonly<Record<string, number>> | null;
}

/** Counters of a bus. `published = confirmed + unconfirmed + dropped + queued`, always. */
export interface BusMetrics {
  /** Whether the bus answers. */
  readonly connected: boolean;
  /** Messages of the application that were published. A message on several channels counts once for each. */
  readonly published: number;
  /** Of those: the bus has them. */
  readonly confirmed: number;
  /** Of those: written, but the bus did not answer within 5 s or the connection ended. They may have arrived. */
  readonly unconfirmed: number;
  /** Of those: waiting to be written, or for the answer. */
  readonly queued: number;
  /** Of those: too old, too long or too many, or refused by the bus. They have not arrived. */
  readonly dropped: number;
  /** Messages of other processes that came. */
  readonly received: number;
  /** Messages of other processes that never came, as the numbers of later ones show. */
  readonly missed: number;
  /** Messages on the bus that make no sense, or whose route this process does not have. */
  readonly malformed: number;
  /** How often the connection was made again. */
  readonly reconnects: number;
  /** Rooms that this process reads on the bus. A room is read for a few seconds after its last member has left. */
  readonly rooms: number;
}

/** The counters now; `undefined` if there is no bus. Copied, as the binding makes its objects in the realm of the addon. */
export function busMetricsOf(native: Counting): BusMetrics | undefined {
  const counted = native.bus();
  if (counted === null) return undefined;
  return { ...counted, connected: counted["connected"] === 1 } as BusMetrics;
}
