import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeOf, inMemory } from './gfapi-rig.ts';
import type { Volume } from './volume.ts';

let v: Volume;
beforeEach(async () => {
  v = await inMemory();
});
afterEach(() => v.close());

describe('files', () => {
  it('are written and read whole', async () => {
    await v.writeFile('/f', 'text');
    expect(await v.readFile('/f', 'utf8')).toBe('text');
    expect(await v.readFile('/f')).toEqual(Buffer.from('text'));
    await v.appendFile('/f', Buffer.from(' more'));
    expect(await v.readFile('/f', { encoding: 'latin1' })).toBe('text more');
    await v.writeFile('/f', 'new', { flag: 'r+' });
    expect(await v.readFile('/f', 'utf8')).toBe('newt more');
    await v.writeFile('/f', 'short');
    expect(await v.readFile('/f', 'utf8')).toBe('short');
  });

  it('are written from what is iterated', async () => {
    const pieces = async function* () {
      yield 'one ';
      yield Buffer.from('two');
    };
    await v.writeFile('/f', pieces());
    await v.writeFile('/g', ['a', 'b']);
    expect([await v.readFile('/f', 'utf8'), await v.readFile('/g', 'utf8')]).toEqual(['one two', 'ab']);
  });

  it('of many pieces are whole', async () => {
    const data = Buffer.alloc(9_500_001, 'abcdefghijklm');
    await v.writeFile('/f', data);
    expect((await v.stat('/f')).size).toBe(data.length);
    expect(data.equals((await v.readFile('/f')) as Buffer)).toBe(true);
    expect(await v.readFile('/f', 'latin1')).toHaveLength(data.length);
  });

  it('have the mode that umask leaves', async () => {
    await v.writeFile('/f', '', { mode: 0o666 });
    await v.mkdir('/d');
    expect([(await v.stat('/f')).mode, (await v.stat('/d')).mode]).toEqual([0o100644, 0o040755]);
  });

  it('are copied', async () => {
    await v.writeFile('/f', Buffer.alloc(3_000_000, 'xy'), { mode: 0o640 });
    await v.copyFile('/f', '/g');
    const [a, b] = [(await v.readFile('/f')) as Buffer, (await v.readFile('/g')) as Buffer];
    expect(a.equals(b)).toBe(true);
    expect((await v.stat('/g')).mode & 0o777).toBe(0o640);
    expect(await codeOf(v.copyFile('/f', '/g', 1))).toBe('EEXIST');
  });

  it('are cut and made longer', async () => {
    await v.writeFile('/f', 'abcdef');
    await v.truncate('/f', 2);
    await v.truncate('/f', 4);
    expect(await v.readFile('/f', 'latin1')).toBe('ab\0\0');
    expect(await codeOf(v.truncate('/', 0))).toBe('EISDIR');
    expect(await codeOf(v.truncate('/f', -1))).toBe('ERR_INVALID_ARG_VALUE');
  });
});

describe('errors', () => {
  it('are as node has them', async () => {
    const error = (await v.open('/none').catch((e: unknown) => e)) as NodeJS.ErrnoException;
    expect(error).toBeInstanceOf(Error);
    expect({ ...error, message: error.message }).toEqual({
      errno: -2,
      code: 'ENOENT',
      syscall: 'open',
      path: '/none',
      message: "ENOENT: no such file or directory, open '/none'",
    });
    const two = (await v.rename('/a', '/b').catch((e: unknown) => e)) as NodeJS.ErrnoException;
    expect(two.message).toBe("ENOENT: no such file or directory, rename '/a' -> '/b'");
  });

  it.each([
    ['a file in the middle of a path', () => v.writeFile('/f', '').then(() => v.stat('/f/x')), 'ENOTDIR'],
    ['a slash behind a file', () => v.writeFile('/f', '').then(() => v.stat('/f/')), 'ENOTDIR'],
    ['an empty path', () => v.stat(''), 'ENOENT'],
    ['a name of 256 bytes', () => v.stat(`/${'x'.repeat(256)}`), 'ENAMETOOLONG'],
    ['a path of 4096 bytes', () => v.stat('/x'.repeat(2048)), 'ENAMETOOLONG'],
    ['a null byte', () => v.stat('/a\0b'), 'ERR_INVALID_ARG_VALUE'],
    ['writing a directory', () => v.writeFile('/', ''), 'EISDIR'],
    ['removing a directory as a file', () => v.mkdir('/d').then(() => v.unlink('/d')), 'EISDIR'],
    ['removing a file as a directory', () => v.writeFile('/f', '').then(() => v.rmdir('/f')), 'ENOTDIR'],
    ['removing the root', () => v.rmdir('/'), 'EBUSY'],
    ['removing .', () => v.rmdir('/.'), 'EINVAL'],
    ['a link of a directory', () => v.mkdir('/d').then(() => v.link('/d', '/e')), 'EPERM'],
    ['making what is there', () => v.mkdir('/d').then(() => v.mkdir('/d')), 'EEXIST'],
    ['making the root', () => v.mkdir('/'), 'EEXIST'],
    ['making below what is not', () => v.mkdir('/a/b'), 'ENOENT'],
    ['wx of what is there', () => v.writeFile('/f', '').then(() => v.open('/f', 'wx')), 'EEXIST'],
    ['a directory into itself', () => v.mkdir('/d').then(() => v.rename('/d', '/d/e')), 'EINVAL'],
    ['listing a file', () => v.writeFile('/f', '').then(() => v.readdir('/f')), 'ENOTDIR'],
    ['readlink of a file', () => v.writeFile('/f', '').then(() => v.readlink('/f')), 'EINVAL'],
    ['flags that are none', () => v.open('/f', 'q'), 'ERR_INVALID_ARG_VALUE'],
    ['an xattr of no namespace', () => v.setxattr('/', 'plain', 'x'), 'EOPNOTSUPP'],
    ["an xattr of the file system's own", () => v.setxattr('/', 'trusted.gfid', 'x'), 'EPERM'],
    ['an xattr that is not', () => v.getxattr('/', 'user.none'), 'ENODATA'],
    ['a file renamed to a name with a slash', () => v.writeFile('/f', '').then(() => v.rename('/f', '/g/')), 'ENOTDIR'],
    ['rm of a directory', () => v.mkdir('/d').then(() => v.rm('/d')), 'ERR_FS_EISDIR'],
    ['rm of what is not', () => v.rm('/none'), 'ENOENT'],
  ])('%s', async (_, work, code) => {
    expect(await codeOf(work())).toBe(code);
  });
});

