/** The terminal: keys by name come in, screens go out. The only place that knows terminal-kit. */
import { createRequire } from 'node:module';
import type { Screen, Style } from './screen.ts';

/** The part of it that is used here. */
interface Drawing {
  noFormat(text: string): unknown;
  readonly inverse: Drawing;
  readonly bold: Drawing;
  readonly brightYellow: Drawing;
}

interface Terminal extends Drawing {
  readonly width: number;
  readonly height: number;
  moveTo(column: number, line: number): unknown;
  hideCursor(hide?: boolean): unknown;
  fullscreen(on: boolean): unknown;
  grabInput(options: false | object): void;
  styleReset(): unknown;
  on(event: 'key', listener: (key: string) => void): unknown;
  on(event: 'resize', listener: () => void): unknown;
  removeAllListeners(event: string): unknown;
}

export class CursesTerminal {
  // Its exports are made when they are asked for, which an import does not see.
  readonly #terminal = (createRequire(import.meta.url)('terminal-kit') as { terminal: Terminal }).terminal;
  #isOpen = false;

  get size(): { width: number; height: number } {
    const { width, height } = this.#terminal;
    return { width: Number.isFinite(width) ? width : 80, height: Number.isFinite(height) ? height : 24 };
  }

  open(press: (key: string) => void, resized: () => void): void {
    this.#isOpen = true;
    this.#terminal.fullscreen(true);
    this.#terminal.grabInput({});
    this.#terminal.on('key', press);
    this.#terminal.on('resize', resized);
  }

  /** As it was before. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#terminal.removeAllListeners('key');
    this.#terminal.grabInput(false);
    this.#terminal.styleReset();
    this.#terminal.hideCursor(false);
    this.#terminal.fullscreen(false);
  }

  show({ lines, cursor }: Screen): void {
    const terminal = this.#terminal;
    // One system call for all of it.
    process.stdout.cork();
    terminal.hideCursor();
    lines.forEach(({ text, style }, line) => {
      terminal.moveTo(1, line + 1);
      this.#drawing(style).noFormat(text);
      terminal.styleReset();
    });
    if (cursor) {
      terminal.moveTo(cursor.column + 1, cursor.line + 1);
      terminal.hideCursor(false);
    }
    process.stdout.uncork();
  }

  #drawing(style: Style) {
    const terminal = this.#terminal;
    if (style === 'bar' || style === 'chosen') return terminal.inverse;
    if (style === 'title') return terminal.bold;
    return style === 'message' ? terminal.brightYellow : terminal;
  }
}
