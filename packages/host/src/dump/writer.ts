/** Writes state dumps where tools look for them. */
import { readFileSync } from 'node:fs';
import type { Clock } from '@mortar/core';
import { stamp } from '../ports/log.ts';
import { runDirectory } from '../process/directories.ts';
import { type DumpSection, dumpText } from './sections.ts';
import { ReportError, writeReport } from './write-report.ts';

export class StateDumper {
  readonly #sections = new Set<() => readonly DumpSection[]>();
  readonly #clock: Clock;
  readonly #prefix: string;
  #place: () => string | undefined = () => undefined;

  /** `brickPath`: names a brick's dumps, `/d/b0` → `d-b0.PID.dump.TIME`. */
  constructor(clock: Clock, brickPath?: string) {
    this.#clock = clock;
    this.#prefix = brickPath?.replace(/^\/+/, '').replaceAll('/', '-') ?? 'glusterdump';
  }

  /** Asked at every dump, in the order added. The result ends it. */
  add(sections: () => readonly DumpSection[]): () => void {
    this.#sections.add(sections);
    return () => this.#sections.delete(sections);
  }

  /** Where dumps go instead of the run directory, asked at every dump; `glusterdump.options` has the last word. */
  placeAt(place: () => string | undefined): void {
    this.#place = place;
  }

  /** The text of a dump now. */
  text(): string {
    const started = stamp(this.#clock.wall());
    const sections = [...this.#sections].flatMap((ask) => ask());
    return dumpText(sections, started, stamp(this.#clock.wall()));
  }

  /** Makes the file, complete at once, and returns its path. Throws ReportError. */
  write(): string {
    const directory = givenDirectory() ?? (this.#place() || runDirectory);
    const path = `${directory}/${this.#prefix}.${process.pid}.dump.${this.#clock.wall().sec}`;
    writeReport(path, this.text(), 'a state dump', `give dumps another place by path=DIR in ${optionsFile}`);
    return path;
  }
}

const optionsFile = `${runDirectory}/glusterdump.options`;

/** `path=DIR` in glusterdump.options moves the dumps of all processes. */
function givenDirectory(): string | undefined {
  try {
    const match = /^path=(\/.*)$/m.exec(readFileSync(optionsFile, 'utf8'));
    return match?.[1]?.replace(/\/+$/, '') || undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new ReportError(`no state dump: ${optionsFile} cannot be read: ${(error as Error).message}`, error);
  }
}