describe('symlinks', () => {
  it('are followed, read and seen', async () => {
    await v.mkdir('/d/e', { recursive: true });
    await v.writeFile('/d/e/f', 'text');
    await v.symlink('d/e', '/l');
    await v.symlink('/l/f', '/d/absolute');
    await v.symlink('../l/../e/f', '/d/up');
    expect(await v.readFile('/l/f', 'utf8')).toBe('text');
    expect(await v.readFile('/d/absolute', 'utf8')).toBe('text');
    expect(await v.readFile('/d/up', 'utf8')).toBe('text');
    expect(await v.readlink('/l')).toBe('d/e');
    expect((await v.lstat('/l')).isSymbolicLink()).toBe(true);
    expect((await v.lstat('/l/')).isDirectory()).toBe(true);
    expect(await v.realpath('/d/absolute')).toBe('/d/e/f');
    expect(await v.realpath('/l/../..')).toBe('/');
  });

  it('that go round end in ELOOP', async () => {
    await v.symlink('b', '/a');
    await v.symlink('a', '/b');
    expect(await codeOf(v.stat('/a'))).toBe('ELOOP');
    expect(await codeOf(v.stat('/a/x'))).toBe('ELOOP');
    expect(await codeOf(v.lstat('/a'))).toBe('ok');
  });

  it('of 40 are followed, and of 41 not', async () => {
    await v.writeFile('/l0', 'text');
    for (let i = 1; i <= 41; i++) await v.symlink(`l${i - 1}`, `/l${i}`);
    expect(await v.readFile('/l40', 'utf8')).toBe('text');
    expect(await codeOf(v.readFile('/l41'))).toBe('ELOOP');
  });

  it('that lead nowhere are made true by writing, unless wx', async () => {
    await v.symlink('target', '/l');
    expect(await codeOf(v.open('/l', 'wx'))).toBe('EEXIST');
    await v.writeFile('/l', 'text');
    expect(await v.readFile('/target', 'utf8')).toBe('text');
    expect(await codeOf(v.open('/l', 0o400000))).toBe('ELOOP');
  });

  it('are linked and renamed as themselves', async () => {
    await v.symlink('nothing', '/l');
    await v.link('/l', '/m');
    await v.rename('/l', '/n');
    expect([await v.readlink('/m'), await v.readlink('/n')]).toEqual(['nothing', 'nothing']);
    await v.unlink('/m');
    expect(await codeOf(v.symlink('', '/o'))).toBe('ENOENT');
  });
});

