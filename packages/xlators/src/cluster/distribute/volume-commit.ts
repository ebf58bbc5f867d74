/**
 * The volume's commit hash, on its root: decimal text with a NUL (`trusted.glusterfs.dht.commithash`, /docs/distribute.md, Settled). A
 * rebalance gives the volume a new one, and the same one to the layouts of directories in which no name is where it does not hash to.
 */
import { type Call, locOf, rootGfid } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { changedCommit, type Layout } from './layout.ts';
import { discover, type LookupReply } from './lookup.ts';

/** A directory's that is not the volume's may be the volume's by now; so often that is looked at. */
const looksEveryMs = 10_000;
const textMax = 11;

/** 0 where there never was a rebalance. */
export function volumeCommitOf(d: Distribute, copies: readonly LookupReply[]): number {
  for (const copy of copies) {
    const value = copy.ok ? copy.xattrs[d.names.commit] : undefined;
    if (!value || value.length > textMax) continue;
    const text = Buffer.from(value).toString('latin1').replace(/\0$/, '');
    if (/^\d{1,10}$/.test(text) && Number(text) <= 0xffffffff) return Number(text);
  }
  return 0;
}

/** Gives the volume a commit hash on all copies of its root. False: not all have it. */
export async function giveVolumeCommit(d: Distribute, call: Call, commit: number): Promise<boolean> {
  const own = d.ownCall(call);
  const xattrs = { [d.names.commit]: Buffer.from(`${commit}\0`, 'latin1') };
  const set = await d.ask(d.indices, (child) => child.setxattr(own, { loc: locOf(rootGfid), xattrs, flags: 0 }));
  return set.every((reply) => reply.ok) && (await discover(d, own, rootGfid)).ok && d.volumeCommit === commit;
}

/** Learns of a new one by the directories that have it: nobody looks the root up again by himself. */
export class CommitWatch {
  readonly #d: Distribute;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(d: Distribute) {
    this.#d = d;
  }

  /** A directory other than the root has this layout. */
  saw({ commit }: Layout): void {
    const d = this.#d;
    if (commit <= changedCommit || commit === d.volumeCommit) return;
    const nowMs = d.services.clock.nowMs();
    if (nowMs - this.#lookedMs < looksEveryMs) return;
    this.#lookedMs = nowMs;
    discover(d, d.ownCall(), rootGfid).catch((error: unknown) => {
      d.warn(`the volume's commit hash is not read: ${error instanceof Error ? error.message : String(error)}`);
    });
  }
}
