/** While a client removes a file that is not where its name hashes to, another one gives the name to another file: it is that one's then. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { create, link, list, mkdir, read, rename, rmdir, spread, unlink } from './path-rig.ts';
import { type DistributeRig, distributeRig } from './rig.ts';

let rig: DistributeRig;
let other: DistributeRig;
/** A name, where it hashes to, and where the file is that has it. */
let name: string;
let hashed: number;
let old: number;

/** Names in a directory of which the subvolume that they hash to is believed. */
beforeEach(async () => {
  rig = await distributeRig({ storage: 'posix' });
  other = await distributeRig({ over: rig });
  for (const door of other.doors) door.session = 'other';
  await rig.walk('/');
  await mkdir(rig, '/d');
  await other.walk('/d');
  for (let i = 0; ; i++) {
    name = `/d/n${i}`;
    await create(rig, `/d/first${i}`, 'old');
    expect((await rename(rig, `/d/first${i}`, name)).ok).toBe(true);
    const kinds = (await spread(rig, name)).map((one) => one.split(':')[0]!);
    [hashed, old] = [kinds.indexOf('linkto'), kinds.indexOf('data')];
    if (hashed >= 0) break;
  }
});
afterEach(async () => {
  await other.close();
  await rig.close();
});

/** A file that is not where the name hashes to. */
async function another(): Promise<string> {
  for (let i = 0; ; i++) {
    await create(other, `/d/other${i}`, 'new');
    if ((await spread(other, `/d/other${i}`))[hashed] === '-') return `/d/other${i}`;
  }
}

/** Removes the name; `work` is done when its file has gone, and the linkto not yet. */
async function removing(work: () => Promise<{ ok: boolean }>): Promise<void> {
  let isGone = false;
  let done: Promise<{ ok: boolean }> | undefined;
  rig.doors[old]!.before = (fop) => {
    isGone ||= fop === 'unlink';
    return undefined;
  };
  rig.doors[hashed]!.before = (fop) => {
    if (isGone && fop !== 'unlink') done ??= work();
    return done?.then(() => undefined);
  };
  expect((await unlink(rig, name)).ok).toBe(true);
  expect(await done).toMatchObject({ ok: true });
}

async function isFound(text: string): Promise<void> {
  const fresh = await distributeRig({ over: rig });
  expect(await list(fresh, '/d')).toContain(name.slice('/d/'.length));
  expect(await read(fresh, name)).toBe(text);
  for (const one of await list(fresh, '/d')) expect((await unlink(fresh, `/d/${one}`)).ok).toBe(true);
  expect((await rmdir(fresh, '/d')).ok).toBe(true);
  await fresh.close();
}

it('a file that is renamed to it is found', async () => {
  const from = await another();
  await removing(() => rename(other, from, name));
  await isFound('new');
});

it('a file that gets it as one more name is found', async () => {
  const from = await another();
  await removing(() => link(other, from, name));
  await isFound('new');
});

it('the same file, which has got it once more, is found', async () => {
  expect((await link(rig, name, '/d/kept')).ok).toBe(true);
  await removing(() => link(other, '/d/kept', name));
  await isFound('old');
});
