/** A read that waits for the disk while the file is moved away. */
import { Errno, Fd, locOf, rootGfid } from '@mortar/core';
import * as libc from '@mortar/libc';
import { expect, it } from 'vitest';
import { busyPool } from '../../storage/posix/busy-pool.ts';
import { nextTurn } from './grown-rig.ts';
import { migrateFile } from './migrate.ts';
import { misplaced, spread } from './path-rig.ts';
import { distributeRig } from './rig.ts';

it('gives what the file holds, which is elsewhere by then, and not that it ends there', async () => {
  let isCold = false;
  let emptied = () => {};
  const rig = await distributeRig({
    children: 2,
    storage: 'posix',
    // The mover would wait for the pool, too.
    options: { 'ensure-durability': 'off' },
    sys: {
      preadv2: (...args) => (isCold ? -Errno.EAGAIN : libc.preadv2(...args)),
      ftruncate: (...args) => {
        const result = libc.ftruncate(...args);
        emptied();
        emptied = () => {};
        return result;
      },
    },
  });
  await rig.walk('/');
  const [, path] = await misplaced(rig);
  const from = (await spread(rig, path)).indexOf('data');
  const gfid = await rig.at(path);
  const client = await distributeRig({ children: 2, over: rig });
  for (const door of client.doors) door.session = 'reader';
  const fd = new Fd(gfid, 2);
  await client.walk(path);
  expect(await client.ops.open(client.call, { loc: locOf(gfid), flags: 2, fd })).toMatchObject({ ok: true });
  const data = Buffer.alloc(100_000, 'x');
  expect(await client.ops.writev(client.call, { fd, offset: 0, data })).toMatchObject({ ok: true });

  // Before it is marked, which a read would tell.
  let reading: ReturnType<typeof client.ops.readv> | undefined;
  const begin = async () => {
    isCold = true;
    emptied = busyPool();
    reading = client.ops.readv(client.call, { fd, size: data.length, offset: 0 });
    await nextTurn();
    isCold = false;
  };
  rig.doors[from]!.before = (fop) => (fop === 'setattr' && !reading ? begin() : undefined);
  const file = { parent: rootGfid, name: path.slice(1), gfid, from, to: 1 - from };
  expect(await migrateFile(rig.d, rig.call, file)).toMatchObject({ outcome: 'moved' });
  const reply = await reading!;
  expect(reply).toMatchObject({ ok: true, iatt: { gfid, size: data.length } });
  expect(reply.ok && Buffer.compare(reply.data, data)).toBe(0);
  fd.release();
  await client.close();
  await rig.close();
});
