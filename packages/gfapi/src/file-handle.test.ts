import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FileHandle } from './file-handle.ts';
import { codeOf, inMemory } from './gfapi-rig.ts';
import type { Volume } from './volume.ts';

let v: Volume;
beforeEach(async () => {
  v = await inMemory();
});
afterEach(() => v.close());

describe('a handle', () => {
  it('reads and writes where it stands', async () => {
    await using file = await v.open('/f', 'w+');
    expect(await file.write('abc')).toEqual({ bytesWritten: 3, buffer: 'abc' });
    await file.write(Buffer.from('..def..'), 2, 3);
    expect(await file.read(Buffer.alloc(10), 0, 10, 0)).toMatchObject({ bytesRead: 6 });
    const { bytesRead } = await file.read(Buffer.alloc(4));
    expect(bytesRead).toBe(0);
    await file.write('X', 1);
    expect(await v.readFile('/f', 'utf8')).toBe('aXcdef');
  });

  it('takes the forms that node takes', async () => {
    await v.writeFile('/f', 'abcdefgh');
    const file = await v.open('/f', 'r+');
    const buffer = Buffer.alloc(4, '-');
    expect((await file.read(buffer, { offset: 1, length: 2, position: 3 })).bytesRead).toBe(2);
    expect(buffer.toString()).toBe('-de-');
    expect((await file.read({ position: 4n })).buffer.subarray(0, 4).toString()).toBe('efgh');
    expect((await file.read({ buffer, length: 1 })).bytesRead).toBe(1);
    expect((await file.read()).bytesRead).toBe(7);
    await file.write(Buffer.from('zz'), { position: 0 });
    await file.write('ÿ', 2, 'latin1');
    expect(await v.readFile('/f', 'latin1')).toBe('zzÿdefgh');
    expect(await codeOf(file.read(buffer, 0, 5))).toBe('ERR_OUT_OF_RANGE');
    expect(await codeOf(file.read(buffer, 5))).toBe('ERR_OUT_OF_RANGE');
    expect(await codeOf(file.write(buffer, -1))).toBe('ERR_OUT_OF_RANGE');
    await file.close();
  });

  it('gathers and scatters', async () => {
    await using file = await v.open('/f', 'w+');
    const parts = [Buffer.from('ab'), Buffer.from('c'), Buffer.from('def')];
    expect((await file.writev(parts)).bytesWritten).toBe(6);
    const into = [Buffer.alloc(1), Buffer.alloc(0), Buffer.alloc(4), Buffer.alloc(9, '-')];
    expect((await file.readv(into, 0)).bytesRead).toBe(6);
    expect(into.map(String)).toEqual(['a', '', 'bcde', 'f--------']);
  });

  it('appends whoever else does', async () => {
    await using one = await v.open('/f', 'a');
    await using two = await v.open('/f', 'a+');
    await Promise.all(Array.from({ length: 50 }, (_, i) => (i % 2 ? one : two).write(`${i % 10}`)));
    expect(((await v.readFile('/f', 'utf8')) as string).length).toBe(50);
    await two.write('!', 0);
    expect((await two.read({ position: 50 })).buffer[0]).toBe(33);
  });

  it('keeps writes in the order in which they were asked for', async () => {
    await using file = await v.open('/f', 'w');
    await Promise.all(Array.from({ length: 100 }, (_, i) => file.write(`${i},`)));
    expect(await v.readFile('/f', 'utf8')).toBe(Array.from({ length: 100 }, (_, i) => `${i},`).join(''));
  });

  it('does not see what is written into its buffer afterwards', async () => {
    await using file = await v.open('/f', 'w+');
    const data = Buffer.alloc(2_000_000, 'a');
    await file.write(data);
    data.fill('b');
    const back = (await v.readFile('/f')) as Buffer;
    expect(back.includes('b')).toBe(false);
    back.fill('c');
    expect(((await v.readFile('/f')) as Buffer).includes('c')).toBe(false);
  });

  it('may do what it was opened for', async () => {
    await v.writeFile('/f', 'x');
    await using reader = await v.open('/f', 'r');
    await using writer = await v.open('/f', 'w');
    expect(await codeOf(reader.write('x'))).toBe('EBADF');
    expect(await codeOf(reader.truncate(0))).toBe('EINVAL');
    expect(await codeOf(writer.read())).toBe('EBADF');
    expect(await codeOf(reader.punchHole({ offset: 0, length: 1 }))).toBe('EBADF');
  });

  it('is closed once, and of no use then', async () => {
    const file = await v.open('/f', 'w');
    const writing = Promise.all([file.write('a'), file.write('b'), file.write('c')]);
    await Promise.all([file.close(), file.close()]);
    expect(await codeOf(file.write('x'))).toBe('EBADF');
    expect(await codeOf(file.stat())).toBe('EBADF');
    await writing.catch(() => undefined);
    expect(v.graph.openFiles).toBe(0);
  });

  it('makes holes, zeros and room, and finds data', async () => {
    await using file = await v.open('/f', 'w+');
    await file.write(Buffer.alloc(65536, 'x'));
    await file.punchHole({ offset: 8192, length: 8192 });
    await file.zeroRange({ offset: 32768, length: 100 });
    const bytes = (await v.readFile('/f')) as Buffer;
    expect([bytes[8191], bytes[8192], bytes[16383], bytes[16384]]).toEqual([120, 0, 0, 120]);
    expect([bytes[32768], bytes[32867], bytes[32868]]).toEqual([0, 0, 120]);
    expect([await file.seekHole(0), await file.seekData(8192), await file.seekData(65536)]).toEqual([
      8192,
      16384,
      null,
    ]);
    await file.fallocate({ offset: 65536, length: 4096 }, { keepSize: true });
    expect((await file.stat()).size).toBe(65536);
    await file.fallocate({ offset: 65536, length: 4096 });
    expect((await file.stat()).size).toBe(69632);
    expect(await codeOf(file.fallocate({ offset: 0, length: 0 }))).toBe('EINVAL');
  });

  it('works on when its file has no name any more', async () => {
    await using file = await v.open('/f', 'w+');
    await file.write('text');
    await v.unlink('/f');
    expect((await file.stat()).nlink).toBe(0);
    await file.chmod(0o604);
    await file.utimes(1, 2);
    await file.setxattr('user.a', 'b');
    expect([(await file.stat()).mode, (await file.getxattr('user.a')).toString()]).toEqual([0o100604, 'b']);
    expect(await file.listxattr()).toEqual(['user.a']);
    await file.removexattr('user.a');
    await file.sync();
    await file.datasync();
    const { buffer, bytesRead } = await file.read({ position: 0 });
    expect(Buffer.from(buffer.subarray(0, bytesRead)).toString()).toBe('text');
  });

  it('of a directory is stated and synced', async () => {
    await using file = await v.open('/', 'r');
    expect((await file.stat()).isDirectory()).toBe(true);
    await file.sync();
    expect(await codeOf(file.read())).toBe('EISDIR');
  });

  it('takes setuid off when another than root writes', async () => {
    await v.writeFile('/f', 'x');
    await v.chmod('/f', 0o6777);
    await v.as({ uid: 5, gid: 5 }).writeFile('/f', 'y', { flag: 'r+' });
    expect((await v.stat('/f')).mode & 0o7777).toBe(0o777);
    await v.chmod('/f', 0o6777);
    await v.writeFile('/f', 'z', { flag: 'r+' });
    expect((await v.stat('/f')).mode & 0o7777).toBe(0o6777);
  });
});

