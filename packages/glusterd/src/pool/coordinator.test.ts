import { describe, expect, it, vi } from 'vitest';
import { CatchUp } from './catch-up.ts';
import { UndecidedError } from './errors.ts';
import { globals, PoolRig, peerOf, poolId, uuidOf } from './rig.ts';

describe('a pool', () => {
  it('has a change on every node when it is decided', async () => {
    const rig = new PoolRig();
    const nodes = await rig.pool(3);
    const before = nodes[0]!.acceptor.version;
    await nodes[1]!.coordinator.transact('set', async (propose) => {
      await propose([globals(1)]);
      await propose([globals(2)]);
    });
    for (const { acceptor, storage } of nodes) {
      expect(acceptor.version).toBe(before + 2);
      expect(acceptor.documents.get('globals')).toEqual(globals(2).value);
      expect(storage.documents).toEqual(expect.arrayContaining([{ ...globals(2), version: before + 2 }]));
      expect(acceptor.lock).toBe(null);
    }
  });

  it('of one node works without others', async () => {
    const { coordinator, acceptor } = await new PoolRig().add(1);
    expect(coordinator.isAlone).toBe(true);
    await coordinator.transact('set', (propose) => propose([globals(1)]));
    expect(coordinator.version).toBe(1);
    await acceptor.found(poolId, peerOf(1));
    expect(acceptor.documents.page(0, acceptor.version).documents.map(({ version }) => version)).toEqual([1, 2]);
  });

  it('names who is away when there is no majority', async () => {
    const rig = new PoolRig();
    const [first] = await rig.pool(3);
    rig.away.add(uuidOf(2)).add(uuidOf(3));
    await expect(first!.coordinator.transact('set', (propose) => propose([globals(1)]))).rejects.toThrow(
      'No majority of the pool can be reached: 1 of 3 members answer. Away: host2, host3. Nothing was changed.',
    );
    rig.away.delete(uuidOf(3));
    await first!.coordinator.transact('set', (propose) => propose([globals(1)]));
  });

  it('says that it does not know when the majority goes in the middle, and finishes the change later', async () => {
    const rig = new PoolRig();
    const [first, second] = await rig.pool(3);
    const attempt = first!.coordinator.transact('set', async (propose) => {
      rig.away.add(uuidOf(2)).add(uuidOf(3));
      await propose([globals(1)]);
    });
    await expect(attempt).rejects.toThrow(UndecidedError);
    rig.away.clear();
    rig.away.add(uuidOf(3));
    second!.acceptor.breakLock();
    await second!.coordinator.transact('look', async () => {});
    expect(second!.acceptor.documents.get('globals')).toEqual(globals(1).value);
  });

  it('tells who waits for the lock who has it and for how long', async () => {
    const rig = new PoolRig();
    const [first, second] = await rig.pool(3);
    await first!.coordinator.transact('volume start v', async () => {
      rig.clock.now += 7000;
      const text = `Another transaction is in progress for the cluster. Please try again after some time. (volume start v by node ${uuidOf(1)}, for 7 s)`;
      for (const { coordinator } of [first!, second!])
        await expect(coordinator.transact('volume set v', async () => {})).rejects.toThrow(text);
      rig.clock.now += 30_000;
      for (const { coordinator } of [first!, second!])
        await expect(coordinator.transact('volume set w', async () => {})).rejects.toThrow('for 37 s)');
    });
    await second!.coordinator.transact('volume set v', async () => {});
  });

  it('has changes of different volumes made one after the other', async () => {
    const rig = new PoolRig();
    const [first, second] = await rig.pool(3);
    const order: string[] = [];
    const change = (node: typeof first, volume: string, value: number) =>
      node!.coordinator.transact(`volume start ${volume}`, async (propose) => {
        order.push(`${volume} begins`);
        rig.clock.now += 3000;
        for (let i = 0; i < 5; i++) await Promise.resolve();
        await propose([globals(value)]);
        order.push(`${volume} ends`);
      });
    await Promise.all([change(first, 'v', 1), change(second, 'w', 2), change(first, 'x', 3)]);
    expect(order).toHaveLength(6);
    for (let i = 0; i < 6; i += 2) expect(order[i + 1]).toBe(order[i]!.replace('begins', 'ends'));
  });

  it('refuses the change of a holder whose lock was broken', async () => {
    const rig = new PoolRig();
    const [first, second] = await rig.pool(3);
    const late = first!.coordinator.transact('late', async (propose) => {
      for (const { acceptor } of rig.nodes.values()) acceptor.breakLock();
      await second!.coordinator.transact('quick', (quick) => quick([globals(1)]));
      await propose([globals(2)]);
    });
    await expect(late).rejects.toThrow('broken or expired, and another operation has taken over');
    expect(first!.acceptor.documents.get('globals')).toEqual(globals(1).value);
  });

  it('lets nobody commit whose lock was broken for good, although nobody else has changed anything', async () => {
    const rig = new PoolRig();
    const [first, second, third] = await rig.pool(3);
    rig.away.add(uuidOf(3));
    const late = first!.coordinator.transact('late', async (propose) => {
      rig.clock.now += 5000;
      expect(await third!.coordinator.holders()).toEqual([]);
      rig.away.delete(uuidOf(3));
      const held = { node: uuidOf(1), operation: 'late', ageMs: 5000, expiresInMs: 175_000, members: 2 };
      expect(await third!.coordinator.holders()).toEqual([held]);
      expect((await third!.coordinator.breakLock()).holders).toEqual([held]);
      await propose([globals(1)]);
    });
    await expect(late).rejects.toThrow('broken or expired, and another operation has taken over');
    for (const { acceptor } of [first!, second!, third!]) expect(acceptor.documents.get('globals')).toBeNull();
    expect(await second!.coordinator.holders()).toEqual([]);
  });

  it('can have its lock broken by the node that holds it, which goes on with other work', async () => {
    const rig = new PoolRig();
    const [first] = await rig.pool(3);
    const late = first!.coordinator.transact('late', async (propose) => {
      await first!.coordinator.breakLock();
      await first!.coordinator.transact('next', (next) => next([globals(1)]));
      await propose([globals(2)]);
    });
    await expect(late).rejects.toThrow('broken or expired');
    expect(first!.acceptor.documents.get('globals')).toEqual(globals(1).value);
  });

  it('finishes what the broken holder had begun to propose', async () => {
    const rig = new PoolRig();
    const [first, second, third] = await rig.pool(3);
    const late = first!.coordinator.transact('late', async (propose) => {
      rig.away.add(uuidOf(2)).add(uuidOf(3));
      await propose([globals(1)]);
    });
    await expect(late).rejects.toThrow(UndecidedError);
    rig.away.clear();
    rig.away.add(uuidOf(3));
    await second!.coordinator.breakLock();
    rig.away.clear();
    await third!.catchUp.fromAll();
    expect(third!.acceptor.documents.get('globals')).toEqual(globals(1).value);
  });

  it('is not broken without a majority', async () => {
    const rig = new PoolRig();
    const [first] = await rig.pool(3);
    rig.away.add(uuidOf(2)).add(uuidOf(3));
    await expect(first!.coordinator.breakLock()).rejects.toThrow('No majority of the pool can be reached');
  });

  it('brings up who was away, when it is back and when it is needed', async () => {
    const rig = new PoolRig();
    const [first, second, third] = await rig.pool(3);
    rig.away.add(uuidOf(3));
    for (let i = 1; i <= 600; i++)
      await first!.coordinator.transact('set', (propose) =>
        propose([{ key: `peer/${uuidOf(2)}`, value: peerOf(2) }, globals(i)]),
      );
    rig.away.clear();
    expect(await third!.catchUp.fromAll()).toBe(2);
    expect(third!.acceptor.version).toBe(first!.acceptor.version);
    rig.away.add(uuidOf(3));
    await first!.coordinator.transact('set', (propose) => propose([globals(601)]));
    rig.away.clear();
    rig.away.add(uuidOf(2));
    await first!.coordinator.transact('set', (propose) => propose([globals(602)]));
    rig.away.clear();
    await second!.coordinator.transact('set', (propose) => propose([globals(603)]));
    expect(third!.acceptor.documents.get('globals')).toEqual(globals(603).value);
  });

  it('never counts on a catch-up that began before it was asked for', async () => {
    const rig = new PoolRig();
    const [first, second, third] = await rig.pool(3);
    const source = first!.acceptor.forPool(poolId);
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const changes = async (since: number) => {
      const page = await source.changes(since);
      await gate;
      return page;
    };
    const catchUp = new CatchUp(third!.acceptor, () => ({ ...source, changes }), rig.clock);
    const early = catchUp.from(uuidOf(1), poolId);
    await new Promise((resolve) => setImmediate(resolve));
    rig.away.add(uuidOf(3));
    await second!.coordinator.transact('set', (propose) => propose([globals(1)]));
    const late = [catchUp.from(uuidOf(1), poolId), catchUp.from(uuidOf(1), poolId)];
    release();
    await Promise.all([early, ...late]);
    expect(third!.acceptor.version).toBe(first!.acceptor.version);
  });

  it('does not believe the promise of a member that it cannot follow', async () => {
    const rig = new PoolRig();
    const [first, second, third] = await rig.pool(3);
    // Decided by the votes of the second and the third; the second alone has learned it.
    const version = first!.acceptor.version + 1;
    const decided = { version, ballot: { round: 100, node: uuidOf(2) }, changes: [globals(1)] };
    for (const { acceptor } of [second!, third!]) await acceptor.forPool(poolId).accept(decided);
    await second!.acceptor.forPool(poolId).learn(decided);
    vi.spyOn(first!.catchUp, 'from').mockResolvedValue();
    await first!.coordinator.transact('set', (propose) => propose([globals(2)]));
    const { documents } = await third!.acceptor.forPool(poolId).changes(0);
    expect(documents).toContainEqual({ ...globals(2), version: version + 1 });
  });

  it('changes members one at a time; a removed one is alone', async () => {
    const rig = new PoolRig();
    const [first, second, third] = await rig.pool(3);
    const remove = (number: number) => ({ key: `peer/${uuidOf(number)}`, value: null });
    await expect(first!.coordinator.transact('detach', (propose) => propose([remove(2), remove(3)]))).rejects.toThrow(
      'one at a time',
    );
    await first!.coordinator.transact('detach', async (propose) => {
      await propose([remove(2)]);
      await propose([remove(3)]);
    });
    expect(first!.coordinator.isAlone).toBe(true);
    for (const { acceptor } of [second!, third!]) expect([acceptor.pool, acceptor.version]).toEqual([null, 0]);
  });

  it('does not take back who was detached by what was waited for', async () => {
    const rig = new PoolRig();
    const [first, second] = await rig.pool(4);
    const gone = `peer/${uuidOf(4)}`;
    let taken = Promise.resolve();
    await first!.coordinator.transact('peer detach d', async (propose) => {
      taken = second!.coordinator.readmit(uuidOf(4));
      taken.catch(() => undefined);
      rig.clock.now += 1000;
      for (let i = 0; i < 20; i++) await Promise.resolve();
      await propose([{ key: gone, value: null }]);
    });
    await expect(taken).rejects.toThrow('is no member');
    expect(first!.acceptor.documents.get(gone)).toBeNull();
  });

  it('of two is left by one, and the other hears of it although it was told nothing', async () => {
    const rig = new PoolRig();
    const [first, second] = await rig.pool(2);
    const version = first!.acceptor.version + 1;
    const changes = [{ key: `peer/${uuidOf(2)}`, value: null }];
    const decided = { version, ballot: { round: 100, node: uuidOf(2) }, changes };
    for (const { acceptor } of [first!, second!]) await acceptor.forPool(poolId).accept(decided);
    await second!.acceptor.forPool(poolId).learn(decided);
    expect(second!.acceptor.pool).toBeNull();
    await expect(first!.coordinator.transact('set', (propose) => propose([globals(1)]))).rejects.toThrow('No majority');
    await first!.catchUp.fromAll();
    expect([first!.acceptor.version, first!.coordinator.isAlone]).toEqual([version, true]);
    await first!.coordinator.transact('set', (propose) => propose([globals(1)]));
  });

  it('hears of who left it what was decided, when too few others are there to find out', async () => {
    const rig = new PoolRig();
    const [first, second, , fourth] = await rig.pool(4);
    const version = first!.acceptor.version + 1;
    const changes = [{ key: `peer/${uuidOf(4)}`, value: null }];
    const decided = { version, ballot: { round: 100, node: uuidOf(1) }, changes };
    for (const { acceptor } of [first!, second!, fourth!]) await acceptor.forPool(poolId).accept(decided);
    await fourth!.acceptor.forPool(poolId).learn(decided);
    rig.away.add(uuidOf(1));
    await second!.catchUp.fromAll();
    await second!.coordinator.transact('set', (propose) => propose([globals(1)]));
    expect(second!.acceptor.version).toBe(version + 1);
  });

  it('of two is not left by one because it says so', async () => {
    const rig = new PoolRig();
    const [first, second] = await rig.pool(2);
    const { version } = first!.acceptor;
    await second!.acceptor.dismissed(poolId, version + 1);
    await first!.catchUp.fromAll();
    expect([first!.acceptor.version, first!.coordinator.isAlone]).toEqual([version, false]);
  });

  it('is not joined by a node with volumes', async () => {
    const rig = new PoolRig();
    const [first] = await rig.pool(1);
    const node = await rig.add(2, undefined, { check: () => {} });
    await node.coordinator.transact('create', (propose) => propose([{ key: 'volume/v', value: {} }]));
    await first!.coordinator.transact('probe', (propose) => propose([{ key: `peer/${uuidOf(2)}`, value: peerOf(2) }]));
    await expect(node.catchUp.join(uuidOf(1), poolId)).rejects.toThrow('volumes of its own');
  });
});
