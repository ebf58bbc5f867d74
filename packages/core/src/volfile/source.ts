import type { Position } from './types.ts';

/** Where pieces of an expanded text came from; `literal` ones were copied, others are a command's output. */
export type SourceMap = { at: number; from: number; literal: boolean }[];

/** A text to read, and, if commands were expanded in it, the text that stands in the file. */
export interface Source {
  readonly file: string;
  readonly text: string;
  readonly map?: SourceMap;
  readonly original?: string;
}

/**
 * Position in the file of an offset in the text. Counts from `near`, a known position at or before it, so that asking
 * for one token after the other takes linear time.
 */
export function positionOf(source: Source, offset: number, near?: Located): Located {
  const text = source.original ?? source.text;
  const target = originalOffset(source, offset);
  const start = near && near.offset <= target ? near : { file: source.file, line: 1, column: 1, offset: 0 };
  let { line, column } = start;
  for (let i = start.offset; i < target; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x0a) {
      line++;
      column = 1;
    } else column += utf8Length(code);
  }
  return { file: source.file, line, column, offset: target };
}

export interface Located extends Position {
  /** In the text of the file. */
  readonly offset: number;
}

function originalOffset(source: Source, offset: number): number {
  if (!source.map) return offset;
  let low = 0;
  let high = source.map.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (source.map[middle]!.at <= offset) low = middle;
    else high = middle - 1;
  }
  const piece = source.map[low]!;
  return piece.literal ? piece.from + offset - piece.at : piece.from;
}

/** Bytes of one UTF-16 unit in UTF-8; each half of a surrogate pair counts two of its four. */
function utf8Length(code: number): number {
  if (code < 0x80) return 1;
  if (code < 0x800) return 2;
  return code >= 0xd800 && code <= 0xdfff ? 2 : 3;
}
