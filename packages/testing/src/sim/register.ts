/**
 * Is a history of one register linearizable, when each written value is written once? Gibbons and Korach, "Testing shared
 * memories" (1997): each write with the reads of its value is a cluster; from the first end to the last begin of its
 * operations the register must hold that value. Clusters that must hold at overlapping times contradict each other.
 */
export interface RegisterOperation {
  readonly kind: 'read' | 'write';
  readonly value: string;
  /** Instants on one clock; `end` Infinity: it failed or was never answered, and may have happened or not. */
  readonly begin: number;
  readonly end: number;
}

/**
 * The operations with every read allowed to be as old as the last thing that its own client did: what holds where clients
 * may go on reading from a replica that others have left behind.
 */
export function bySession<T extends RegisterOperation & { readonly client: string }>(
  operations: readonly T[],
): RegisterOperation[] {
  const lastEnd = new Map<string, number>();
  const byBegin = [...operations].sort((a, b) => a.begin - b.begin);
  return byBegin.map((one) => {
    const begin = one.kind === 'read' ? Math.min(one.begin, (lastEnd.get(one.client) ?? 0) + 0.5) : one.begin;
    if (one.end !== Number.POSITIVE_INFINITY) lastEnd.set(one.client, one.end);
    return { kind: one.kind, value: one.value, begin, end: one.end };
  });
}

interface Cluster {
  readonly value: string;
  writeBegin: number;
  /** The earliest end and the latest begin of its operations. */
  firstEnd: number;
  lastBegin: number;
}

/** Undefined, or what cannot be. `initial` is the value before any write. */
export function notLinearizable(operations: readonly RegisterOperation[], initial: string): string | undefined {
  const start = Number.NEGATIVE_INFINITY;
  const clusters = new Map<string, Cluster>([
    [initial, { value: initial, writeBegin: start, firstEnd: start, lastBegin: start }],
  ]);
  for (const { kind, value, begin, end } of operations) {
    if (kind === 'write') clusters.set(value, { value, writeBegin: begin, firstEnd: end, lastBegin: begin });
  }
  const readBack = new Set<string>();
  for (const { kind, value, begin, end } of operations) {
    if (kind !== 'read' || end === Number.POSITIVE_INFINITY) continue;
    const cluster = clusters.get(value);
    if (!cluster) return `a read ended at ${end} with ${value}, which nobody wrote`;
    if (end < cluster.writeBegin) return `${value} was read by ${end}, before its write began at ${cluster.writeBegin}`;
    cluster.firstEnd = Math.min(cluster.firstEnd, end);
    cluster.lastBegin = Math.max(cluster.lastBegin, begin);
    readBack.add(value);
  }
  // A write without an answer that nobody read may never have happened.
  const real = [...clusters.values()].filter(
    ({ value, firstEnd }) => firstEnd !== Number.POSITIVE_INFINITY || readBack.has(value),
  );
  return contradiction(real);
}

function contradiction(clusters: readonly Cluster[]): string | undefined {
  const forward = clusters.filter(({ firstEnd, lastBegin }) => firstEnd < lastBegin);
  for (const [i, a] of forward.entries()) {
    for (const b of forward.slice(i + 1))
      if (a.firstEnd < b.lastBegin && b.firstEnd < a.lastBegin) return `${span(a)} contradicts ${span(b)}`;
  }
  for (const inner of clusters) {
    if (inner.firstEnd < inner.lastBegin) continue;
    const outer = forward.find((f) => f.firstEnd < inner.lastBegin && inner.firstEnd < f.lastBegin);
    if (outer)
      return `${span(outer)} contradicts ${inner.value}, which held at some time from ${inner.lastBegin} to ${inner.firstEnd}`;
  }
  return undefined;
}

function span({ value, firstEnd, lastBegin }: Cluster): string {
  return `${value}, which held from ${firstEnd} to ${lastBegin},`;
}
