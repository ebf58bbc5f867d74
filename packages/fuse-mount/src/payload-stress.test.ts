/**
 * Many reads and writes at a time through a real mount, every one of them checked, while memory that was given back is
 * overwritten at once. Needs root and /dev/fuse.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Args,
  buildGraph,
  type Call,
  InodeTable,
  type Keeps,
  poisonReturnedBytes,
  type Reply,
  type Services,
  startGraph,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { SystemRandom } from '@mortar/host/ports/random.ts';
import { xlator as ioCache } from '@mortar/xlators/performance/io-cache/index.ts';
import { xlator as writeBehind } from '@mortar/xlators/performance/write-behind/index.ts';
import { xlator as memory } from '@mortar/xlators/storage/memory/index.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mountFuse } from './index.ts';
import { canMount } from './mount-rig.ts';

/** A while that differs from call to call, so that requests overtake each other. */
let calls = 0;
const aWhile = () => new Promise((resolve) => setTimeout(resolve, (calls++ * 7) % 4));

/** Answers late. */
class Late extends Xlator {
  async readv(call: Call, args: Args<'readv'>): Promise<Reply<'readv'>> {
    const reply = await this.child.readv(call, args);
    await aWhile();
    return reply;
  }

  async writev(call: Call, args: Args<'writev'>): Promise<Reply<'writev'>> {
    await aWhile();
    const reply = await this.child.writev(call, args);
    await aWhile();
    return reply;
  }
}

/** Answers a write before it is done, and does it with the bytes that it was given. Reads wait for it. */
class Behind extends Xlator {
  #last: Promise<unknown> = Promise.resolve();

  async writev(call: Call, args: Args<'writev'>): Promise<Reply<'writev'>> {
    const before = await this.child.fstat(call, { fd: args.fd });
    if (!before.ok) return before;
    this.#last = this.#last.then(aWhile).then(() => this.child.writev(call, args));
    return { ok: true, written: args.data.length, pre: before.iatt, post: before.iatt };
  }

  async readv(call: Call, args: Args<'readv'>): Promise<Reply<'readv'>> {
    await this.#last;
    return this.child.readv(call, args);
  }
}

function typeOf(type: string, made: new (init: XlatorInit) => Xlator, keeps: Keeps): XlatorType {
  return {
    type,
    description: type,
    options: {},
    subvolumes: { min: 1, max: 1 },
    keeps,
    create: (init) => new made(init),
  };
}

const types: XlatorType[] = [
  memory as unknown as XlatorType,
  ioCache as unknown as XlatorType,
  writeBehind as unknown as XlatorType,
  typeOf('test/late', Late, 'nothing'),
  typeOf('test/behind', Behind, 'writes'),
  typeOf('test/behind-and-silent', Behind, 'nothing'),
];

const services = (): Services => ({
  clock: new SystemClock(),
  random: new SystemRandom(),
  log: { level: 'INFO', setLevel: () => {}, write: () => {} },
  metrics: { counter: () => ({ add: () => {} }), histogram: () => ({ record: () => {} }) },
  inodes: new InodeTable(),
  port: (name) => {
    throw new Error(`no port ${name}`);
  },
});

/** Jobs that each have a file, write pieces of it by turns, and read them back; all at the same time. */
const load = `
import { open } from 'node:fs/promises';
const [folder, rounds] = process.argv.slice(2);
const sizes = [512, 4096, 4097, 65536, 100_001, 131_072, 262_144, 300_000, 1 << 20];
const fileBytes = 4 << 20;
let bad = 0;
async function job(number) {
  const file = await open(folder + '/f' + number, 'w+');
  const model = Buffer.alloc(fileBytes);
  let seed = number + 1;
  const next = (below) => (seed = (seed * 1103515245 + 12345) % 2147483648) % below;
  for (let round = 0; round < Number(rounds); round++) {
    // Ranges that do not overlap: each slot has one writer at a time.
    const slots = Array.from({ length: 4 }, (_, i) => ({ at: i << 20, size: sizes[next(sizes.length)] }));
    await Promise.all(slots.map(async ({ at, size }) => {
      const data = Buffer.alloc(size);
      for (let i = 0; i < size; i += 8) data.writeUInt8(next(256), i);
      data.copy(model, at);
      await file.write(data, 0, size, at);
    }));
    await Promise.all(slots.map(async ({ at }) => {
      const size = sizes[next(sizes.length)];
      const { bytesRead, buffer } = await file.read(Buffer.alloc(size), 0, size, at);
      if (!buffer.subarray(0, bytesRead).equals(model.subarray(at, at + bytesRead))) bad++;
    }));
  }
  await file.close();
}
await Promise.all(Array.from({ length: 12 }, (_, i) => job(i)));
console.log(bad);
`;

describe.skipIf(!canMount())('payloads under load', () => {
  let folder: string;
  let script: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'mortar-payload-'));
    script = join(folder, 'load.mjs');
    writeFileSync(script, load);
    poisonReturnedBytes(true);
  });

  afterAll(() => {
    poisonReturnedBytes(false);
    rmSync(folder, { recursive: true });
  });

  /** How many reads gave something else than what was written. */
  async function wrongReads(above: readonly string[], rounds: number): Promise<number> {
    const at = { file: 'stress', line: 1, column: 1 };
    const volumes = ['storage/memory', ...above].map((type, i) => {
      const options = new Map(type === 'performance/write-behind' ? [['answer-ahead', 'on']] : []);
      return { name: `v${i}`, type, options, subvolumes: i === 0 ? [] : [`v${i - 1}`], at };
    });
    const given = services();
    const graph = buildGraph({ volumes }, new Map(types.map((type) => [type.type, type])), given);
    await startGraph(graph);
    const mountPoint = mkdtempSync(join(tmpdir(), 'mortar-payload-mnt-'));
    const mount = await mountFuse({
      mountPoint,
      source: 'stress',
      services: given,
      clientId: 'test',
      top: graph.top.ops,
      session: { directIo: 'enable' },
    });
    try {
      const text = await new Promise<string>((resolve, reject) => {
        const args = [script, mountPoint, `${rounds}`];
        const env = { ...process.env, UV_THREADPOOL_SIZE: '24' };
        execFile(process.execPath, args, { cwd: '/', timeout: 50_000, env }, (error, stdout) =>
          error ? reject(error) : resolve(stdout),
        );
      });
      expect(mount.stats).toMatchObject({ exceptions: 0, malformed: 0, inFlight: 0 });
      return Number(text);
    } finally {
      await mount.unmount();
      await mount.closed;
      rmSync(mountPoint, { recursive: true });
    }
  }

  it.each([
    [[]],
    [['test/late']],
    [['performance/io-cache']],
    [['test/late', 'performance/io-cache']],
    [['test/behind']],
    [['test/late', 'performance/write-behind']],
    [['test/late', 'performance/write-behind', 'performance/io-cache']],
  ])(
    'arrive as they were sent, with %j above memory',
    async (above) => {
      expect(await wrongReads(above, 12)).toBe(0);
    },
    60_000,
  );

  it('are found out when a translator keeps them and does not say so', async () => {
    expect(await wrongReads(['test/behind-and-silent'], 6)).toBeGreaterThan(0);
  }, 60_000);
});
