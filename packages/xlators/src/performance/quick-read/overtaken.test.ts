/** Two writes of one client, of which the brick does the later one first, and a reader who comes in between. */
import { Fd, type Gfid, locAt, locOf, parseOptions, rootGfid } from '@mortar/core';
import { afterEach, expect, it } from 'vitest';
import { type PosixRig, posixRig, rootAt } from '../../storage/posix/rig.ts';
import { xlator } from './index.ts';

const gfid = '11111111-1111-4111-8111-111111111111' as Gfid;
let brick: PosixRig | undefined;
afterEach(() => brick?.close());

it('are both seen by who opens the file when they are done', async () => {
  brick = await posixRig();
  const { ops, services } = brick;
  const texts = new Map<string, string>();
  const { values: options } = parseOptions(xlator.options, texts);
  const cache = xlator.create({ name: 'cache', type: xlator.type, options, texts, services });
  cache.bind([ops], undefined);
  const written = new Fd(gfid, 2);
  const writer = (ms: number) => rootAt({ clientId: 'writer', time: { sec: 1_900_000_000, nsec: ms * 1e6 } });
  const write = async (ms: number, offset: number, text: string) => {
    const reply = await ops.writev(writer(ms), { fd: written, offset, data: Buffer.from(text) });
    expect(reply).toMatchObject({ ok: true, written: text.length });
  };
  const read = async () => {
    const fd = new Fd(gfid, 0);
    expect(await cache.ops.open(rootAt(), { loc: locOf(gfid), flags: 0, fd })).toMatchObject({ ok: true });
    const reply = await cache.ops.readv(rootAt(), { fd, offset: 0, size: 100 });
    fd.release();
    return reply.ok ? Buffer.from(reply.data).toString() : reply.errno;
  };
  await ops.create(writer(0), { loc: locAt(rootGfid, 'f'), flags: 0o102, mode: 0o644, gfid, fd: written });
  await write(1, 0, 'aaaabbbb');
  await write(3, 4, 'BBBB');
  expect(await read()).toBe('aaaaBBBB');
  await write(2, 0, 'AAAA');
  written.release();
  expect(await read()).toBe('AAAABBBB');
});
