import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Errno, type Gfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { a, b, base, type Made, make, vector, xattrop } from './rig.ts';

describe('a brick whose machine went down', () => {
  const dirtyKey = 'trusted.afr.dirty';
  const dirty = (r: Made, gfid: Gfid) => r.counters.files.get(gfid)?.get(dirtyKey)?.toString('hex');
  const again = async (r: Made, boot: string | null) => {
    await r.xlator.fini();
    if (boot === null) rmSync(join(base, 'boot'));
    else if (boot !== '') writeFileSync(join(base, 'boot'), `${boot}\n`);
    await r.xlator.init();
  };

  it('says of what was under a change that it may lack some of it', async () => {
    const r = await make();
    await xattrop(r, a, { [dirtyKey]: vector(1, 0, 2) });
    await xattrop(r, b, { 'trusted.afr.vol-client-1': vector(1) });
    await again(r, 'another boot');
    expect(dirty(r, a)).toBe('000100010000000000010002');
    expect(dirty(r, b)).toBeUndefined();
    // Once: it is known under which boot that was, and twice would be more than heal takes off.
    await again(r, '');
    await again(r, 'yet another boot');
    expect(dirty(r, a)).toBe('000100010000000000010002');
  });

  it('is not one whose process was killed, nor one that was never started before', async () => {
    const r = await make();
    await xattrop(r, a, { [dirtyKey]: vector(1) });
    await again(r, '');
    expect(dirty(r, a)).toBe('000000010000000000000000');
    await again(r, null);
    expect(dirty(r, a)).toBe('000000010000000000000000');
  });

  it('tries again at the next start what it could not mark', async () => {
    const r = await make();
    await xattrop(r, a, { [dirtyKey]: vector(1) });
    const { xattrop: good } = r.child.answers;
    r.child.answers.xattrop = async () => ({ ok: false, errno: Errno.EIO });
    await again(r, 'another boot');
    expect(dirty(r, a)).toBe('000000010000000000000000');
    r.child.answers.xattrop = good!;
    await again(r, '');
    expect(dirty(r, a)).toBe('000100010000000000000000');
  });

  it('forgets what has gone meanwhile, and starts whatever its record holds', async () => {
    const r = await make();
    await xattrop(r, a, { [dirtyKey]: vector(1) });
    r.counters.files.delete(a);
    await again(r, '\0'.repeat(5000));
    await again(r, '');
    expect(readFileSync(join(base, 'boot'), 'latin1')).toMatch(/^[0-9a-f-]{36}\n$/);
  });
});
