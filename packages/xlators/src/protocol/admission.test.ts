/** Whom a brick lets in, sends away, and what it tells him. */
import { Fd, rootGfid } from '@mortar/core';
import { settle } from '@mortar/rpc/test-rig.ts';
import { describe, expect, it } from 'vitest';
import { root, start } from './link-rig.ts';
import { xlator as server } from './server/index.ts';

const refuse = () => Promise.reject(new Error('unreachable'));

describe('protocol/server', () => {
  it('refuses a subvolume that it does not have, by name', async () => {
    const { types, log } = await start({ client: { 'remote-subvolume': '/bricks/other' } });
    expect(types()).toEqual(['child-connecting', 'child-down']);
    expect(log.lines.join('\n')).toContain("there is no subvolume '/bricks/other' here");
  });

  it('refuses a client that auth.allow does not name', async () => {
    const { types, log } = await start({ server: { 'auth.addr./bricks/b1.allow': '10.0.0.*' } });
    expect(types()).toEqual(['child-connecting', 'child-down', 'refused']);
    expect(log.lines.join('\n')).toContain('is not in auth.addr./bricks/b1.allow');
  });

  it('tells those below when a client is gone for good', async () => {
    const { client, brick, clock, cut, opened, call, network } = await start();
    await client.ops.open(call, { loc: root, flags: 2, fd: new Fd(rootGfid, 2) });
    network.connect = refuse;
    await cut();
    await clock.advance(9999);
    expect(opened[0]!.released).toBe(false);
    await clock.advance(1);
    expect(opened[0]!.released).toBe(true);
    expect(brick.child.events.at(-1)).toMatchObject({ type: 'session-ended' });
  });

  it('passes upcalls to the client that they are for', async () => {
    const { client, brick } = await start();
    const { 'server.client[0].id': clientId } = brick.server.dump();
    brick.child.tell({ type: 'upcall', gfid: rootGfid, what: 'data', clientId: 'somebody else' });
    brick.child.tell({ type: 'upcall', gfid: rootGfid, what: 'metadata', clientId: String(clientId) });
    brick.child.tell({ type: 'upcall', gfid: rootGfid, what: 'entry', name: 'f' });
    await settle();
    expect(client.events.slice(2)).toEqual([
      { type: 'upcall', gfid: rootGfid, what: 'metadata' },
      { type: 'upcall', gfid: rootGfid, what: 'entry', name: 'f' },
    ]);
  });

  describe('told that somebody waits for what a client holds', () => {
    const contended = (brick: Awaited<ReturnType<typeof start>>['brick']) => {
      const clientId = String(brick.server.dump()['server.client[0].id']);
      brick.child.tell({ type: 'upcall', gfid: rootGfid, what: 'lock-contended', domain: 'd', clientId });
      return clientId;
    };
    const silent = (brick: Awaited<ReturnType<typeof start>>['brick']) =>
      brick.child.events.filter(({ type }) => type === 'session-silent');

    const asks = { server: { 'silent-holder-timeout': '3' } };

    it('says which client is silent', async () => {
      const { brick, network, cut, clock } = await start(asks);
      const clientId = contended(brick);
      await settle();
      await clock.advance(5000);
      expect(silent(brick)).toEqual([]);
      network.connect = refuse;
      await cut();
      contended(brick);
      contended(brick);
      await clock.advance(2999);
      expect(silent(brick)).toEqual([]);
      await clock.advance(1);
      expect(silent(brick)).toEqual([{ type: 'session-silent', clientId }]);
      contended(brick);
      await settle();
      expect(silent(brick)).toHaveLength(2);
    });

    it('says nothing of a client whose session has ended, nor where it is not to', async () => {
      const { brick, network, cut, clock } = await start(asks);
      network.connect = refuse;
      await cut();
      await clock.advance(8000);
      contended(brick);
      await clock.advance(1);
      expect(silent(brick)).toHaveLength(1);
      await clock.advance(2000);
      contended(brick);
      await clock.advance(10_000);
      expect(silent(brick)).toHaveLength(1);
      const off = await start();
      off.network.connect = refuse;
      await off.cut();
      contended(off.brick);
      await off.clock.advance(9000);
      expect(silent(off.brick)).toEqual([]);
    });
  });

  it('sends its clients away when the disk is gone, and takes them again when it is back', async () => {
    const { brick, types, clock } = await start();
    brick.child.tell({ type: 'child-down' });
    await settle();
    await clock.advance(5000);
    expect(types().slice(2)).toEqual(['child-down']);
    brick.child.tell({ type: 'child-up' });
    await clock.advance(5000);
    expect(types().slice(3)).toEqual(['session-lost', 'child-up']);
  });

  it('sends away clients that new options do not allow any more', async () => {
    const { brick, types, clock } = await start();
    const values = Object.fromEntries(Object.entries(server.options).map(([name, spec]) => [name, spec.default]));
    const texts = new Map([
      ['auth-path', '/bricks/b1'],
      ['auth.addr./bricks/b1.reject', '*'],
    ]);
    brick.server.reconfigure(values as never, texts);
    await settle();
    await clock.advance(5000);
    expect(types().filter((type) => type === 'child-down')).toHaveLength(1);
    expect(types().at(-1)).toBe('refused');
  });
});
