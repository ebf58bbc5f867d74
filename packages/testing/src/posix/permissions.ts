/** Who may do what: modes, owners, groups, set-id bits and the sticky bit. */
import * as libc from '@mortar/libc';
import { type Area, type Case, equal, gives, holds } from './case.ts';
import { alice, bob, must, type User, type World } from './world.ts';

const { O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = libc;
const EACCES = -13;

/** One of alice's group, and a stranger. */
const friend: User = { uid: 31_003, gid: alice.gid };
const member: User = { uid: 31_004, gid: 32_004, groups: [1, alice.gid, 2] };
const people: Readonly<Record<string, User>> = { owner: alice, group: friend, member, other: bob };

function owned(w: World, name: string, mode: number): void {
  w.file(name, 'x', mode);
  must(w.chown(name, alice.uid, alice.gid));
  must(w.chmod(name, mode));
}

/** For each mode, who of owner, group, member of the group and others may read (r) and write (w). */
const modes: readonly [number, Readonly<Record<string, string>>][] = [
  [0o000, { owner: '', group: '', member: '', other: '' }],
  [0o400, { owner: 'r', group: '', member: '', other: '' }],
  [0o200, { owner: 'w', group: '', member: '', other: '' }],
  [0o640, { owner: 'rw', group: 'r', member: 'r', other: '' }],
  [0o604, { owner: 'rw', group: '', member: '', other: 'r' }],
  [0o066, { owner: '', group: 'rw', member: 'rw', other: 'rw' }],
  [0o006, { owner: '', group: '', member: '', other: 'rw' }],
  [0o660, { owner: 'rw', group: 'rw', member: 'rw', other: '' }],
];

function fileMode([mode, expected]: (typeof modes)[number]): Case {
  return holds(`a file of mode ${mode.toString(8).padStart(3, '0')} is opened by whom it allows`, (w) => {
    owned(w, 'f', mode);
    const got = Object.entries(people).map(([who, user]) => {
      const may = (flags: number) => {
        const result = w.as(user, () => w.tryOpen('f', flags));
        equal(result === 0 || result === EACCES, true, `errno ${-result}`);
        return result === 0;
      };
      return [who, `${may(O_RDONLY) ? 'r' : ''}${may(O_WRONLY) ? 'w' : ''}`];
    });
    equal(Object.fromEntries(got), expected);
  });
}

/** What a directory's mode lets others do in it. */
const directoryRights: readonly [string, number, (w: World) => number][] = [
  ['a look at a name', 0o1, (w) => w.tryStat('d/f')],
  ['opening a file', 0o1, (w) => w.tryOpen('d/f')],
  ['a listing', 0o4, (w) => w.tryOpen('d', libc.O_DIRECTORY)],
  ['a new file', 0o3, (w) => w.tryOpen('d/new', O_CREAT | O_RDWR)],
  ['mkdir', 0o3, (w) => w.mkdir('d/new')],
  ['mknod', 0o3, (w) => w.mknod('d/new', libc.S_IFIFO | 0o600)],
  ['symlink', 0o3, (w) => w.symlink('x', 'd/new')],
  ['unlink', 0o3, (w) => w.unlink('d/f')],
  ['rmdir', 0o3, (w) => w.rmdir('d/e')],
  ['rename', 0o3, (w) => w.rename('d/f', 'd/g')],
];

function directoryRight([what, needed, run]: (typeof directoryRights)[number]): Case {
  return holds(`${what} needs ${needed.toString(8)} on the directory, and no more`, (w) => {
    const lacking = [1, 2, 4].filter((bit) => needed & bit).map((bit) => 7 & ~bit);
    for (const bits of [0, needed, ...lacking]) {
      w.directory('d', 0o700);
      w.file('d/f', '', 0o666);
      w.directory('d/e', 0o777);
      must(w.chmod('d', bits));
      const result = w.as(bob, () => run(w));
      equal([bits, result], [bits, (bits & needed) === needed ? Math.max(0, result) : EACCES]);
      for (const name of ['d/f', 'd/g', 'd/new']) if (w.exists(name) && w.stat(name).type !== 4) must(w.unlink(name));
      for (const name of ['d/e', 'd/new', 'd']) if (w.exists(name)) must(w.rmdir(name));
    }
  });
}

const setId: readonly [string, (w: World, fd: number) => number][] = [
  ['write', (w, fd) => w.write(fd, 'x')],
  ['ftruncate', (_w, fd) => libc.ftruncate(fd, 0)],
  ['fallocate', (_w, fd) => libc.fallocate(fd, 0, 0, 10)],
  ['truncate', (w) => w.truncate('f', 0)],
  ['open with O_TRUNC', (w) => w.tryOpen('f', O_WRONLY | O_TRUNC)],
];

export const permissions: Area = {
  area: 'permissions',
  cases: [
    ...modes.map(fileMode),
    ...directoryRights.map(directoryRight),
    holds('root may read, write and search whatever the mode', (w) => {
      w.directory('d', 0);
      w.file('d/f', 'x', 0);
      equal([w.contents('d/f'), w.names('d')], ['x', ['f']]);
      must(w.write(w.open('d/f', O_WRONLY), 'y'));
    }),
    ...setId.map(([what, run]) =>
      holds(`${what} by another takes set-user-id off, and set-group-id of a program`, (w) => {
        owned(w, 'f', 0o6777);
        must(w.as(bob, () => run(w, must(w.open('f', O_WRONLY)))));
        equal(w.mode('f'), 0o777);
      }),
    ),
    holds('a write by root leaves set-id bits', (w) => {
      owned(w, 'f', 0o6777);
      must(w.write(w.open('f', O_WRONLY), 'x'));
      equal(w.mode('f'), 0o6777);
    }),
    holds('a read leaves set-id bits', (w) => {
      owned(w, 'f', 0o6777);
      w.as(bob, () => w.read(must(w.open('f')), 1));
      equal(w.mode('f'), 0o6777);
    }),
    holds('chown of a program by its owner takes set-id bits off', (w) => {
      owned(w, 'f', 0o6755);
      must(w.as({ ...alice, groups: [32_004] }, () => w.chown('f', -1, 32_004)));
      equal([w.mode('f'), w.stat('f').gid], [0o755, 32_004]);
    }),
    gives('EPERM', 'chmod by who does not own', (w) => {
      owned(w, 'f', 0o666);
      return w.as(bob, () => w.chmod('f', 0o777));
    }),
    gives('ok', 'chmod by the owner', (w) => {
      owned(w, 'f', 0);
      return w.as(alice, () => w.chmod('f', 0o777));
    }),
    holds('chmod by an owner who is not of the group takes set-group-id off', (w) => {
      w.file('f');
      must(w.chown('f', alice.uid, bob.gid));
      must(w.as(alice, () => w.chmod('f', 0o2755)));
      equal(w.mode('f'), 0o755);
    }),
    gives('EPERM', "giving one's file away", (w) => {
      owned(w, 'f', 0o666);
      return w.as(alice, () => w.chown('f', bob.uid, -1));
    }),
    gives('EPERM', 'giving a file to a group one is not in', (w) => {
      owned(w, 'f', 0o666);
      return w.as(alice, () => w.chown('f', -1, bob.gid));
    }),
    gives('ok', 'giving a file to a group one is in', (w) => {
      owned(w, 'f', 0o666);
      return w.as({ ...alice, groups: [77, 32_004] }, () => w.chown('f', -1, 32_004));
    }),
    holds('root gives to anyone, -1 leaves as it is', (w) => {
      w.file('f');
      must(w.chown('f', 5, 6));
      must(w.chown('f', -1, 7));
      must(w.chown('f', 8, -1));
      equal([w.stat('f').uid, w.stat('f').gid], [8, 7]);
    }),
    holds('numbers of users go up to 2^32 - 2', (w) => {
      w.file('f');
      must(w.chown('f', 2 ** 32 - 2, 2 ** 32 - 2));
      equal([w.stat('f').uid, w.stat('f').gid], [2 ** 32 - 2, 2 ** 32 - 2]);
    }),
    holds('what is made belongs to who made it', (w) => {
      w.directory('d', 0o777);
      w.as(alice, () => {
        must(w.tryOpen('d/f', O_CREAT | O_RDWR));
        must(w.mkdir('d/e'));
        must(w.mknod('d/p', libc.S_IFIFO | 0o600));
      });
      for (const name of ['d/f', 'd/e', 'd/p'])
        equal([w.stat(name).uid, w.stat(name).gid], [alice.uid, alice.gid], name);
    }),
    holds('in a directory with set-group-id it belongs to its group, and directories carry the bit on', (w) => {
      w.directory('d', 0o777);
      must(w.chown('d', 0, 4242));
      must(w.chmod('d', 0o2777));
      w.as(alice, () => {
        must(w.tryOpen('d/f', O_CREAT | O_RDWR));
        must(w.mkdir('d/e', 0o755));
      });
      equal([w.stat('d/f').gid, w.mode('d/f'), w.stat('d/e').gid, w.mode('d/e')], [4242, 0o644, 4242, 0o2755]);
    }),
    gives(['EPERM', 'EACCES'], "unlink of another's file in a sticky directory", (w) => {
      w.directory('d', 0o1777);
      must(w.as(bob, () => w.tryOpen('d/f', O_CREAT | O_RDWR)));
      return w.as(alice, () => w.unlink('d/f'));
    }),
    gives(['EPERM', 'EACCES'], "rmdir of another's directory in a sticky directory", (w) => {
      w.directory('d', 0o1777);
      must(w.as(bob, () => w.mkdir('d/e')));
      return w.as(alice, () => w.rmdir('d/e'));
    }),
    gives('ok', "unlink by the sticky directory's owner", (w) => {
      w.directory('d', 0o1777);
      must(w.chown('d', alice.uid, alice.gid));
      must(w.chmod('d', 0o1777));
      must(w.as(bob, () => w.tryOpen('d/f', O_CREAT | O_RDWR)));
      return w.as(alice, () => w.unlink('d/f'));
    }),
    gives('EPERM', 'mknod of a device by who is not root', (w) => {
      w.directory('d', 0o777);
      return w.as(alice, () => w.mknod('d/c', libc.S_IFCHR | 0o600, 1, 3));
    }),
    gives('EACCES', 'truncate by who may not write', (w) => {
      owned(w, 'f', 0o644);
      return w.as(bob, () => w.truncate('f', 0));
    }),
    gives('EACCES', 'a path through a directory that may not be searched', (w) => {
      w.directory('d', 0o700);
      w.directory('d/e', 0o777);
      w.file('d/e/f', '', 0o666);
      return w.as(bob, () => w.tryOpen('d/e/f'));
    }),
    holds('what was opened when it was allowed stays open', (w) => {
      owned(w, 'f', 0o666);
      const fd = w.as(bob, () => must(w.open('f', O_RDWR)));
      must(w.chmod('f', 0));
      equal(
        w.as(bob, () => [w.write(fd, 'y'), w.read(fd, 1, 0)]),
        [1, 'y'],
      );
    }),
    holds('all twelve bits of a mode are kept', (w) => {
      w.file('f');
      w.directory('d');
      for (const mode of [0, 0o7777, 0o1000, 0o4711, 0o2750]) {
        must(w.chmod('f', mode));
        must(w.chmod('d', mode));
        equal([w.mode('f'), w.mode('d')], [mode, mode]);
      }
    }),
  ],
};
