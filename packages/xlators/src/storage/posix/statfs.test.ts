import { Errno, Fd, type Gfid, locAt, locOf, type Reply, rootGfid } from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { type PosixRig, posixRig, rootAt } from './rig.ts';

const gfid = '01010101-0101-0101-0101-010101010101' as Gfid;
let rig: PosixRig | null = null;

afterEach(async () => {
  await rig?.close();
  rig = null;
});

async function start(texts: Record<string, string> = {}): Promise<PosixRig> {
  await rig?.close();
  rig = await posixRig(texts);
  return rig;
}

async function sizes({ ops }: PosixRig) {
  const reply: Reply<'statfs'> = await ops.statfs(rootAt(), { loc: locOf(rootGfid) });
  if (!reply.ok) throw new Error(`errno ${reply.errno}`);
  return reply.statfs;
}

describe('the room on a brick', () => {
  it('shows the size of its disk, or none', async () => {
    const shown = async (texts: Record<string, string>) => sizes(await start(texts));
    expect((await shown({})).blocks).toBeGreaterThan(0);
    const none = await shown({ 'export-statfs-size': 'off' });
    expect([none.blocks, none.blocksFree, none.files, none.filesFree]).toEqual([0, 0, 0, 0]);
    expect(none.blockSize).toBeGreaterThan(0);
  });

  it('lets nothing grow below the reserve but for the file system itself', async () => {
    const r = await start({ reserve: '100%' });
    const file = { loc: locAt(rootGfid, 'f'), mode: 0o100644, rdevMajor: 0, rdevMinor: 0, gfid };
    expect(await r.ops.mknod(rootAt(), file)).toEqual({ ok: false, errno: Errno.ENOSPC });
    expect((await sizes(r)).blocksAvailable).toBe(0);
    const heal = rootAt({ internal: 'self-heal' });
    expect(await r.ops.mknod(heal, file)).toMatchObject({ ok: true });
    const write = { fd: new Fd(gfid, 2), offset: 0, data: Buffer.from('x') };
    expect(await r.ops.writev(rootAt(), write)).toEqual({ ok: false, errno: Errno.ENOSPC });
    expect(await r.ops.writev(heal, write)).toMatchObject({ ok: true });
    // What it has room for already does not grow it.
    expect(await r.ops.writev(rootAt(), write)).toMatchObject({ ok: true });
  });
});