describe('locks', () => {
  it('belong to their handle, and go with it', async () => {
    await v.writeFile('/f', 'x');
    await using one = await v.open('/f', 'r+');
    const two = await v.open('/f', 'r+');
    await one.lock({ type: 'write', start: 0, length: 10 });
    expect(await codeOf(two.lock({ type: 'read', start: 5, length: 1 }))).toBe('EAGAIN');
    expect(await two.lockInTheWay({ type: 'write' })).toMatchObject({ type: 'write', start: 0, length: 10 });
    await two.lock({ type: 'write', start: 10, length: 5 });
    const waiting = one.lock({ type: 'write', start: 10, wait: true });
    await two.close();
    await waiting;
    await one.unlock();
    await using three = await v.open('/f', 'r+');
    expect(await three.lockInTheWay({ type: 'write' })).toBeNull();
  });

  it('are waited for until a signal, a time, or the end of the handle', async () => {
    await v.writeFile('/f', 'x');
    await using one = await v.open('/f', 'r+');
    await one.lock({ type: 'write' });
    const two = await v.open('/f', 'r+');
    const stop = new AbortController();
    const waiting = codeOf(two.lock({ type: 'write', wait: true, signal: stop.signal }));
    await v.stat('/f');
    stop.abort();
    expect(await waiting).toBe('ABORT_ERR');
    expect(await codeOf(two.lock({ type: 'write', wait: true, timeoutMs: 20 }))).toBe('ETIMEDOUT');
    const last = codeOf(two.lock({ type: 'write', wait: true }));
    await v.stat('/f');
    await two.close();
    expect(await last).not.toBe('ok');
  });

  it('need the right mode', async () => {
    await v.writeFile('/f', 'x');
    await using reader = await v.open('/f', 'r');
    expect(await codeOf(reader.lock({ type: 'write' }))).toBe('EBADF');
    expect(await codeOf(reader.lock({ type: 'read', owner: 'x' }))).toBe('ERR_INVALID_ARG_VALUE');
  });
});

