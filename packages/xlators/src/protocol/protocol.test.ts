import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Args,
  Errno,
  emptyIatt,
  Fd,
  type Fop,
  type FopName,
  fopNames,
  type Log,
  locOf,
  rootCall,
  rootGfid,
} from '@mortar/core';
import { nodeClock, nodeRandom } from '@mortar/rpc/transports/node-ports.ts';
import { nodeTransport } from '@mortar/rpc/transports/node-transport-port.ts';
import { argsOf, replyTo } from '@mortar/testing/arbitraries.ts';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type Brick, type Client, startBrick, startClient } from './rig.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Fd) return { fd: value.gfid };
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, comparable(entry)]));
}

const ports = { clock: nodeClock, random: nodeRandom, transport: { transport: nodeTransport() } };

async function connect(kind: string): Promise<{ brick: Brick; client: Client }> {
  const folder = mkdtempSync(join(tmpdir(), 'mortar-protocol-'));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'brick.socket');
  const server: Record<string, string> =
    kind === 'unix' ? { 'transport-type': 'unix', 'transport.socket.listen-path': path } : {};
  const brick = await startBrick({ ...ports, server });
  cleanups.push(() => brick.stop());
  const address = brick.server.addresses[0]!;
  const where: Record<string, string> =
    address.kind === 'tcp' ? { 'remote-port': String(address.port) } : { 'transport.socket.connect-path': path };
  const client = await startClient({ ...ports, client: where });
  cleanups.push(() => client.stop());
  await client.saw('child-up');
  return { brick, client };
}

describe('a brick of a volume', () => {
  it.each([
    ['its own', 'id-1', true],
    ['another', 'id-2', false],
    ['no', '', true],
  ])('takes clients of %s volume: %s → %s', async (_what, id, taken) => {
    const brick = await startBrick({ ...ports, child: { 'volume-id': 'id-1' } });
    cleanups.push(() => brick.stop());
    const [address] = brick.server.addresses;
    const port = address?.kind === 'tcp' ? address.port : 0;
    const client = await startClient({ ...ports, client: { 'remote-port': `${port}`, 'volume-id': id } });
    cleanups.push(() => client.stop());
    await client.saw(taken ? 'child-up' : 'child-down');
    const reply = await client.ops.stat(rootCall(nodeClock), { loc: locOf(rootGfid) });
    expect(!reply.ok && reply.errno === Errno.ENOTCONN).toBe(!taken);
  });
});

describe('the log of a client', () => {
  it('has every request and its answer while that is asked for, and only then', async () => {
    const brick = await startBrick(ports);
    cleanups.push(() => brick.stop());
    const [address] = brick.server.addresses;
    const port = address?.kind === 'tcp' ? address.port : 0;
    const lines: string[] = [];
    let wanted = false;
    const log: Log = {
      level: 'INFO',
      setLevel: () => {},
      wants: (level, origin) => wanted && level === 'TRACE' && origin !== '',
      write: (level, _origin, text, _id, source) => void lines.push(`${level} [${source}] ${text}`),
    };
    const client = await startClient({ ...ports, log, client: { 'remote-port': `${port}` } });
    cleanups.push(() => client.stop());
    await client.saw('child-up');
    const ask = () => client.ops.stat({ ...rootCall(nodeClock), uid: 7 }, { loc: locOf(rootGfid) });
    await ask();
    expect(lines.filter((line) => line.startsWith('TRACE'))).toEqual([]);
    wanted = true;
    expect(await ask()).toEqual({ ok: false, errno: Errno.ENOSYS });
    const traced = lines.filter((line) => line.startsWith('TRACE'));
    expect(traced).toHaveLength(2);
    expect(traced[0]).toMatch(/^TRACE \[rpc-clnt\.c\] STAT sent to .*uid 7/);
    expect(traced[1]).toBe('TRACE [rpc-clnt.c] STAT answered: ENOSYS');
  });
});

