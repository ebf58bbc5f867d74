/** Which times move at which call: access, modification, change; of the object and of its directory. */
import * as libc from '@mortar/libc';
import { type Area, type Case, equal, gives, holds, tick } from './case.ts';
import { alice, must, type World } from './world.ts';

interface Moved {
  mtime: boolean;
  ctime: boolean;
}

const nanoseconds = (sec: number, nsec: number) => BigInt(sec) * 1_000_000_000n + BigInt(nsec);

/** What moved of an object while `run` ran. */
function watch(w: World, names: readonly string[], run: () => unknown): Moved[] {
  const before = names.map((name) => w.stat(name));
  tick();
  run();
  return names.map((name, i) => {
    const [then, now] = [before[i]!, w.stat(name)];
    return {
      mtime: nanoseconds(now.mtime, now.mtimeNsec) > nanoseconds(then.mtime, then.mtimeNsec),
      ctime: nanoseconds(now.ctime, now.ctimeNsec) > nanoseconds(then.ctime, then.ctimeNsec),
    };
  });
}

const both = { mtime: true, ctime: true };
const change = { mtime: false, ctime: true };
const none = { mtime: false, ctime: false };

/** What moves, object by object. `f` and `d/g` are files, `e` is an empty directory. */
function moves(what: string, expected: Readonly<Record<string, Moved>>, run: (w: World) => number): Case {
  return holds(`${what} moves ${describe(expected)}`, (w) => {
    w.file('f', 'text');
    w.directory('d');
    w.file('d/g', 'text');
    w.directory('e');
    const moved = watch(w, Object.keys(expected), () => must(run(w)));
    equal(Object.fromEntries(Object.keys(expected).map((name, i) => [name, moved[i]])), expected);
  });
}

function describe(expected: Readonly<Record<string, Moved>>): string {
  const parts = Object.entries(expected).map(([name, { mtime, ctime }]) => {
    const which = [mtime ? 'mtime' : '', ctime ? 'ctime' : ''].filter((text) => text !== '').join(' and ');
    return `${which || 'nothing'} of ${name}`;
  });
  return parts.join(', ');
}

function withFd(w: World, name: string, run: (fd: number) => number): number {
  return run(w.open(name, libc.O_RDWR));
}

const instants: [string, number, number][] = [
  ['the epoch', 0, 0],
  ['a nanosecond', 1, 1],
  ['the last nanosecond of a second', 1_700_000_000, 999_999_999],
  ['before 1970', -2, 500_000_000],
  ['behind 2038', 4_000_000_000, 123_456_789],
];