/** A file as a buffer, and where a handle on it stands. */
interface Model {
  bytes: Buffer;
  position: number;
}

const size = fc.integer({ min: 0, max: 9000 });
const fill = fc.integer({ min: 1, max: 255 });
const command = fc.oneof(
  fc.record({ do: fc.constant('write' as const), at: fc.option(size), length: size, fill }),
  fc.record({ do: fc.constant('append' as const), at: fc.constant(null), length: size, fill }),
  fc.record({ do: fc.constant('read' as const), at: fc.option(size), length: size, fill }),
  fc.record({ do: fc.constant('truncate' as const), at: size, length: size, fill }),
  fc.record({ do: fc.constant('zero' as const), at: size, length: size, fill }),
  fc.record({ do: fc.constant('punch' as const), at: size, length: size, fill }),
);

type Command = typeof command extends fc.Arbitrary<infer C> ? C : never;

function put(bytes: Buffer, at: number, data: Buffer): Buffer {
  const result = Buffer.alloc(data.length === 0 ? bytes.length : Math.max(bytes.length, at + data.length));
  bytes.copy(result);
  data.copy(result, at);
  return result;
}

async function step(file: FileHandle, appender: FileHandle, model: Model, c: Command): Promise<void> {
  const data = Buffer.alloc(c.length, c.fill);
  const range = { offset: c.at ?? 0, length: c.length };
  switch (c.do) {
    case 'write': {
      const { bytesWritten } = await file.write(data, 0, c.length, c.at);
      expect(bytesWritten).toBe(c.length);
      model.bytes = put(model.bytes, c.at ?? model.position, data);
      if (c.at === null) model.position += c.length;
      return;
    }
    case 'append':
      await appender.write(data);
      model.bytes = put(model.bytes, model.bytes.length, data);
      return;
    case 'read': {
      const from = c.at ?? model.position;
      const expected = model.bytes.subarray(from, from + c.length);
      const into = Buffer.alloc(c.length, 0xaa);
      const { bytesRead } = await file.read(into, 0, c.length, c.at);
      expect(bytesRead).toBe(expected.length);
      expect(into.subarray(0, bytesRead).equals(expected)).toBe(true);
      if (c.at === null) model.position += bytesRead;
      return;
    }
    case 'truncate':
      await file.truncate(c.at);
      model.bytes = Buffer.concat([model.bytes, Buffer.alloc(Math.max(0, c.at - model.bytes.length))]).subarray(
        0,
        c.at,
      );
      return;
    case 'zero':
      if (c.length === 0) return;
      await file.zeroRange(range);
      model.bytes = put(model.bytes, range.offset, Buffer.alloc(c.length));
      return;
    case 'punch': {
      if (c.length === 0) return;
      await file.punchHole(range);
      const copy = Buffer.from(model.bytes);
      copy.fill(0, Math.min(range.offset, copy.length), Math.min(range.offset + c.length, copy.length));
      model.bytes = copy;
    }
  }
}

it('does what a buffer does, whatever the order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 30 }), async (commands) => {
      await v.rm('/m', { force: true });
      await using file = await v.open('/m', 'w+');
      await using appender = await v.open('/m', 'a');
      const model: Model = { bytes: Buffer.alloc(0), position: 0 };
      for (const one of commands) await step(file, appender, model, one);
      expect(((await v.readFile('/m')) as Buffer).equals(model.bytes)).toBe(true);
      expect((await file.stat()).size).toBe(model.bytes.length);
    }),
    { numRuns: 100 },
  );
});
