import { describe, expect, it } from 'vitest';
import { Acceptor } from './acceptor.ts';
import { globals, ManualClock, MemoryStorage, PoolRig, peerOf, poolId, uuidOf } from './rig.ts';
import type { Proposal } from './types.ts';

const ballot = (round: number, node = 1) => ({ round, node: uuidOf(node) });
const proposal = (version: number, round: number, changes = [globals(version)]): Proposal => ({
  version,
  ballot: ballot(round),
  changes,
});

async function open() {
  const clock = new ManualClock();
  const storage = new MemoryStorage();
  const acceptor = await Acceptor.open(uuidOf(1), storage, clock);
  return { clock, storage, acceptor, member: acceptor.forPool(null) };
}

describe('a member', () => {
  it('has on disk what it answers', async () => {
    const { storage, member } = await open();
    expect(await member.lock(ballot(3), 'op', 1000)).toEqual({ granted: true, version: 0, accepted: null });
    expect(storage.state.promised).toEqual(ballot(3));
    expect(await member.accept(proposal(1, 3))).toEqual({ accepted: true });
    expect(storage.state.accepted).toEqual(proposal(1, 3));
    await member.learn(proposal(1, 3));
    expect(storage.state).toMatchObject({ version: 1, accepted: null });
    expect(storage.documents).toEqual([{ ...globals(1), version: 1 }]);
  });

  it('keeps its promise over a restart', async () => {
    const { storage, clock, member } = await open();
    await member.lock(ballot(5), 'op', 1000);
    const again = (await Acceptor.open(uuidOf(1), storage, clock)).forPool(null);
    expect(await again.lock(ballot(4, 2), 'op', 1000)).toMatchObject({ granted: false, promised: ballot(5) });
    expect(await again.accept(proposal(1, 4))).toEqual({ accepted: false, promised: ballot(5), version: 0 });
    expect(await again.lock(ballot(5, 2), 'op', 1000)).toMatchObject({ granted: true });
  });

  it('answers nothing and changes nothing when it cannot write, and looks what is on the disk', async () => {
    const { storage, acceptor, member } = await open();
    storage.whileSaving = () => {
      throw new Error('no space');
    };
    await expect(member.lock(ballot(3), 'op', 1000)).rejects.toThrow('no space');
    expect(acceptor.promised).toBe(null);
    storage.whileSaving = () => {};
    // As if the batch had got there all the same.
    storage.state = { ...storage.state, promised: ballot(3) };
    expect(await member.lock(ballot(2), 'op', 1000)).toMatchObject({ granted: false, promised: ballot(3) });
  });

  it('accepts for the next version only, and only what every node can keep', async () => {
    const { member } = await open();
    expect(await member.accept(proposal(2, 1))).toMatchObject({ accepted: false, version: 0 });
    await expect(member.accept(proposal(1, 1, [{ key: 'globals', value: 'x' } as never]))).rejects.toThrow('not valid');
    const two = [2, 3].map((number) => ({ key: `peer/${uuidOf(number)}`, value: peerOf(number) }));
    await expect(member.accept(proposal(1, 1, two as never))).rejects.toThrow('one at a time');
  });

  it('learns what is next, and nothing twice', async () => {
    const { storage, member } = await open();
    await member.learn(proposal(1, 1));
    await member.learn(proposal(1, 1, [globals(9)]));
    await member.learn(proposal(3, 1));
    expect(storage.state.version).toBe(1);
    expect(storage.documents).toEqual([{ ...globals(1), version: 1 }]);
  });

  it('refuses who names another pool', async () => {
    const { acceptor, member } = await open();
    await expect(acceptor.forPool(poolId).changes(0)).rejects.toThrow('not in that pool');
    await acceptor.found(poolId, peerOf(1));
    await expect(member.lock(ballot(1), 'op', 1000)).rejects.toThrow('not in that pool');
  });
});

