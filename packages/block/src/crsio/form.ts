/** A form: fields with a cursor. Pure. */
import type { Read } from '../config/values.ts';

export interface Field {
  readonly key: string;
  readonly label: string;
  readonly value: string;
  /** What may stand there; an empty text is always good if it is not `required`. */
  readonly read: Read<unknown>;
  readonly required?: boolean;
}

/** Longer texts are not taken. */
const textMax = 255;

export class Form {
  readonly title: string;
  readonly fields: { field: Field; text: string }[];
  at = 0;
  cursor: number;

  constructor(title: string, fields: readonly Field[]) {
    this.title = title;
    this.fields = fields.map((field) => ({ field, text: field.value }));
    this.cursor = this.fields[0]!.text.length;
  }

  get values(): Record<string, string> {
    return Object.fromEntries(this.fields.map(({ field, text }) => [field.key, text.trim()]));
  }

  get isLast(): boolean {
    return this.at === this.fields.length - 1;
  }

  /** What is wrong, after the field that is wrong was gone to; null: nothing is. */
  check(): string | null {
    for (const [i, { field, text }] of this.fields.entries()) {
      const value = text.trim();
      const result = value === '' ? null : field.read(value);
      const expected = result ? ('expected' in result ? result.expected : null) : field.required ? 'a value' : null;
      if (expected === null) continue;
      this.go(i);
      return `${field.label}: ${expected} is expected`;
    }
    return null;
  }

  go(at: number): void {
    this.at = (at + this.fields.length) % this.fields.length;
    this.cursor = this.fields[this.at]!.text.length;
  }

  /** A key that moves or edits. */
  press(key: string): void {
    const now = this.fields[this.at]!;
    const { text } = now;
    const put = (next: string, cursor: number) => {
      now.text = next;
      this.cursor = cursor;
    };
    const { cursor } = this;
    if (key === 'UP' || key === 'SHIFT_TAB') this.go(this.at - 1);
    else if (key === 'DOWN' || key === 'TAB') this.go(this.at + 1);
    else if (key === 'LEFT') this.cursor = Math.max(0, cursor - 1);
    else if (key === 'RIGHT') this.cursor = Math.min(text.length, cursor + 1);
    else if (key === 'HOME') this.cursor = 0;
    else if (key === 'END') this.cursor = text.length;
    else if (key === 'CTRL_U') put('', 0);
    else if (key === 'BACKSPACE' && cursor > 0) put(text.slice(0, cursor - 1) + text.slice(cursor), cursor - 1);
    else if (key === 'DELETE') put(text.slice(0, cursor) + text.slice(cursor + 1), cursor);
    else if (/^[\x20-\x7e]$/.test(key) && text.length < textMax)
      put(text.slice(0, cursor) + key + text.slice(cursor), cursor + 1);
  }
}