export const times: Area = {
  area: 'times',
  cases: [
    moves('write', { f: both, '.': none }, (w) => withFd(w, 'f', (fd) => w.write(fd, 'x', 0))),
    moves('read', { f: none }, (w) => withFd(w, 'f', (fd) => w.read(fd, 1).length)),
    moves('ftruncate', { f: both }, (w) => withFd(w, 'f', (fd) => libc.ftruncate(fd, 1))),
    moves('truncate', { f: both }, (w) => w.truncate('f', 1)),
    moves('fallocate', { f: both }, (w) => withFd(w, 'f', (fd) => libc.fallocate(fd, 0, 0, 100))),
    moves('chmod', { f: change, '.': none }, (w) => w.chmod('f', 0o600)),
    moves('fchmod', { f: change }, (w) => withFd(w, 'f', (fd) => libc.fchmod(fd, 0o600))),
    moves('chown', { f: change }, (w) => w.chown('f', 3, 4)),
    moves('setxattr', { f: change, '.': none }, (w) => libc.setxattr(w.at('f'), 'user.a', Buffer.from('1'))),
    moves('link', { f: change, d: both, '.': none }, (w) => w.link('f', 'd/new')),
    moves('symlink', { '.': both }, (w) => w.symlink('x', 'l')),
    moves('mkdir', { '.': both }, (w) => w.mkdir('new')),
    moves('mknod', { '.': both }, (w) => w.mknod('p', libc.S_IFIFO | 0o600)),
    moves('creation', { '.': both, f: none }, (w) => w.tryOpen('new', libc.O_CREAT | libc.O_RDWR)),
    moves('open of what is there, with O_CREAT', { '.': none, f: none }, (w) =>
      w.tryOpen('f', libc.O_CREAT | libc.O_RDWR),
    ),
    moves('unlink', { d: both, '.': none }, (w) => w.unlink('d/g')),
    moves('rmdir', { '.': both }, (w) => w.rmdir('e')),
    moves('rename within a directory', { '.': both, d: none }, (w) => w.rename('f', 'new')),
    moves('rename from one directory to another', { '.': both, d: both }, (w) => w.rename('f', 'd/new')),
    moves('rename over another', { '.': both, d: both }, (w) => w.rename('f', 'd/g')),
    holds('unlink of one of two names moves ctime of the file', (w) => {
      w.file('f');
      must(w.link('f', 'g'));
      equal(
        watch(w, ['g'], () => must(w.unlink('f'))),
        [change],
      );
    }),
    holds('rename over one of two names moves ctime of what is left', (w) => {
      w.file('f');
      w.file('other');
      must(w.link('f', 'g'));
      equal(
        watch(w, ['g'], () => must(w.rename('other', 'f'))),
        [change],
      );
      equal(w.stat('g').nlink, 1);
    }),
    holds('a call that fails moves nothing', (w) => {
      w.file('f');
      w.directory('d');
      const moved = watch(w, ['f', 'd', '.'], () => {
        w.mkdir('d');
        w.rmdir('f');
        w.unlink('d');
        w.rename('f', 'd');
        w.link('f', 'd');
        w.as(alice, () => [w.chmod('f', 0o777), w.truncate('f', 0), w.mkdir('new')]);
      });
      equal(moved, [none, none, none]);
    }),
    ...instants.map(([what, sec, nsec]) =>
      holds(`utimensat keeps ${what}`, (w) => {
        w.file('f');
        must(w.utimens('f', { sec, nsec }, { sec: sec + 1, nsec }));
        const { atime, atimeNsec, mtime, mtimeNsec } = w.stat('f');
        equal([atime, atimeNsec, mtime, mtimeNsec], [sec, nsec, sec + 1, nsec]);
      }),
    ),
    holds('UTIME_OMIT leaves a time, and of both leaves ctime too', (w) => {
      w.file('f');
      must(w.utimens('f', { sec: 10, nsec: 0 }, { sec: 20, nsec: 0 }));
      must(w.utimens('f', undefined, { sec: 30, nsec: 0 }));
      equal([w.stat('f').atime, w.stat('f').mtime], [10, 30]);
      must(w.utimens('f', { sec: 40, nsec: 0 }, undefined));
      equal([w.stat('f').atime, w.stat('f').mtime], [40, 30]);
      equal(
        watch(w, ['f'], () => must(w.utimens('f', undefined, undefined))),
        [none],
      );
    }),
    holds('UTIME_NOW is now', (w) => {
      w.file('f');
      must(w.utimens('f', { sec: 10, nsec: 0 }, { sec: 20, nsec: 0 }));
      tick();
      must(w.utimens('f', 'now', 'now'));
      const { atime, mtime, ctime } = w.stat('f');
      equal(
        [atime, mtime].every((time) => Math.abs(time - ctime) <= 1),
        true,
      );
    }),
    holds('utimensat of a link is of the link', (w) => {
      w.file('f');
      must(w.symlink('f', 'l'));
      must(w.utimens('l', { sec: 10, nsec: 0 }, { sec: 20, nsec: 0 }));
      equal([w.stat('l').mtime, w.stat('f').mtime === 20], [20, false]);
    }),
    holds('utimensat of a directory', (w) => {
      w.directory('d');
      must(w.utimens('d', { sec: 10, nsec: 0 }, { sec: 20, nsec: 5 }));
      equal([w.stat('d').mtime, w.stat('d').mtimeNsec], [20, 5]);
    }),
    gives('EACCES', 'utimensat to now by who may not write', (w) => {
      w.file('f');
      return w.as(alice, () => w.utimens('f', 'now', 'now'));
    }),
    gives('EPERM', 'utimensat to a time by who does not own', (w) => {
      w.file('f', '', 0o666);
      return w.as(alice, () => w.utimens('f', { sec: 1, nsec: 0 }, { sec: 1, nsec: 0 }));
    }),
    gives('ok', 'utimensat to now by who may write', (w) => {
      w.file('f', '', 0o666);
      return w.as(alice, () => w.utimens('f', 'now', 'now'));
    }),
    holds('the time of birth stays', (w) => {
      w.file('f');
      const { btime, btimeNsec } = w.stat('f');
      tick();
      must(w.chmod('f', 0o600));
      must(w.rename('f', 'g'));
      must(w.utimens('g', { sec: 1, nsec: 0 }, { sec: 1, nsec: 0 }));
      equal([w.stat('g').btime, w.stat('g').btimeNsec], [btime, btimeNsec]);
      equal(btime > 1_500_000_000, true);
    }),
  ],
};