describe('the lock of a member', () => {
  it('shows who holds it and since when, expires, and can be broken', async () => {
    const { clock, acceptor, member } = await open();
    await member.lock(ballot(1), 'volume start v', 180_000);
    clock.now += 5000;
    const lock = { node: uuidOf(1), operation: 'volume start v', ageMs: 5000, expiresInMs: 175_000 };
    expect(await member.lock(ballot(2, 2), 'op', 1)).toEqual({ granted: false, promised: ballot(1), lock });
    clock.now += 175_000;
    expect(acceptor.lock).toBe(null);
    expect(await member.lock(ballot(2, 2), 'op', 180_000)).toMatchObject({ granted: true });
    expect(acceptor.breakLock()).toMatchObject({ node: uuidOf(2) });
    expect(await member.lock(ballot(3), 'op', 180_000)).toMatchObject({ granted: true });
  });

  it('is not taken by a request that comes after it was given back', async () => {
    const { acceptor, member } = await open();
    await member.unlock(ballot(2));
    expect(await member.lock(ballot(2), 'op', 1000)).toMatchObject({ granted: false });
    expect(acceptor.lock).toBe(null);
    expect(await member.lock(ballot(3), 'op', 1000)).toMatchObject({ granted: true });
  });

  it("goes over to its node's next operation: the one before it is dead", async () => {
    const { acceptor, member } = await open();
    await member.lock(ballot(2), 'before the crash', 1000);
    expect(await member.lock(ballot(3), 'after it', 1000)).toMatchObject({ granted: true });
    expect(acceptor.lock).toMatchObject({ operation: 'after it' });
  });
});

describe('joining', () => {
  it('never follows a state of the pool that is older than its own removal', async () => {
    const rig = new PoolRig();
    const [first, second] = await rig.pool(3);
    const old = await first!.acceptor.forPool(poolId).changes(0);
    await first!.coordinator.transact('peer detach', (propose) => propose([{ key: `peer/${uuidOf(2)}`, value: null }]));
    const { acceptor, storage } = second!;
    expect(storage.state).toMatchObject({ pool: null, version: 0, left: [{ pool: poolId, version: old.version + 1 }] });
    expect(storage.documents).toEqual([]);
    await expect(acceptor.join(poolId, old)).rejects.toThrow('removed from that pool later');
    const now = await first!.acceptor.forPool(poolId).changes(0);
    await expect(acceptor.join(poolId, now)).rejects.toThrow('not a member of that pool');
  });

  it('takes what one has that was removed for no state of the pool', async () => {
    const rig = new PoolRig();
    const [first, second, third] = await rig.pool(3);
    rig.away.add(uuidOf(3));
    await first!.coordinator.transact('set', (propose) => propose([globals(1)]));
    await first!.coordinator.transact('detach', (propose) => propose([{ key: `peer/${uuidOf(2)}`, value: null }]));
    rig.away.clear();
    // Asked by a node that was in no pool yet, and answered when it had joined through another.
    const farewell = await second!.acceptor.forPool(poolId).changes(0);
    const { acceptor, catchUp } = third!;
    const before = acceptor.version;
    await expect(acceptor.join(poolId, farewell)).rejects.toThrow('was removed from it');
    expect(acceptor.version).toBe(before);
    await catchUp.from(uuidOf(1), poolId);
    expect(acceptor.documents.live()).toEqual(first!.acceptor.documents.live());
  });

  it('is not for what was asked for while it was a member', async () => {
    const rig = new PoolRig();
    const [first, second] = await rig.pool(3);
    const { acceptor, catchUp } = second!;
    await first!.coordinator.transact('set', (propose) => propose([globals(1)]));
    // It hears nothing of its removal until it has asked.
    rig.away.add(uuidOf(2));
    await first!.coordinator.transact('detach', (propose) => propose([{ key: `peer/${uuidOf(2)}`, value: null }]));
    rig.away.clear();
    await catchUp.join(uuidOf(1), poolId);
    expect(acceptor.pool).toBe(null);
    expect(acceptor.documents.live()).toEqual([]);
  });
});
