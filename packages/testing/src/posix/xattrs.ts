/** Extended attributes. */
import * as libc from '@mortar/libc';
import { type Area, equal, gives, holds } from './case.ts';
import { alice, must, type World } from './world.ts';

const { XATTR_CREATE, XATTR_REPLACE } = libc;
const bytes = (text: string) => Buffer.from(text, 'latin1');

function set(w: World, name: string, key: string, value: string, flags = 0): number {
  return libc.setxattr(w.at(name), key, bytes(value), flags);
}

function get(w: World, name: string, key: string): string | number {
  const value = libc.getxattr(w.at(name), key);
  return typeof value === 'number' ? value : Buffer.from(value).toString('latin1');
}

/** Those a program has set; a system may have more of its own (SELinux). */
function list(w: World, name: string): string[] {
  const keys = libc.listxattr(w.at(name)) as string[];
  return keys.filter((key) => key.startsWith('user.') || key.startsWith('trusted.')).sort();
}

export const xattrs: Area = {
  area: 'xattrs',
  cases: [
    holds('are set, read, listed and removed', (w) => {
      w.file('f');
      must(set(w, 'f', 'user.a', 'one'));
      must(set(w, 'f', 'user.b', 'two'));
      equal([get(w, 'f', 'user.a'), get(w, 'f', 'user.b'), list(w, 'f')], ['one', 'two', ['user.a', 'user.b']]);
      must(libc.removexattr(w.at('f'), 'user.a'));
      equal(list(w, 'f'), ['user.b']);
    }),
    holds('of a directory', (w) => {
      w.directory('d');
      must(set(w, 'd', 'user.a', 'one'));
      equal([get(w, 'd', 'user.a'), list(w, 'd')], ['one', ['user.a']]);
    }),
    holds('by descriptor', (w) => {
      w.file('f');
      const fd = w.open('f', libc.O_RDWR);
      must(libc.setxattr(fd, 'user.a', bytes('x')));
      equal(Buffer.from(libc.getxattr(fd, 'user.a') as Uint8Array).toString(), 'x');
      equal(libc.listxattr(fd), ['user.a']);
      must(libc.removexattr(fd, 'user.a'));
    }),
    holds('are replaced by longer and shorter values', (w) => {
      w.file('f');
      for (const value of ['x'.repeat(1000), '', 'y', 'z'.repeat(2000)]) {
        must(set(w, 'f', 'user.a', value));
        equal(get(w, 'f', 'user.a'), value);
      }
    }),
    holds('hold any bytes', (w) => {
      w.file('f');
      const value = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join('');
      must(set(w, 'f', 'user.a', value));
      equal(get(w, 'f', 'user.a'), value);
    }),
    holds('tell their length to who asks with no room', (w) => {
      w.file('f');
      must(set(w, 'f', 'user.a', 'value'));
      equal(libc.getxattrInto(w.at('f'), 'user.a', new Uint8Array(0)), 5);
    }),
    gives('ERANGE', 'get with too little room', (w) => {
      w.file('f');
      must(set(w, 'f', 'user.a', 'value'));
      return libc.getxattrInto(w.at('f'), 'user.a', new Uint8Array(4));
    }),
    gives('ENODATA', 'get of one that is not', (w) => {
      w.file('f');
      return libc.getxattrInto(w.at('f'), 'user.a', new Uint8Array(4));
    }),
    gives('ENODATA', 'remove of one that is not', (w) => {
      w.file('f');
      return libc.removexattr(w.at('f'), 'user.a');
    }),
    gives('EEXIST', 'XATTR_CREATE of one that is', (w) => {
      w.file('f');
      must(set(w, 'f', 'user.a', '1'));
      return set(w, 'f', 'user.a', '2', XATTR_CREATE);
    }),
    gives('ENODATA', 'XATTR_REPLACE of one that is not', (w) => {
      w.file('f');
      return set(w, 'f', 'user.a', '1', XATTR_REPLACE);
    }),
    gives('ok', 'a name of 255 bytes', (w) => {
      w.file('f');
      return set(w, 'f', `user.${'n'.repeat(250)}`, 'x');
    }),
    gives('ERANGE', 'a name of 256 bytes', (w) => {
      w.file('f');
      return set(w, 'f', `user.${'n'.repeat(251)}`, 'x');
    }),
    gives('E2BIG', 'a value of 65537 bytes', (w) => {
      w.file('f');
      return libc.setxattr(w.at('f'), 'user.a', Buffer.alloc(65_537));
    }),
    gives('EOPNOTSUPP', 'a name of no name space', (w) => {
      w.file('f');
      return set(w, 'f', 'nonsense', 'x');
    }),
    gives('ENOENT', 'of a file that is not', (w) => set(w, 'f', 'user.a', 'x')),
    gives('EPERM', 'user attributes of a link', (w) => {
      must(w.symlink('x', 'l'));
      return set(w, 'l', 'user.a', 'x');
    }),
    gives('EPERM', 'user attributes of a fifo', (w) => {
      must(w.mknod('p', libc.S_IFIFO | 0o600));
      return set(w, 'p', 'user.a', 'x');
    }),
    holds('trusted ones of a link', (w) => {
      must(w.symlink('x', 'l'));
      must(set(w, 'l', 'trusted.mine', 'x'));
      equal(get(w, 'l', 'trusted.mine'), 'x');
    }),
    gives('EACCES', 'set by who may not write', (w) => {
      w.file('f');
      return w.as(alice, () => set(w, 'f', 'user.a', 'x'));
    }),
    gives('EACCES', 'get by who may not read', (w) => {
      w.file('f', '', 0o600);
      must(set(w, 'f', 'user.a', 'x'));
      return w.as(alice, () => libc.getxattrInto(w.at('f'), 'user.a', new Uint8Array(4)));
    }),
    holds('stay with the file under every name', (w) => {
      w.file('f');
      must(w.link('f', 'g'));
      must(set(w, 'f', 'user.a', '1'));
      equal(get(w, 'g', 'user.a'), '1');
      must(w.rename('f', 'h'));
      must(w.unlink('g'));
      equal(get(w, 'h', 'user.a'), '1');
    }),
    holds('a new file of an old name has none', (w) => {
      w.file('f');
      must(set(w, 'f', 'user.a', '1'));
      must(w.unlink('f'));
      w.file('f');
      equal(list(w, 'f'), []);
    }),
    holds('twenty on one file', (w) => {
      w.file('f');
      const keys = Array.from({ length: 20 }, (_, i) => `user.key${String(i).padStart(2, '0')}`);
      for (const key of keys) must(set(w, 'f', key, key));
      equal(list(w, 'f'), keys);
      for (const key of keys) equal(get(w, 'f', key), key);
    }),
    holds('names of bytes that are no UTF-8', (w) => {
      w.file('f');
      must(set(w, 'f', 'user.\xff\xfe', 'x'));
      equal([list(w, 'f'), get(w, 'f', 'user.\xff\xfe')], [['user.\xff\xfe'], 'x']);
    }),
  ],
};
