/** What clients asked and heard, in one order: the number of an instant rises with every begin and every end. */
export interface Recorded {
  readonly client: string;
  readonly kind: 'read' | 'write';
  readonly key: string;
  value: string;
  readonly begin: number;
  end: number;
}

/** The value with this number; 0: what a register holds before any write. */
export function numbered(number: number): string {
  return `v${number.toString().padStart(6, '0')}`;
}

/** Of a value. */
export function numberIn(value: string): number {
  return Number(value.slice(1));
}

export class History {
  #instant = 0;
  #values = 0;
  readonly operations: Recorded[] = [];

  now(): number {
    return ++this.#instant;
  }

  /** A value that nobody has written yet. */
  nextValue(): string {
    return numbered(++this.#values);
  }

  begin(client: string, kind: 'read' | 'write', key: string, value = ''): Recorded {
    const one: Recorded = { client, kind, key, value, begin: this.now(), end: Number.POSITIVE_INFINITY };
    this.operations.push(one);
    return one;
  }

  end(one: Recorded, value = one.value): void {
    one.value = value;
    one.end = this.now();
  }

  /** By key; reads that failed are left out. */
  registers(): Map<string, Recorded[]> {
    const all = new Map<string, Recorded[]>();
    for (const one of this.operations) {
      if (one.kind === 'read' && one.end === Number.POSITIVE_INFINITY) continue;
      const of = all.get(one.key);
      if (of) of.push(one);
      else all.set(one.key, [one]);
    }
    return all;
  }
}
