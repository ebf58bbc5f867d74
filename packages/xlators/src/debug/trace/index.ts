/** debug/trace: writes each operation and its reply to the log, or keeps the latest for the state dump. */
import {
  type Call,
  type Fop,
  type FopName,
  type Fops,
  type OptionTable,
  type OptionValues,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { fopList, glusterFopName } from '../../lib/fop-names.ts';
import { describeArgs, describeReply } from './describe.ts';
import { options } from './options.ts';

const dumped = 100;

class Trace extends Xlator {
  #include: ReadonlySet<FopName> | undefined;
  #exclude: ReadonlySet<FopName> | undefined;
  #toLog = false;
  #toHistory = false;
  #limit = 0;
  #history: string[] = [];
  #unique = 0;

  constructor(init: XlatorInit<typeof options>) {
    super(init);
    this.#configure(init.options);
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#configure(values as OptionValues<typeof options>);
  }

  #configure(values: OptionValues<typeof options>): void {
    this.#include = fopList('include-ops', values['include-ops']);
    this.#exclude = fopList('exclude-ops', values['exclude-ops']);
    this.#toLog = values['log-file'];
    this.#toHistory = values['log-history'];
    this.#limit = values['history-size'];
    if (!this.#toHistory) this.#history = [];
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const run = next as Fop<FopName>;
    const traced: Fop<FopName> = (call, args) => {
      if (!this.#toLog && !this.#toHistory) return run(call, args);
      return this.#traces(name) ? this.#trace(name, run, call, args) : run(call, args);
    };
    return traced as unknown as Fops[N];
  }

  #traces(fop: FopName): boolean {
    if (this.#include) return this.#include.has(fop);
    return !this.#exclude?.has(fop);
  }

  async #trace(fop: FopName, run: Fop<FopName>, call: Call, args: Parameters<Fop<FopName>>[1]) {
    const unique = ++this.#unique;
    const who = `uid=${call.uid} gid=${call.gid} pid=${call.pid}${call.internal ? ` (${call.internal})` : ''}`;
    this.#write(`${unique}: ${glusterFopName(fop)} ${who} ${describeArgs(fop, args)}`);
    try {
      const reply = await run(call, args);
      this.#write(`${unique}: ${glusterFopName(fop)} => ${describeReply(fop, reply)}`);
      return reply;
    } catch (error) {
      this.#write(`${unique}: ${glusterFopName(fop)} threw ${String(error)}`);
      throw error;
    }
  }

  #write(line: string): void {
    if (this.#toLog) this.services.log.write('INFO', this.name, line);
    if (!this.#toHistory) return;
    this.#history.push(line);
    // Trimmed in one go now and then, so that a line costs no shifting.
    if (this.#history.length >= 2 * this.#limit) this.#history = this.#history.slice(-this.#limit);
  }

  /** The latest lines, oldest first. */
  history(): string[] {
    return this.#history.slice(-this.#limit);
  }

  override dump(): Record<string, string | number> {
    const lines = this.history().slice(-dumped);
    return Object.fromEntries(lines.map((line, i) => [`history[${i}]`, line]));
  }
}

export const xlator: XlatorType<typeof options> = {
  type: 'debug/trace',
  description: 'Writes each operation and its reply to the log.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new Trace(init),
};
