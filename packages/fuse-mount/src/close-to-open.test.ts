/** What a program reads through a file that it has just opened, while other clients go on changing it. Needs root and /dev/fuse. */
import { execFile } from 'node:child_process';
import { constants, mkdtempSync, rmSync } from 'node:fs';
import { chmod, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fd, type Gfid, InodeTable, locOf, rootCall, type Services, type Subvolume } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { SystemRandom } from '@mortar/host/ports/random.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FuseMount, mountFuse } from './index.ts';
import { canMount } from './mount-rig.ts';
import { memory } from './session/session-rig.ts';

const services: Services = {
  clock: new SystemClock(),
  random: new SystemRandom(),
  log: { level: 'INFO', setLevel: () => {}, write: () => {} },
  metrics: { counter: () => ({ add: () => {} }), histogram: () => ({ record: () => {} }) },
  inodes: new InodeTable(),
  port: (name) => {
    throw new Error(`no port ${name}`);
  },
};
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.skipIf(!canMount())('a file that others go on changing', () => {
  const { ops } = memory(services);
  let folder = '';
  let mount: FuseMount;
  let changing: Gfid | undefined;
  /** A round trip to a brick, which tells on the way of a change by somebody else. */
  const slow = <A extends unknown[], R>(fop: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      const reply = await fop(...args);
      await pause(10);
      if (changing) mount.upcall({ type: 'upcall', gfid: changing, what: 'data' });
      await pause(10);
      return reply;
    };
  };
  /** Answers to questions for attributes, each kept until it is let go; null: none is kept. */
  let kept: (() => void)[] | null = null;
  const keeping = <A extends unknown[], R>(fop: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      const reply = await fop(...args);
      if (kept) await new Promise<void>((go) => kept!.push(go));
      return reply;
    };
  };
  const top: Subvolume = { ...ops, stat: slow(keeping(ops.stat)), fstat: slow(keeping(ops.fstat)) };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'mortar-mount-'));
    mount = await mountFuse({
      mountPoint: folder,
      source: 'localhost:/memory',
      services,
      clientId: 'test',
      top,
      session: {},
      options: { session: {}, kernelFlags: [], kernelOptions: [] },
    });
  });
  afterAll(async () => {
    await mount.unmount();
    await mount.closed;
    rmSync(folder, { recursive: true });
  });

  const sh = (script: string): Promise<string> =>
    new Promise((resolve, reject) => {
      execFile('bash', ['-ec', `cd ${folder}\n${script}`], { cwd: '/', timeout: 50_000 }, (error, stdout) =>
        error ? reject(error) : resolve(stdout),
      );
    });

  it('has what was written when it was opened', async () => {
    await sh('printf 1, > log');
    const gfid = [...services.inodes.all()].find(({ name }) => name === 'log')!.gfid;
    const fd = new Fd(gfid, constants.O_WRONLY);
    const call = rootCall(services.clock);
    expect(await ops.open(call, { loc: locOf(gfid), flags: constants.O_WRONLY, fd })).toMatchObject({ ok: true });
    let expected = '1,';
    changing = gfid;
    for (let i = 2; i < 12; i++) {
      expect(await sh('cat log')).toBe(expected);
      const data = Buffer.from(`${i},`);
      expect(await ops.writev(call, { fd, offset: 0, data, append: true })).toMatchObject({ ok: true });
      expected += `${i},`;
    }
  });

  it('is as long as it was when it was opened, though the kernel was told both what it was before and what it is', async () => {
    await sh('printf old > told');
    const gfid = [...services.inodes.all()].find(({ name }) => name === 'told')!.gfid;
    const held = await open(join(folder, 'told'), 'r+');
    // By an own change the kernel forgets the attributes, and keeps the name.
    await held.write('o', 0);
    const questions: (() => void)[] = [];
    kept = questions;
    const stats = [held.stat()];
    while (questions.length < 1) await pause(1);
    const fd = new Fd(gfid, constants.O_WRONLY);
    const call = rootCall(services.clock);
    await ops.open(call, { loc: locOf(gfid), flags: constants.O_WRONLY, fd });
    stats.push(held.stat());
    await ops.writev(call, { fd, offset: 3, data: Buffer.from(' and new') });
    while (questions.length < 2) await pause(1);
    fd.release();
    kept = null;
    questions[0]!();
    await stats[0];
    questions[1]!();
    await stats[1];
    const opened = await open(join(folder, 'told'), 'r');
    const { bytesRead } = await opened.read(Buffer.alloc(20), 0, 20, 0);
    await opened.close();
    await held.close();
    expect(bytesRead).toBe(11);
  });

  it('has what another client has written, when its attributes have timed out, though its mode was changed here meanwhile', async () => {
    await sh('printf old > held');
    const gfid = [...services.inodes.all()].find(({ name }) => name === 'held')!.gfid;
    const held = await open(join(folder, 'held'), 'r');
    const read = async () => (await held.read(Buffer.alloc(10), 0, 10, 0)).buffer.toString('latin1', 0, 3);
    try {
      expect(await read()).toBe('old');
      const fd = new Fd(gfid, constants.O_WRONLY);
      const call = rootCall(services.clock);
      await ops.open(call, { loc: locOf(gfid), flags: constants.O_WRONLY, fd });
      await ops.writev(call, { fd, offset: 0, data: Buffer.from('new') });
      fd.release();
      // Its answer has the other client's time of modification, which the kernel takes for its own doing.
      await chmod(join(folder, 'held'), 0o600);
      await pause(1200);
      expect(await read()).toBe('new');
    } finally {
      await held.close();
    }
  });
});
