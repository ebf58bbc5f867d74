/** Locks that a brick does not give, has dropped, or that ended with their session. */
import { Errno, Fd, locOf } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { contents, create, marks, onBricks, rig, rigs, write } from './test-rig.ts';

const O_RDWR = 2;

describe('a lock that is lost', () => {
  it('does not read from one that would not give its lock', async () => {
    await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60', 'read-hash-mode': '0' });
    const { fd, gfid } = await create(client, 'f', 'old');
    await client.xlator.drain();
    expect(await contents(client.ops, client.call, gfid)).toBe('old');
    client.gates[0]!.fault = (fop) => (fop === 'compound' || fop === 'inodelk' ? Errno.EIO : 'pass');
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    for (const gate of client.gates) gate.fault = () => 'pass';
    expect(await contents(client.ops, client.call, gfid)).toBe('new');
    await client.xlator.drain();
    expect(await contents(client.ops, client.call, gfid)).toBe('new');
  });

  it('takes off no mark that the bricks did not write', async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60' });
    const { gfid } = await create(client, 'f', 'old');
    const setattr = () => client.ops.setattr(client.call, { loc: locOf(gfid), attr: { mode: 0o600 } });
    const refuses = (args: unknown) =>
      (args as { steps?: { fop: string }[] }).steps?.some(({ fop }) => fop === 'setattr') === true;
    await client.xlator.drain();
    for (const gate of client.gates) gate.fault = (_fop, args) => (refuses(args) ? Errno.ESTALE : 'pass');
    expect(await setattr()).toMatchObject({ ok: false });
    await client.xlator.drain();
    for (const gate of client.gates) gate.fault = () => 'pass';
    for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
    expect(await setattr()).toMatchObject({ ok: true });
    await client.xlator.drain();
    for (const brick of bricks) expect(await marks(brick, client.call, gfid)).toEqual({});
  });

  it('refuses a write of a client whose lock a brick has dropped', async () => {
    const { bricks } = await rig();
    const a = await rigs[0]!.client();
    const { fd, gfid } = await create(a, 'f', 'aaaa');
    // The bricks believe the client is gone; the client does not know.
    for (const [i, brick] of bricks.entries())
      for (const child of brick.top.children)
        child.xlator.notify({ type: 'session-ended', clientId: a.gates[i]!.clientId }, brick.top);
    const b = await rigs[0]!.client();
    expect(await write(b, new Fd(gfid, O_RDWR), 'bbbb')).toMatchObject({ ok: true });
    // Its token is worth nothing; it has to lock anew, so both see one order.
    expect(await write(a, fd, 'A')).toMatchObject({ ok: true });
    expect(await onBricks(bricks, a.call, gfid)).toEqual(['Abbb', 'Abbb', 'Abbb']);
  });

  it('locks anew where a lock ended with its session while another one was waited for', async () => {
    const { bricks, lines } = await rig();
    const client = await rigs[0]!.client();
    const { fd, gfid } = await create(client, 'f', 'old');
    await client.xlator.drain();
    const [first, second, third] = client.gates;
    // So it waits for one after the other.
    third!.fault = (fop) => {
      third!.fault = () => 'pass';
      return fop === 'compound' ? Errno.EAGAIN : 'pass';
    };
    let locks = 0;
    second!.late = (fop) => {
      if (fop !== 'compound' || ++locks !== 2) return undefined;
      first!.shutDoor();
      client.xlator.notify({ type: 'session-lost' }, first!);
      first!.openDoor();
      return undefined;
    };
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['new', 'new', 'new']);
    expect(lines.filter((line) => line.includes('marked for healing'))).toEqual([]);
  });

  it('keeps no lock of a new file that ended with its session before all had made it', async () => {
    const { bricks, lines } = await rig();
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60' });
    const [first, second] = client.gates;
    let wasLost = false;
    let compounds = 0;
    // The first one is the lock of the directory.
    second!.late = (fop) => {
      if (fop !== 'compound' || ++compounds !== 2) return undefined;
      wasLost = true;
      return new Promise((resolve) => {
        setTimeout(() => {
          first!.shutDoor();
          client.xlator.notify({ type: 'session-lost' }, first!);
          first!.openDoor();
          resolve();
        }, 20);
      });
    };
    const { gfid, fd } = await create(client, 'f');
    expect(wasLost).toBe(true);
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['new', 'new', 'new']);
    expect(lines.filter((line) => line.includes('marked for healing'))).toEqual([]);
  });

  it('tries again what a brick refused for its lost lock only where nobody has read it', async () => {
    const { bricks } = await rig();
    const end = (clientId: string, lost: readonly number[]) => {
      for (const brick of lost)
        for (const child of bricks[brick]!.top.children)
          child.xlator.notify({ type: 'session-ended', clientId }, bricks[brick]!.top);
    };
    const client = await rigs[0]!.client({ 'post-op-delay-secs': '60' });
    const { clientId } = client.gates[0]!;
    const { fd, gfid } = await create(client, 'f', 'old');
    end(clientId, [0, 1]);
    expect(await write(client, fd, 'new')).toMatchObject({ ok: true });
    expect(await onBricks(bricks, client.call, gfid)).toEqual(['new', 'new', 'new']);
    rigs[0]!.cut(2);
    expect(await write(client, fd, 'one')).toMatchObject({ ok: true });
    end(clientId, [0]);
    // The only one that has it blames the one that is away, and is read.
    expect(await write(client, fd, 'two')).toEqual({ ok: false, errno: Errno.EIO });
    await client.xlator.drain();
    expect(await write(client, fd, 'end')).toMatchObject({ ok: true });
  });
});