describe.each(['tcp', 'unix'])('a brick over %s', (kind) => {
  it('gets every fop as it was asked, and its answer comes back', async () => {
    const { brick, client } = await connect(kind);
    const isSpared = (name: FopName) => name === 'opendir' || name === 'flush';
    const names = fopNames.filter((name) => name !== 'compound' && !isSpared(name));
    for (const name of names) {
      const [args] = fc.sample(argsOf(name), { numRuns: 1, seed: 3 });
      const [reply] = fc.sample(replyTo(name, args!), { numRuns: 1, seed: 3 });
      let got: unknown;
      brick.child.answer = async (fop, call, asked) => {
        got = { fop, uid: call.uid, args: comparable(asked) };
        return reply!;
      };
      const call = { ...rootCall(nodeClock), uid: 7 };
      const run = client.ops[name] as unknown as Fop<FopName>;
      expect(comparable(await run(call, args as Args<FopName>))).toEqual(comparable(reply));
      expect(got).toEqual({ fop: name, uid: 7, args: comparable(args) });
    }
  });

  it('runs a compound in one frame and gives later steps the fd of earlier ones', async () => {
    const { brick, client } = await connect(kind);
    const seen: string[] = [];
    const fdOf: unknown[] = [];
    brick.child.answer = async (fop, _call, args) => {
      seen.push(fop);
      fdOf.push((args as unknown as { fd?: Fd }).fd);
      if (fop === 'writev') return { ok: true, written: 3, pre: emptyIatt(), post: emptyIatt() } as never;
      return { ok: true } as never;
    };
    const fd = new Fd(rootGfid, 2);
    const call = rootCall(nodeClock);
    const steps = [
      { fop: 'open', args: { loc: locOf(rootGfid), flags: 2, fd } },
      { fop: 'writev', args: { fd, offset: 0, data: Buffer.from('abc') } },
    ];
    const reply = await client.ops.compound(call, { steps });
    expect(reply).toMatchObject({ ok: true, replies: [{ ok: true }, { ok: true, written: 3 }] });
    expect(seen).toEqual(['open', 'writev']);
    expect(fdOf[0]).toBe(fdOf[1]);
    await client.ops.fstat(call, { fd });
    expect(fdOf[2]).toBe(fdOf[0]);
    let released = false;
    (fdOf[0] as Fd).onRelease(() => {
      released = true;
    });
    fd.release();
    await client.ops.statfs(call, { loc: locOf(rootGfid) });
    expect(released).toBe(true);
  });

  it('moves megabytes unharmed in both directions', async () => {
    const { brick, client } = await connect(kind);
    brick.child.answer = async (_fop, _call, args) => {
      const { data } = args as unknown as { data: Buffer };
      return { ok: true, data, iatt: emptyIatt(), written: data.length, pre: emptyIatt(), post: emptyIatt() } as never;
    };
    const data = Buffer.alloc(4 << 20, 'x').fill('yz', 1000, 2000);
    const fd = new Fd(rootGfid, 2);
    const kept: Buffer[] = [];
    const answer = brick.child.answer;
    brick.child.answer = async (fop, call, args) => {
      if (fop === 'writev') kept.push((args as unknown as { data: Buffer }).data);
      return fop === 'readv' ? ({ ok: true, data: kept[0]!, iatt: emptyIatt() } as never) : answer(fop, call, args);
    };
    await client.ops.writev(rootCall(nodeClock), { fd, offset: 0, data });
    const reply = await client.ops.readv(rootCall(nodeClock), { fd, offset: 0, size: data.length });
    expect(reply.ok && data.equals(reply.data)).toBe(true);
    const tooLarge = Buffer.alloc((4 << 20) + 1);
    await expect(client.ops.writev(rootCall(nodeClock), { fd, offset: 0, data: tooLarge })).resolves.toMatchObject({
      errno: Errno.EMSGSIZE,
    });
  });
});
