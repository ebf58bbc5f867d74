import { Errno, emptyIatt, Fd, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { fopLimits } from '../frame.ts';
import { someCall } from '../test-rig.ts';
import { iatts, root, world, write } from './session-rig.ts';

const failed = (errno: Errno) => ({ ok: false, errno });

describe('a reply', () => {
  it('that cannot be encoded is EIO to the client and a bug here, of a change as of a read', async () => {
    const { client, run, metrics, log, server } = await world();
    run.now = async () => ({ ok: true }) as never;
    await expect(write(client)).resolves.toEqual(failed(Errno.EIO));
    await expect(client.fop('stat', someCall, { loc: root })).resolves.toEqual(failed(Errno.EIO));
    expect(metrics.sum('rpc_bugs_total')).toBe(2);
    expect(log.lines.filter((line) => line.includes('of client client-1 failed: '))).toHaveLength(2);
    run.now = async () => ({ ok: true, ...iatts }) as never;
    await expect(write(client)).resolves.toMatchObject({ ok: true });
    expect(server.sessions()[0]!.isConnected).toBe(true);
  });

  it('that no frame can hold is EMSGSIZE, and no bug', async () => {
    const { client, run, metrics } = await world({ server: { frameLimits: { ...fopLimits, payloadBytes: 1000 } } });
    run.now = async (_fop, _call, args) =>
      ({ ok: true, data: Buffer.alloc((args as unknown as { size: number }).size), iatt: emptyIatt() }) as never;
    const read = (size: number) => client.fop('readv', someCall, { fd: new Fd(rootGfid, 2), offset: 0, size });
    await expect(read(1001)).resolves.toEqual(failed(Errno.EMSGSIZE));
    await expect(read(1000)).resolves.toMatchObject({ ok: true });
    expect(metrics.sum('rpc_bugs_total')).toBe(0);
  });

  it('to a change is remembered, to a read it is not', async () => {
    const { client, run, server } = await world();
    run.now = async () => ({ ok: true, iatt: emptyIatt() }) as never;
    await client.fop('stat', someCall, { loc: root });
    expect(server.sessions()[0]!.stats.outcomes).toBe(0);
    run.now = async () => ({ ok: true, ...iatts }) as never;
    await write(client);
    expect(server.sessions()[0]!.stats.outcomes).toBe(1);
  });
});
