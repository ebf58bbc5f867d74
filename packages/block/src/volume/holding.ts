/**
 * That a device on a volume is ours: it is attached when it is first used, shows life from then on, may be taken by somebody else,
 * and is given up by `rest` or `close`.
 */
import { type Attachment, Errno, type Failure } from '@mortar/core';
import { type Answer, type Done, done, refuse } from '../device/device.ts';
import { attach, setHolder } from './attach.ts';
import type { FoundDevice } from './catalog.ts';
import type { Description } from './description.ts';
import type { VolumeGraph } from './graph.ts';
import { Shards } from './shards.ts';

export interface HoldingOptions {
  readonly graph: VolumeGraph;
  readonly found: FoundDevice;
  readonly owner: string;
  /** Take it over although its holder shows life. */
  readonly force?: boolean;
  /** A holder that shows no life for so long has lost it to the next one that asks. */
  readonly leaseMs?: number;
  /** How long requests wait for a quorum of bricks. */
  readonly patienceMs?: number;
  readonly settleMs?: number;
}

/** Who uses the device while it is held. */
export interface Holder {
  /** It is held from now on, and is so. */
  attached(description: Description): void;
  /** It is about to be given up: what was written is to be on disk. */
  leaving(): Promise<unknown>;
}

export interface Held {
  readonly attachment: Attachment;
  readonly shards: Shards;
}

const defaultLeaseMs = 20_000;
const defaultPatienceMs = 30_000;
const defaultSettleMs = 30_000;
const origin = 'block';

export class Holding {
  readonly #options: HoldingOptions;
  readonly #graph: VolumeGraph;
  readonly #holder: Holder;
  #held: Held | null = null;
  #stopBeat: () => void = () => undefined;
  /** How often it has shown life. */
  #beats = 0;
  #attaching: Promise<Held | Failure> | null = null;
  #resting: Promise<void> | null = null;
  #isLost = false;
  #isClosed = false;

  constructor(options: HoldingOptions, holder: Holder) {
    this.#options = options;
    this.#graph = options.graph;
    this.#holder = holder;
  }

  get held(): Held | null {
    return this.#held;
  }

  /** Another one has taken it: every use is refused with EKEYREVOKED until the next `rest`. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Attaches it now; if force is asked for, also though another holder shows life, or took it from us. */
  async hold(asked: boolean): Promise<Done> {
    const force = asked || this.#options.force === true;
    // Somebody else may have taken it since it showed life last: what is held with an epoch that is over is of no use.
    if (force && this.#held && !this.#isLost && !this.#resting) await this.#show(this.#held.attachment);
    if (force && this.#isLost) await this.rest();
    const before = this.#attaching ?? this.#held;
    const held = await this.use(force);
    if (!('errno' in held)) return done;
    // An attempt without force was under way.
    const again = force && before !== null && held.errno === Errno.EBUSY ? await this.use(true) : held;
    return 'errno' in again ? again : done;
  }

  /** What it is used by; attaches it, unless it is. */
  use(force = this.#options.force ?? false): Answer<Held | Failure> {
    if (this.#isClosed) return refuse(Errno.ESHUTDOWN);
    if (this.#resting) return this.#resting.then(() => this.use(force));
    if (this.#isLost) return refuse(Errno.EKEYREVOKED);
    if (this.#held) return this.#held;
    this.#attaching ??= this.#attach(force).finally(() => {
      this.#attaching = null;
    });
    return this.#attaching;
  }

  async #attach(force: boolean): Promise<Held | Failure> {
    const { found, owner, leaseMs = defaultLeaseMs, settleMs = defaultSettleMs } = this.#options;
    const reply = await attach(this.#graph, found.gfid, { owner, force, leaseMs, settleMs });
    if (!reply.ok) {
      this.#graph.log.write('WARNING', origin, `device ${found.gfid} cannot be attached: errno ${reply.errno}`);
      return reply;
    }
    const { attachment, description } = reply;
    const lost = () => this.#lose(attachment);
    const patienceMs = this.#options.patienceMs ?? defaultPatienceMs;
    const shards = new Shards({ graph: this.#graph, attachment, shards: reply.shards, patienceMs, lost });
    this.#stopBeat = this.#beat(attachment, leaseMs);
    this.#held = { attachment, shards };
    this.#holder.attached(description);
    this.#graph.log.write('INFO', origin, `device ${found.gfid} is attached: ${owner}, epoch ${attachment.epoch}`);
    return this.#held;
  }

  /** Shows life three times in a lease. */
  #beat(attachment: Attachment, leaseMs: number): () => void {
    let isOver = false;
    const again = () => this.#graph.clock.after(leaseMs / 3, () => void show());
    let timer = again();
    const show = async () => {
      await this.#show(attachment);
      if (!isOver) timer = again();
    };
    return () => {
      isOver = true;
      timer.cancel();
    };
  }

  /** Shows life; or finds out that another one has it. */
  async #show(attachment: Attachment): Promise<void> {
    const { owner } = this.#options;
    const reply = await setHolder(this.#graph, attachment, { owner, epoch: attachment.epoch, beat: ++this.#beats });
    if (!reply.ok && reply.errno === Errno.EKEYREVOKED) this.#lose(attachment);
  }

  #lose(attachment: Attachment): void {
    if (this.#held?.attachment !== attachment || this.#isLost) return;
    this.#isLost = true;
    this.#stopBeat();
    this.#graph.log.write('WARNING', origin, `device ${attachment.device} was taken over by another holder`);
  }

  /** Nobody uses it for now: who asks next may have it. */
  rest(): Promise<void> {
    this.#resting ??= this.#rest().finally(() => {
      this.#resting = null;
    });
    return this.#resting;
  }

  async #rest(): Promise<void> {
    if (this.#attaching) await this.#attaching;
    const held = this.#held;
    if (!held) return;
    if (!this.#isLost) await this.#holder.leaving();
    this.#stopBeat();
    held.shards.end();
    if (!this.#isLost) await setHolder(this.#graph, held.attachment, null);
    this.#held = null;
    this.#isLost = false;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    await this.rest();
    this.#isClosed = true;
  }
}
