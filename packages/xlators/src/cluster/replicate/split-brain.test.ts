/** What may be read while all replicas accuse each other. */
import { type Args, Errno, Fd, type Gfid, locAt, locOf } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { encodeVector } from './changelog.ts';
import { contents, create, mkdir, rig, rigs } from './test-rig.ts';

/** A client of two replicas each of which has done `left` or `right` without the other. */
async function split(
  options: Record<string, string>,
  before: (client: Client) => Promise<Gfid>,
  left: (client: Client, gfid: Gfid) => Promise<unknown>,
  right: (client: Client, gfid: Gfid) => Promise<unknown>,
) {
  await rig(2);
  const client = await rigs[0]!.client({ 'self-heal-daemon': 'off', ...options });
  const gfid = await before(client);
  await client.xlator.drain();
  for (const [away, change] of [[1, left] as const, [0, right] as const]) {
    rigs[0]!.cut(away);
    await change(client, gfid);
    await client.xlator.drain();
    rigs[0]!.join(away);
  }
  return { client, gfid };
}
type Client = Awaited<ReturnType<(typeof rigs)[0]['client']>>;

describe('a file whose metadata are in split-brain', () => {
  const chmod = (mode: number, sec: number) => (client: Client, gfid: Gfid) =>
    client.ops.setattr(
      { ...client.call, time: { sec: client.call.time.sec + sec, nsec: 0 } },
      { loc: locOf(gfid), attr: { mode } },
    );
  const made = async (client: Client) => (await create(client, 'f', 'secret')).gfid;

  it('is not read: nobody knows who may', async () => {
    const { client, gfid } = await split({}, made, chmod(0o600, 1), chmod(0o644, 2));
    expect(await contents(client.ops, client.call, gfid)).toBe(Errno.EIO);
    const fd = new Fd(gfid, 0);
    const opened = await client.ops.open(client.call, { loc: locOf(gfid), flags: 0, fd, contents: 4096 });
    expect(opened).toEqual({ ok: false, errno: Errno.EIO });
    fd.release();
    expect(rigs[0]!.lines.some((line) => line.includes('no replica is clean of data and metadata'))).toBe(true);
  });

  it('is read when a policy decides', async () => {
    const policy = { 'favorite-child-policy': 'ctime' };
    const { client, gfid } = await split(policy, made, chmod(0o600, 1), chmod(0o644, 2));
    expect(await contents(client.ops, client.call, gfid)).toBe('secret');
  });
});

describe('a directory whose names are in split-brain', () => {
  const fill = (prefix: string) => async (client: Client, directory: Gfid) => {
    for (let i = 0; i < 40; i++) (await create(client, `${prefix}${i}`, '', directory)).fd.release();
    (await create(client, 'both', '', directory)).fd.release();
  };
  const made = async (client: Client) => {
    const gfid = await mkdir(client, 'd');
    for (let i = 0; i < 20; i++) (await create(client, `old${i}`, '', gfid)).fd.release();
    return gfid;
  };
  const all = [...Array(20).keys()]
    .map((i) => `old${i}`)
    .concat(
      [...Array(40).keys()].flatMap((i) => [`l${i}`, `r${i}`]),
      'both',
    )
    .sort();

  async function list(client: Client, fop: 'readdir' | 'readdirp', gfid: Gfid, size: number) {
    const fd = new Fd(gfid);
    await client.ops.opendir(client.call, { loc: locOf(gfid), fd });
    const names: string[] = [];
    try {
      for (let offset = 0; ; ) {
        const args: Args<'readdirp'> = { fd, size, offset, want: [] };
        const page = await client.ops[fop](client.call, args);
        if (!page.ok) return page.errno;
        names.push(...page.entries.map(({ name }) => name));
        if (page.end) return names.filter((name) => name !== '.' && name !== '..').sort();
        offset = page.entries.at(-1)!.offset;
      }
    } finally {
      fd.release();
    }
  }

  it.each(['readdir', 'readdirp'] as const)('has what any replica has (%s)', async (fop) => {
    const { client, gfid } = await split({}, made, fill('l'), fill('r'));
    for (const size of [512, 2048, 65_536]) expect(await list(client, fop, gfid, size)).toEqual(all);
    const lookup = (name: string) => client.ops.lookup(client.call, { loc: locAt(gfid, name) });
    expect(await lookup('l0')).toMatchObject({ ok: true });
    expect(await lookup('both')).toEqual({ ok: false, errno: Errno.EIO });
  });

  it('is not listed while one is away that may be right', async () => {
    const { bricks } = await rig(3);
    const client = await rigs[0]!.client({ 'self-heal-daemon': 'off' });
    const gfid = await made(client);
    await client.xlator.drain();
    for (const [accuser, accused] of [[0, 1] as const, [1, 0] as const]) {
      const values = { [`trusted.afr.vol-client-${accused}`]: encodeVector([0, 0, 1]) };
      await bricks[accuser]!.ops.xattrop(client.call, { loc: locOf(gfid), operation: 'add32', values });
    }
    rigs[0]!.cut(2);
    expect(await list(client, 'readdirp', gfid, 65_536)).toBe(Errno.EIO);
    rigs[0]!.join(2);
    expect(await list(client, 'readdirp', gfid, 65_536)).toHaveLength(20);
  });
});
