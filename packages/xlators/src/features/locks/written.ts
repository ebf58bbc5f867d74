/** Which bytes of a file changed: what whoever copies it must copy once more. Pure. */
import type { Args, FopName, Iatt } from '@mortar/core';

/** From `start` up to, without, `end`; Infinity: to the end of the file, wherever that is. */
export type Span = readonly [start: number, end: number];

/** More are joined to one. */
const spansMax = 1024;

export class Written {
  #spans: Span[] = [];

  add(span: Span | undefined): void {
    if (!span || span[0] >= span[1]) return;
    const last = this.#spans.at(-1);
    // Most writes go on where the last one ended.
    if (last && span[0] >= last[0] && span[0] <= last[1]) {
      this.#spans[this.#spans.length - 1] = [last[0], Math.max(last[1], span[1])];
      return;
    }
    this.#spans.push(span);
    if (this.#spans.length <= spansMax) return;
    this.#spans = joined(this.#spans);
    if (this.#spans.length > spansMax / 2)
      this.#spans = [[this.#spans[0]![0], this.#spans.reduce((end, one) => Math.max(end, one[1]), 0)]];
  }

  /** In order, none touching another. */
  with(other: Written): Span[] {
    return joined([...this.#spans, ...other.#spans]);
  }
}

function joined(spans: readonly Span[]): Span[] {
  const result: Span[] = [];
  for (const span of [...spans].sort((a, b) => a[0] - b[0])) {
    const last = result.at(-1);
    if (last && span[0] <= last[1]) result[result.length - 1] = [last[0], Math.max(last[1], span[1])];
    else result.push(span);
  }
  return result;
}

/** FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE: all behind moves. */
const shifting = 0x08 | 0x20;
/** O_TRUNC */
const truncating = 0o1000;

/** What a fop that ended may have changed of the data; undefined: nothing. */
export function writtenBy(fop: FopName, args: unknown, reply: unknown): Span | undefined {
  const { pre } = (reply ?? {}) as { pre?: Iatt };
  switch (fop) {
    case 'writev': {
      const { append, offset, data, fd } = args as Args<'writev'>;
      // Without knowing where the end was, all may be new. An fd that appends does so whatever is asked for.
      if (append || fd.flags & 0o2000) return [pre?.size ?? 0, Number.POSITIVE_INFINITY];
      return [Math.min(offset, pre?.size ?? 0), offset + data.length];
    }
    case 'truncate':
    case 'ftruncate':
      return [Math.min((args as Args<'truncate'>).size, pre?.size ?? 0), Number.POSITIVE_INFINITY];
    case 'fallocate': {
      const { mode, offset, size } = args as Args<'fallocate'>;
      return mode & shifting ? [offset, Number.POSITIVE_INFINITY] : [offset, offset + size];
    }
    case 'discard':
    case 'zerofill': {
      const { offset, size } = args as Args<'discard'>;
      return [offset, offset + size];
    }
    case 'copy_file_range': {
      const { toOffset, size } = args as Args<'copy_file_range'>;
      return [toOffset, toOffset + size];
    }
    case 'open':
    case 'create':
      return (args as Args<'open'>).flags & truncating ? [0, Number.POSITIVE_INFINITY] : undefined;
    case 'put':
      return [0, Number.POSITIVE_INFINITY];
    default:
      return undefined;
  }
}
