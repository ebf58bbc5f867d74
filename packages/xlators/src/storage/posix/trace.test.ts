import { readFileSync } from 'node:fs';
import {
  type FopName,
  type Gfid,
  gfidFromBytes,
  locAt,
  locOf,
  type Reply,
  rootGfid,
  type Timespec,
} from '@mortar/core';
import * as libc from '@mortar/libc';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { truncate, write } from './io.ts';
import { decodeMdata } from './mdata.ts';
import { openStore, removeBrick, rootAt, temporaryBrick } from './rig.ts';
import type { PosixStore } from './store.ts';
import { setxattr } from './xattrs.ts';

/** What stood on a brick of the original after a step, as far as it changed. */
type Facts = Record<string, unknown> & { xattrs?: Record<string, string> };
interface Diff {
  added?: Record<string, Facts>;
  removed?: string[];
  changed?: Record<string, { before: Facts; after: Facts }>;
}
interface Trace {
  initial: Record<string, Record<string, Facts>>;
  steps: { step: string; diff: Record<string, Diff> }[];
}

const trace = JSON.parse(
  readFileSync(new URL('../../../../../test/fixtures/posix/trace-distribute.json', import.meta.url), 'utf8'),
) as Trace;

/** Kept by distribute, which is not part of this. */
const foreign = (name: string) => name.startsWith('trusted.glusterfs.dht');
const unchecked = ['sha256', 'b64', 'xattrs', 'rdev'];

let directory: string;
let store: PosixStore;
let root: number;
const brick = 'brick1';

beforeAll(() => {
  directory = temporaryBrick();
  libc.fchmodat(-100, directory, 0o755);
  const initial = trace.initial[brick]!['/']!.xattrs!;
  for (const [name, value] of Object.entries(initial))
    if (!foreign(name)) libc.setxattr(directory, name, Buffer.from(value, 'hex'));
  store = openStore(directory);
  root = libc.open(directory, libc.O_RDONLY | libc.O_DIRECTORY);
});

afterAll(() => {
  store.shut();
  libc.close(root);
  removeBrick(directory);
});

/** The type, mode, owner, link count, target and xattrs of a path on our brick, as the trace has them. */
function factsOf(path: string): Facts {
  const at = `.${path}`;
  const stat = new libc.Stat();
  expect(libc.statx(root, at, stat), path).toBe(0);
  const types: Record<number, string> = { 1: 'fifo', 2: 'chr', 4: 'dir', 8: 'file', 10: 'symlink', 12: 'socket' };
  const target = `/proc/self/fd/${root}/${at}`;
  const xattrs: Record<string, string> = {};
  for (const name of libc.listxattr(target) as string[])
    xattrs[name] = Buffer.from(libc.getxattr(target, name) as Uint8Array).toString('hex');
  const type = types[stat.type]!;
  return {
    type,
    mode: `0o${stat.permissions.toString(8)}`,
    uid: stat.uid,
    gid: stat.gid,
    nlink: stat.nlink,
    size: stat.size,
    ...(type === 'symlink' ? { target: libc.readlinkat(root, at) } : {}),
    xattrs,
  };
}

function compare(path: string, facts: Facts): void {
  const ours = factsOf(path);
  for (const [name, value] of Object.entries(facts)) {
    if (unchecked.includes(name) || foreign(name)) continue;
    const found = name.includes('.') ? (ours.xattrs![name] ?? null) : ours[name];
    expect(found, `${name} of ${path}`).toEqual(value);
  }
  if (!facts.xattrs) return;
  const theirs = Object.fromEntries(Object.entries(facts.xattrs).filter(([name]) => !foreign(name)));
  expect(ours.xattrs, path).toEqual(theirs);
}

function ok(reply: Reply<FopName>): void {
  expect(reply).toMatchObject({ ok: true });
}

/** The instant at which a step's operation was made: in the mdata of `path` after it. */
function timeOf(diff: Diff, path: string, which: 'ctime' | 'mtime' | 'atime' = 'ctime'): Timespec {
  const facts = diff.added?.[path]?.xattrs ?? diff.changed![path]!.after;
  const times = decodeMdata(Buffer.from(facts['trusted.glusterfs.mdata'] as string, 'hex'))!;
  return { sec: times[which], nsec: times[`${which}Nsec`] };
}

function gfidOf(diff: Diff, path: string): Gfid {
  return gfidFromBytes(Buffer.from(diff.added![path]!.xattrs!['trusted.gfid']!, 'hex'));
}

const known: Record<string, Gfid> = {};

function add(
  diff: Diff,
  path: string,
  make: (parent: Gfid, name: string, gfid: Gfid, time: Timespec) => Reply<FopName>,
) {
  const slash = path.lastIndexOf('/');
  const gfid = gfidOf(diff, path);
  ok(
    make(
      slash === 0 ? rootGfid : known[path.slice(0, slash)]!,
      path.slice(slash + 1),
      gfid,
      timeOf(diff, path, 'atime'),
    ),
  );
  known[path] = gfid;
}

