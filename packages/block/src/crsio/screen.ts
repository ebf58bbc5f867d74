/** What crsio shows, as lines of plain text with a style each. Pure. */
import type { Form } from './form.ts';
import type { Model } from './model.ts';

export type Style = 'bar' | 'title' | 'plain' | 'chosen' | 'message';

export interface Screen {
  /** As many as the terminal is high; each as long as it is wide. */
  readonly lines: readonly { readonly text: string; readonly style: Style }[];
  /** Line and column, from 0; null: nothing is typed. */
  readonly cursor: { readonly line: number; readonly column: number } | null;
}

const keys = ' F1 Help   F3 Save   F7 Action   F8 Remove   F10 Leave ';

/** Lines of a part that has room for `room`, around the one that must be seen. */
function part<T>(lines: readonly T[], at: number, room: number): { shown: readonly T[]; from: number } {
  const from = Math.max(0, Math.min(at - Math.floor(room / 2), lines.length - room));
  return { shown: lines.slice(from, from + room), from };
}

function fields({ fields: all, at, cursor }: Form, room: number, width: number) {
  const labels = Math.max(...all.map(({ field }) => field.label.length));
  const { shown, from } = part(all, at, room);
  // The end of what is longer than the line is seen, as the cursor is there.
  const visible = Math.max(1, width - labels - 8);
  const skip = Math.max(0, cursor - visible + 1);
  const lines = shown.map(({ field, text }, i) => {
    const isAt = from + i === at;
    return {
      text: `  ${field.label.padEnd(labels)} : ${isAt ? text.slice(skip) : text}`,
      style: isAt ? ('chosen' as const) : ('plain' as const),
    };
  });
  return { lines, cursor: { line: at - from, column: labels + 5 + cursor - skip } };
}

export function screenOf(model: Model, file: string, width: number, height: number): Screen {
  const { mode } = model;
  const body: { text: string; style: Style }[] = [];
  let cursor: Screen['cursor'] = null;
  const room = Math.max(1, height - 6);
  if (mode.kind === 'form') {
    body.push({ text: ` ${mode.form.title}`, style: 'title' }, { text: '', style: 'plain' });
    const form = fields(mode.form, room, width);
    cursor = { line: 2 + body.length + form.cursor.line, column: form.cursor.column };
    body.push(...form.lines);
  } else if (mode.kind === 'menu') {
    body.push({ text: ` ${mode.title}`, style: 'title' }, { text: '', style: 'plain' });
    const { shown, from } = part(mode.items, mode.at, room);
    shown.forEach(({ label }, i) => {
      body.push({ text: `  ${label}`, style: from + i === mode.at ? 'chosen' : 'plain' });
    });
  } else if (mode.kind === 'busy') {
    body.push({ text: ` ${mode.text}`, style: 'title' }, { text: '   Esc: go on without it', style: 'plain' });
  } else {
    const { shown, from } = part(model.rows, model.at, room + 1);
    shown.forEach(({ kind, text }, i) => {
      const style = kind === 'title' ? 'title' : from + i === model.at ? 'chosen' : 'plain';
      body.push({ text: ` ${text}`, style });
    });
  }
  const fit = (text: string) => text.slice(0, width).padEnd(width);
  const head = ` RSIO client configuration: ${file}${model.isChanged ? '  [not saved]' : ''}`;
  const lines: { text: string; style: Style }[] = [{ text: head, style: 'bar' }, { text: '', style: 'plain' }, ...body];
  while (lines.length < height - 2) lines.push({ text: '', style: 'plain' });
  const last: typeof lines = [
    { text: ` ${model.message}`, style: 'message' },
    { text: keys, style: 'bar' },
  ];
  const all = [...lines.slice(0, Math.max(0, height - 2)), ...last].slice(-height);
  return { lines: all.map(({ text, style }) => ({ text: fit(text), style })), cursor };
}
