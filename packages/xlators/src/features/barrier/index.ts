import {
  type Args,
  type Call,
  Errno,
  type Fop,
  type FopName,
  type Fops,
  fail,
  type OptionTable,
  type OptionValues,
  type Reply,
  runSteps,
  type Timer,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { options } from './options.ts';

type Values = OptionValues<typeof options>;

/** Whose success a client takes as a promise: a name is gone, bytes are on the disk. */
const held: ReadonlySet<FopName> = new Set([
  'unlink',
  'rmdir',
  'rename',
  'truncate',
  'ftruncate',
  'fsync',
  'fsyncdir',
  'removexattr',
  'fremovexattr',
]);
/** O_SYNC contains O_DSYNC. */
const synchronous = 0o10000;

/** While closed: such operations are done, but their replies wait until it opens. */
export class Barrier extends Xlator {
  #closed = false;
  #timeoutMs: number;
  #timer: Timer | null = null;
  #waiting: (() => void)[] = [];
  #option: boolean;

  constructor(init: XlatorInit) {
    super(init);
    const values = init.options as Values;
    this.#timeoutMs = values['barrier-timeout'] * 1000;
    this.#option = values.barrier;
  }

  override async init(): Promise<void> {
    if (this.#option) this.lower();
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    const { barrier, 'barrier-timeout': timeout } = values as Values;
    this.#timeoutMs = timeout * 1000;
    if (barrier === this.#option) return;
    this.#option = barrier;
    if (barrier) this.lower();
    else this.lift();
  }

  /** False if it was closed already. */
  lower(): boolean {
    if (this.#closed) return false;
    this.#closed = true;
    this.#timer = this.services.clock.after(this.#timeoutMs, () => {
      this.services.log.write('CRITICAL', this.name, 'Disabling barrier because of the barrier timeout.');
      this.lift();
    });
    return true;
  }

  /** Lets all replies go, in the order in which they came. False if it was open already. */
  lift(): boolean {
    if (!this.#closed) return false;
    this.#closed = false;
    this.#timer?.cancel();
    this.#timer = null;
    for (const go of this.#waiting.splice(0)) go();
    return true;
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const bound = super.bindFop(name, next) as Fop<FopName>;
    if (!held.has(name)) return bound as Fops[N];
    const holding: Fop<FopName> = async (call, args) => {
      const reply = await bound(call, args);
      return this.#closed ? this.#hold(reply) : reply;
    };
    return holding as Fops[N];
  }

  async writev(call: Call, args: Args<'writev'>): Promise<Reply<'writev'>> {
    const reply = await this.child.writev(call, args);
    const durable = args.sync || (args.fd.flags & synchronous) !== 0;
    return this.#closed && durable ? this.#hold(reply) : reply;
  }

  compound(call: Call, args: Args<'compound'>): Promise<Reply<'compound'>> {
    return runSteps(this.ops, call, args.steps);
  }

  #hold<R>(reply: R): Promise<R> {
    return new Promise((resolve) => this.#waiting.push(() => resolve(reply)));
  }

  /** `barrier.close` and `barrier.open`, by glusterd: EALREADY if it is so already. */
  async ipc(call: Call, args: Args<'ipc'>): Promise<Reply<'ipc'>> {
    const { operation } = args;
    if (operation !== 'barrier.close' && operation !== 'barrier.open') return this.child.ipc(call, args);
    if (call.uid !== 0) return fail(Errno.EPERM);
    const changed = operation === 'barrier.close' ? this.lower() : this.lift();
    return changed ? { ok: true } : fail(Errno.EALREADY);
  }

  override async drain(): Promise<void> {
    this.lift();
  }

  override async fini(): Promise<void> {
    this.lift();
  }

  override dump(): Record<string, string | number | boolean> {
    return { enabled: this.#closed, timeout: this.#timeoutMs / 1000, waiting: this.#waiting.length };
  }
}

export const xlator: XlatorType<typeof options> = {
  type: 'features/barrier',
  description: 'Holds back replies while a snapshot is taken.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new Barrier(init as XlatorInit),
};