function writeFile(gfid: Gfid, offset: number, text: string, time: Timespec): void {
  const opened = store.open(rootAt(), locOf(gfid), 2);
  if (!opened.ok) throw new Error(`open: ${opened.errno}`);
  ok(write(store.brick, rootAt({ time }), opened.file, Buffer.from(text), offset, { append: false, keepTimes: false }));
  store.close(opened.file);
}

const mkdir = (parent: Gfid, name: string, gfid: Gfid, time: Timespec) =>
  store.mkdir(rootAt({ time }), { loc: locAt(parent, name), mode: 0o755, gfid });
const f1 = '/d/f1';

const replay: [string, (diff: Diff) => void][] = [
  ['mkdir /d mode', (diff) => add(diff, '/d', mkdir)],
  [
    'create /d/f1',
    (diff) => {
      add(diff, f1, (parent, name, gfid, time) => {
        const args = { loc: locAt(parent, name), flags: 0o302, mode: 0o644, gfid };
        const { reply, file } = store.create(rootAt({ time }), args);
        store.close(file!);
        return reply;
      });
      writeFile(known[f1]!, 0, 'hello\n', timeOf(diff, f1));
    },
  ],
  ['append /d/f1', (diff) => writeFile(known[f1]!, 6, 'more\n', timeOf(diff, f1))],
  ['chmod 0640', (diff) => ok(store.setattr(rootAt({ time: timeOf(diff, f1) }), locOf(known[f1]!), { mode: 0o640 }))],
  [
    'chown 1001:1002 /d/f1',
    (diff) => ok(store.setattr(rootAt({ time: timeOf(diff, f1) }), locOf(known[f1]!), { uid: 1001, gid: 1002 })),
  ],
  [
    'utimensat /d/f1',
    (diff) => {
      const attr = { atime: { sec: 1600000001, nsec: 500_000_000 }, mtime: { sec: 1600000002, nsec: 250_000_000 } };
      ok(store.setattr(rootAt({ time: timeOf(diff, f1) }), locOf(known[f1]!), attr));
    },
  ],
  [
    'setxattr user.k=v',
    () =>
      ok(
        setxattr(
          store.brick,
          // GlusterFS leaves ctime where it is, against what Linux does.
          rootAt({ internal: 'self-heal' }),
          store.node(locOf(known[f1]!)) as never,
          { 'user.k': Buffer.from('v') },
          0,
          false,
        ),
      ),
  ],
  [
    'link /d/f1 -> /d/hl',
    (diff) =>
      ok(
        store.link(rootAt({ time: timeOf(diff, '/d/ren0L') }), {
          from: locOf(known[f1]!),
          to: locAt(known['/d']!, 'ren0L'),
        }),
      ),
  ],
  [
    'link /d/f1 -> /d/ren2',
    (diff) =>
      ok(
        store.link(rootAt({ time: timeOf(diff, '/d/ren2') }), {
          from: locOf(known[f1]!),
          to: locAt(known['/d']!, 'ren2'),
        }),
      ),
  ],
  [
    'unlink /d/ren2',
    (diff) => ok(store.unlink(rootAt({ time: timeOf(diff, f1) }), { loc: locAt(known['/d']!, 'ren2') })),
  ],
  [
    'mknod fifo /d/ff',
    (diff) =>
      add(diff, '/d/ff', (parent, name, gfid, time) =>
        store.mknod(rootAt({ time }), { loc: locAt(parent, name), mode: 0o010644, rdevMajor: 0, rdevMinor: 0, gfid }),
      ),
  ],
  [
    'mkdir /d/sub/',
    (diff) => {
      add(diff, '/d/sub', mkdir);
      add(diff, '/d/sub/deep', mkdir);
    },
  ],
  [
    'rename dir /d/sub -> /sub2',
    (diff) => {
      const args = { from: locAt(known['/d']!, 'sub'), to: locAt(rootGfid, 'sub2'), flags: 0 };
      ok(store.rename(rootAt({ time: timeOf(diff, '/sub2') }), args));
    },
  ],
  [
    'rmdir /sub2/deep',
    (diff) =>
      ok(
        store.rmdir(rootAt({ time: timeOf(diff, '/sub2') }), {
          loc: locAt(known['/d/sub']!, 'deep'),
          recursive: false,
        }),
      ),
  ],
  [
    'truncate /d/f1 to 3',
    (diff) => {
      const opened = store.anonymous(known[f1]!);
      if (opened.ok) ok(truncate(store.brick, rootAt({ time: timeOf(diff, f1) }), opened.file, 3, false));
    },
  ],
];

describe('replayed from a real brick', () => {
  it.each(replay)('%s... leaves what the original left', (name, run) => {
    const step = trace.steps.find((each) => each.step.startsWith(name))!;
    const diff = step.diff[brick]!;
    run(diff);
    for (const [path, facts] of Object.entries(diff.added ?? {})) compare(path, facts);
    // Steps that are left out have changed the directory's times in between.
    for (const [path, { after }] of Object.entries(diff.changed ?? {})) compare(path, after);
    for (const path of diff.removed ?? []) expect(libc.statx(root, `.${path}`, new libc.Stat()), path).toBe(-2);
  });
});