describe('directories', () => {
  it('are made with what is above them', async () => {
    expect(await v.mkdir('/a/b/c', { recursive: true })).toBe('/a');
    expect(await v.mkdir('/a/b/d', { recursive: true })).toBe('/a/b/d');
    expect(await v.mkdir('/a/b/c/', { recursive: true })).toBeUndefined();
    await v.mkdir(Buffer.from('/a/\xff/\xfe', 'latin1'), { recursive: true });
    expect(await v.readdir('/a', { encoding: 'latin1' })).toContain('\xff');
    expect((await v.stat(Buffer.from('/a/\xff/\xfe', 'latin1'))).isDirectory()).toBe(true);
    await v.writeFile('/f', '');
    expect(await codeOf(v.mkdir('/f', { recursive: true }))).toBe('EEXIST');
    expect(await codeOf(v.mkdir('/f/g', { recursive: true }))).toBe('ENOTDIR');
  });

  it('are listed', async () => {
    const names = Array.from({ length: 3000 }, (_, i) => `name-${i}-${'x'.repeat(i % 90)}`).sort();
    await v.mkdir('/d/sub', { recursive: true });
    await Promise.all(names.map((name) => v.writeFile(`/d/${name}`, '')));
    expect((await v.readdir('/d')).sort()).toEqual([...names, 'sub'].sort());
    const entries = await v.readdir('/d', { withFileTypes: true });
    expect(entries.filter((entry) => entry.isDirectory()).map(({ name, parentPath }) => [name, parentPath])).toEqual([
      ['sub', '/d'],
    ]);
    expect(entries.filter((entry) => entry.isFile())).toHaveLength(3000);
    const seen: unknown[] = [];
    for await (const entry of await v.opendir('/d')) seen.push(entry.name);
    expect(seen.sort()).toEqual([...names, 'sub'].sort());
  });

  it('are listed with all that is below', async () => {
    await v.mkdir('/a/b/c', { recursive: true });
    await v.writeFile('/a/b/f', '');
    expect((await v.readdir('/a', { recursive: true })).sort()).toEqual(['b', 'b/c', 'b/f']);
    const found = await v.readdir('/a', { recursive: true, withFileTypes: true });
    expect(found.map(({ parentPath, name }) => `${parentPath}/${name}`).sort()).toEqual(['/a/b', '/a/b/c', '/a/b/f']);
  });

  it('are removed with all that is below', async () => {
    await v.mkdir('/t/a/b/c', { recursive: true });
    for (let i = 0; i < 300; i++) await v.writeFile(`/t/a/${i}`, 'x');
    await v.symlink('/t', '/t/a/b/loop');
    await v.writeFile('/keep', 'x');
    await v.symlink('/keep', '/t/link');
    await v.rm('/t', { recursive: true });
    expect(await v.readdir('/')).toEqual(['keep']);
    await v.rm('/t', { recursive: true, force: true });
  });

  it('are made with names that there are not', async () => {
    const one = await v.mkdtemp('/tmp-');
    expect(one).toMatch(/^\/tmp-[a-zA-Z0-9]{6}$/);
    expect((await v.stat(one)).mode).toBe(0o040700);
  });

  it('are open while they are read, and closed once', async () => {
    const dir = await v.opendir('/');
    expect(await dir.read()).toBeNull();
    await dir.close();
    expect(await codeOf(dir.close())).toBe('ERR_DIR_CLOSED');
    expect(v.graph.openFiles).toBe(0);
    for (let i = 0; i < 3; i++) await v.writeFile(`/${i}`, '');
    for await (const _ of await v.opendir('/')) break;
    expect(v.graph.openFiles).toBe(0);
  });
});

describe('attributes', () => {
  it('are changed and seen', async () => {
    await v.writeFile('/f', 'x');
    await v.chmod('/f', 0o4751);
    await v.utimes('/f', 1.5, new Date(2_000_000));
    let stats = await v.stat('/f');
    expect([stats.mode, stats.atimeMs, stats.mtime.getTime()]).toEqual([0o104751, 1500, 2_000_000]);
    await v.chown('/f', 7, -1);
    stats = await v.stat('/f');
    expect([stats.uid, stats.gid, stats.mode]).toEqual([7, 0, 0o100751]);
    expect([stats.isFile(), stats.nlink, stats.size]).toEqual([true, 1, 1]);
    await v.symlink('f', '/l');
    await v.lchown('/l', 9, 9);
    await v.lutimes('/l', 1, 1);
    expect([(await v.lstat('/l')).uid, (await v.stat('/l')).uid]).toEqual([9, 7]);
  });

  it('have names that are kept', async () => {
    await v.writeFile('/f', 'x');
    await v.setxattr('/f', 'user.a', 'text');
    await v.setxattr('/f', 'user.ü', Buffer.from([0, 255]), { create: true });
    expect(await codeOf(v.setxattr('/f', 'user.a', '', { create: true }))).toBe('EEXIST');
    expect(await codeOf(v.setxattr('/f', 'user.b', '', { replace: true }))).toBe('ENODATA');
    expect((await v.getxattr('/f', 'user.a')).toString()).toBe('text');
    expect((await v.listxattr('/f')).sort()).toEqual(['user.a', 'user.ü']);
    await v.removexattr('/f', 'user.a');
    expect(await v.listxattr('/f')).toEqual(['user.ü']);
  });

  it('of the volume', async () => {
    const { bsize, blocks, bfree } = await v.statfs();
    expect(bsize > 0 && blocks >= bfree && bfree > 0).toBe(true);
  });

  it('ask for access', async () => {
    await v.writeFile('/f', 'x', { mode: 0o600 });
    const bob = v.as({ uid: 5, gid: 5 });
    expect(await codeOf(v.access('/f', 6))).toBe('ok');
    expect(await codeOf(bob.access('/f', 4))).toBe('EACCES');
    expect(await codeOf(bob.access('/f'))).toBe('ok');
    expect(await codeOf(bob.access('/g'))).toBe('ENOENT');
  });
});
