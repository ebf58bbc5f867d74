import { LinesLog, ManualClock, settle } from '@mortar/rpc/test-rig.ts';
import { describe, expect, it } from 'vitest';
import { UserGroups } from './user-groups.ts';

const ENOENT = 2;
const EIO = 5;

function rig(lifetimeMs = 300_000) {
  const clock = new ManualClock();
  const log = new LinesLog();
  const asked: { uid: number; answer: (groups: readonly number[] | number) => void }[] = [];
  const accounts = {
    groupsOf: (uid: number) =>
      new Promise<readonly number[] | number>((resolve) => asked.push({ uid, answer: resolve })),
  };
  const groups = new UserGroups(accounts, { clock, log }, 'v-server', lifetimeMs);
  const answer = async (value: readonly number[] | number) => {
    asked.shift()!.answer(value);
    await settle();
  };
  return { clock, log, asked, groups, answer };
}

describe('groups of users, on the brick', () => {
  it('are asked for once, and remembered', async () => {
    const { groups, asked, answer } = rig();
    const both = Promise.all([groups.of(7), groups.of(7)]);
    await settle();
    expect(asked.map(({ uid }) => uid)).toEqual([7]);
    await answer([7, 100]);
    expect(await both).toEqual([
      [7, 100],
      [7, 100],
    ]);
    expect(groups.of(7)).toEqual([7, 100]);
  });

  it('serve on when they have grown old, until there are new ones', async () => {
    const { clock, groups, asked, answer } = rig();
    void groups.of(7);
    await settle();
    await answer([7]);
    await clock.advance(300_001);
    expect(groups.of(7)).toEqual([7]);
    await settle();
    expect(asked).toHaveLength(1);
    await answer([7, 8]);
    expect(groups.of(7)).toEqual([7, 8]);
  });

  it('are asked for each time with a lifetime of 0', async () => {
    const { groups, answer } = rig(0);
    const first = groups.of(7);
    await settle();
    await answer([7]);
    expect(await first).toEqual([7]);
    const second = groups.of(7);
    await settle();
    await answer([7, 9]);
    expect(await second).toEqual([7, 9]);
  });

  it('are none of a user that the host does not know, and the log says so', async () => {
    const { log, groups, answer } = rig();
    const asked = groups.of(7);
    await settle();
    await answer(-ENOENT);
    expect(await asked).toEqual([]);
    expect(log.lines.join()).toContain(
      'groups of user 7 cannot be found (server.manage-gids): this host has no such user',
    );
  });

  it('stay as they were while the directory of users fails', async () => {
    const { clock, log, groups, answer } = rig();
    void groups.of(7);
    await settle();
    await answer([7, 8]);
    await clock.advance(300_001);
    void groups.of(7);
    await settle();
    await answer(-EIO);
    expect(groups.of(7)).toEqual([7, 8]);
    expect(log.lines.join()).toContain('EIO; those known before go on');
  });

  it('are asked for one user after the other, and who waits long is told of', async () => {
    const { clock, log, groups, asked, answer } = rig();
    void groups.of(1);
    void groups.of(2);
    await settle();
    expect(asked.map(({ uid }) => uid)).toEqual([1]);
    await clock.advance(5_000);
    expect(log.lines.join()).toContain('the groups of user 1 are looked for since 5 s');
    await answer([1]);
    expect(asked.map(({ uid }) => uid)).toEqual([2]);
  });

  it('can be asked for again after a question that failed as a whole', async () => {
    const clock = new ManualClock();
    const log = new LinesLog();
    let fails = true;
    const groupsOf = async (uid: number) => {
      if (fails) throw new Error('no thread');
      return [uid];
    };
    const groups = new UserGroups({ groupsOf }, { clock, log }, 'v-server', 300_000);
    expect(await groups.of(7)).toEqual([]);
    expect(log.lines.join()).toContain('no thread; its requests run without supplementary groups');
    fails = false;
    expect(await groups.of(8)).toEqual([8]);
  });

  it('are kept of 4096 users', async () => {
    const { groups, asked, answer } = rig();
    for (let uid = 1; uid <= 4097; uid++) {
      void groups.of(uid);
      await settle();
      await answer([uid]);
    }
    expect(groups.of(4097)).toEqual([4097]);
    expect(groups.of(1)).toBeInstanceOf(Promise);
    await settle();
    expect(asked).toHaveLength(1);
  });
});
