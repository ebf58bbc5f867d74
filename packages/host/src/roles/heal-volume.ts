/** One volume in the heal daemon of a node: its graph, its healers and its pid file, apart from those of the others (docs/heal.md). */
import type { InodeTable, Timer } from '@mortar/core';
import { HealDaemon } from '@mortar/xlators/cluster/replicate/heal-daemon.ts';
import { z } from 'zod';
import type { GraphKeeper } from '../graph/keeper.ts';
import type { Host } from '../host.ts';
import type { ManagementLink } from '../management/link.ts';
import { ManagementVolfileSource } from '../management/volfile-source.ts';
import { claimPidFile, type PidFile } from '../process/pidfile.ts';

/** What glusterd wants to be healed. */
export const wantedVolume = z.object({
  volume: z.string().min(1).max(255),
  /** Of the volume: one that is made anew under the name is another. */
  id: z.string().max(64),
  pidFile: z.string().startsWith('/').max(4096),
});
export type WantedVolume = z.infer<typeof wantedVolume>;

/** How long files that are being healed are waited for before the volume's connections are given up. */
const patienceMs = 3000;
const giveUpAgainMs = 250;
/** After this long it is waited for no more; what is left ends behind. */
const stopLimitMs = 4000;

export class HealVolume {
  readonly wanted: WantedVolume;
  readonly daemon: HealDaemon;
  readonly keeper: GraphKeeper;
  readonly inodes: InodeTable;
  readonly #host: Host;
  readonly #source: ManagementVolfileSource;
  readonly #end: () => Promise<void>;
  readonly #unhear: () => void;
  /** One attempt to start after the other. */
  #attempts: Promise<void> = Promise.resolve();
  #pidFile: PidFile | undefined;
  #problem: string | null = 'it is still being started';
  #stopping: Promise<void> | undefined;

  constructor(host: Host, link: ManagementLink, wanted: WantedVolume) {
    const { clock } = host.services;
    const id = `shd/${wanted.volume}`;
    this.#host = host;
    this.wanted = wanted;
    this.daemon = new HealDaemon(clock);
    // Other servers do not know which volumes this node is to heal.
    this.#source = new ManagementVolfileSource(link, id, undefined, wanted.volume);
    const kept = host.keepVolume(wanted.volume, {
      source: this.#source,
      handOver: (next) => this.daemon.attach(next.graph),
    });
    this.keeper = kept.keeper;
    this.inodes = kept.inodes;
    this.#end = kept.end;
    this.#unhear = link.onNotice('volfile.changed', (params) => {
      if ((params as { id?: unknown } | null | undefined)?.id === id && this.#problem !== null) void this.start();
    });
  }

  /** Why it is not served; null: it is. */
  get problem(): string | null {
    return this.#problem;
  }

  /** If it is served already only its pid file is seen to. Never rejects: `problem` tells. */
  start(): Promise<void> {
    this.#attempts = this.#attempts.then(() => this.#start());
    return this.#attempts;
  }

  async #start(): Promise<void> {
    if (this.#stopping || (this.#problem === null && this.#pidFile?.isOwn)) return;
    try {
      if (!this.keeper.isStarted) await this.daemon.attach((await this.keeper.start()).graph);
      if (this.#stopping) return;
      this.#pidFile = claimPidFile(this.wanted.pidFile);
      this.#problem = null;
      this.#log('INFO', 'is being healed');
    } catch (error) {
      this.#problem = (error as Error).message;
      this.#log('ERROR', `is not healed: ${this.#problem}`);
    }
  }

  /** Resolves when it has let go of the volume, after some seconds in any case. Never rejects. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#problem = 'it is being let go of';
    this.#pidFile?.release();
    this.#unhear();
    // Whoever takes up a volume of this name after this one is told of changes again.
    void this.#source.close();
    const { clock } = this.#host.services;
    let again: Timer = clock.after(patienceMs, () => giveUp());
    const giveUp = () => {
      this.keeper.giveUp();
      again = clock.after(giveUpAgainMs, giveUp);
    };
    const ended = this.#letGo().finally(() => again.cancel());
    await new Promise<void>((resolve) => {
      const limit = clock.after(stopLimitMs, () => {
        this.#log('WARNING', `is let go of, but its graph has not ended in ${stopLimitMs / 1000} s`);
        resolve();
      });
      void ended.then(() => {
        limit.cancel();
        resolve();
      });
    });
  }

  async #letGo(): Promise<void> {
    try {
      await this.#attempts;
      await this.daemon.stop();
    } catch (error) {
      this.#log('ERROR', `while its healing was ended: ${(error as Error).stack}`);
    }
    try {
      await this.#end();
    } catch (error) {
      this.#log('ERROR', `while its graph was ended: ${(error as Error).stack}`);
    }
    this.#log('INFO', 'is let go of');
  }

  #log(level: 'ERROR' | 'WARNING' | 'INFO', text: string): void {
    this.#host.log.write(level, this.wanted.volume, `the volume ${text}`);
  }
}
