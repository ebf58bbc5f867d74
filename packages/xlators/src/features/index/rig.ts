/** What the tests of the whole translator share: an index in a directory of its own, over a child with counters. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Errno, type Gfid, locOf, type Xattrs } from '@mortar/core';
import { afterEach, beforeEach } from 'vitest';
import { type Rig, rig, rigCall, rigServices } from '../../lib/translator-rig.ts';
import { type IndexXlator, xlator } from './index.ts';

export const a = 'aaaaaaaa-0000-0000-0000-000000000001' as Gfid;
export const b = 'bbbbbbbb-0000-0000-0000-000000000002' as Gfid;
export let brick: string;
export let base: string;
let open: Rig<IndexXlator>[] = [];

beforeEach(() => {
  brick = mkdtempSync(join(tmpdir(), 'mortar-index-'));
  base = join(brick, 'indices');
});

afterEach(async () => {
  for (const r of open) await r.xlator.fini();
  open = [];
  rmSync(brick, { recursive: true });
});

/** A child with counters, as posix keeps them. */
class Counters {
  readonly files = new Map<Gfid, Map<string, Buffer>>();

  apply(gfid: Gfid, values: Xattrs): Xattrs {
    const file = this.files.get(gfid) ?? new Map<string, Buffer>();
    this.files.set(gfid, file);
    const result: Xattrs = {};
    for (const [name, delta] of Object.entries(values)) {
      const now = Buffer.from(file.get(name) ?? Buffer.alloc(delta.length));
      for (let i = 0; i < now.length; i += 4)
        now.writeInt32BE((now.readInt32BE(i) + Buffer.from(delta).readInt32BE(i)) | 0, i);
      file.set(name, now);
      result[name] = now;
    }
    return result;
  }

  want(gfid: Gfid, names: readonly string[]): Xattrs {
    const matches = (name: string) =>
      names.some((want) => (want.endsWith('*') ? name.startsWith(want.slice(0, -1)) : name === want));
    return Object.fromEntries([...(this.files.get(gfid) ?? [])].filter(([name]) => matches(name)));
  }
}

let seed = 1;

export async function make(options: Record<string, string> = {}, counters = new Counters()) {
  const r = await rig<typeof xlator.options, IndexXlator>(
    xlator,
    {
      'index-base': base,
      'xattrop-pending-watchlist': 'trusted.afr.vol-',
      ...options,
    },
    rigServices(seed++),
  );
  open.push(r);
  r.child.answers.xattrop = async (_, { loc, values }) => ({ ok: true, xattrs: counters.apply(loc.gfid!, values) });
  r.child.answers.lookup = async (_, { loc, want }) =>
    counters.files.has(loc.gfid!)
      ? ({ ok: true, iatt: {}, postParent: {}, xattrs: counters.want(loc.gfid!, want ?? []) } as never)
      : { ok: false, errno: Errno.ESTALE };
  return { ...r, counters };
}

export type Made = Awaited<ReturnType<typeof make>>;

export function vector(data: number, metadata = 0, entry = 0): Buffer {
  const bytes = Buffer.alloc(12);
  for (const [i, n] of [data, metadata, entry].entries()) bytes.writeInt32BE(n, 4 * i);
  return bytes;
}

export function xattrop(r: Made, gfid: Gfid, values: Xattrs, pendingNames?: string[]) {
  const args = { loc: locOf(gfid), operation: 'add32' as const, values };
  return r.xlator.ops.xattrop(rigCall('c'), pendingNames ? { ...args, xdata: { pendingNames } } : args);
}

export function entries(kind: string): string[] {
  return readdirSync(join(base, kind))
    .filter((name) => !name.startsWith(`${kind}-`))
    .sort();
}

export async function ask(r: Made, operation: string, data: unknown, call = rigCall('shd', { internal: 'self-heal' })) {
  const reply = await r.xlator.ops.ipc(call, { operation, data: Buffer.from(JSON.stringify(data)) });
  return reply.ok ? JSON.parse(Buffer.from(reply.data!).toString()) : reply.errno;
}
