/** Real mounts and loop devices, served by this process: what becomes of them when their server goes, and another one comes. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Log } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { AF_UNIX, close, type Received, receiveFds, SOCK_STREAM, sendFds, socketpair } from '@mortar/libc';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytesOf } from '../device/conformance.ts';
import type { BlockDevice } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { PassingDevice } from '../device/passing.ts';
import type { Agreed } from './fuse-agreement.ts';
import { mountedFiles, unmountFile } from './fuse-mount-point.ts';
import { type DescriptorStore, FuseNode, type FuseNodeOptions } from './fuse-node.ts';
import type { KeptFile } from './keeper/protocol.ts';
import { backingFile, loops, removeLoop } from './loop.ts';
import { runProgram } from './run-program.ts';

const isPossible = process.getuid?.() === 0 && existsSync('/dev/fuse') && existsSync('/dev/loop-control');
if (!isPossible) console.log('FUSE files and loop devices: root, /dev/fuse and /dev/loop-control are needed: skipped');

const clock = new SystemClock();
const log: Log = { level: 'INFO', setLevel: () => {}, write: () => {} };
const sizeBytes = 8 << 20;

/** Another number for the same descriptor, which no program that is started here inherits: who holds one keeps the connection up. */
function copyOf(fd: number): number {
  const [one, other] = socketpair(AF_UNIX, SOCK_STREAM) as [number, number];
  sendFds(one, Buffer.from('!'), [fd]);
  const { fds } = receiveFds(other, Buffer.alloc(1)) as Received;
  close(one);
  close(other);
  return fds[0]!;
}

/** Keeps descriptors as the keeper does: copies of them. */
class Store implements DescriptorStore {
  readonly kept = new Map<string, { file: KeptFile; fd: number }>();

  put(path: string, file: KeptFile, fd: number): void {
    this.drop(path);
    this.kept.set(path, { file, fd: copyOf(fd) });
  }

  drop(path: string): void {
    const before = this.kept.get(path);
    if (before) close(before.fd);
    this.kept.delete(path);
  }
}

/** Never answers writes. */
class DeadDevice extends PassingDevice {
  writes = 0;

  override write(): Promise<never> {
    this.writes++;
    return new Promise(() => undefined);
  }
}

let home: string;
let store: Store;
const optionsFor = (device: BlockDevice): FuseNodeOptions => ({
  path: join(home, 'osl:x'),
  namespace: 'osl',
  name: 'x',
  device,
  kind: 'loop',
  clock,
  log,
  run: runProgram,
  store,
});

/** `dd` of one block; it ends when it is answered. */
function writeTo(target: string): Promise<string> {
  return new Promise((resolve) => {
    const words = ['if=/dev/zero', `of=${target}`, 'bs=4k', 'count=1', 'seek=5', 'oflag=direct', 'conv=notrunc'];
    const child = spawn('sh', ['-c', `tr '\\0' x < /dev/zero | dd ${words.slice(1).join(' ')} iflag=fullblock`]);
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    child.on('close', (code) => resolve(code === 0 ? 'written' : text));
  });
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 6000 && !condition(); i++) await clock.sleep(5);
  expect(condition()).toBe(true);
}

describe.skipIf(!isPossible)('a FUSE file and its loop device', { timeout: 60_000 }, () => {
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'mortar-node-'));
    store = new Store();
  });
  afterEach(async () => {
    const left = [...mountedFiles(home).map(({ path }) => path), ...store.kept.keys()];
    for (const key of [...store.kept.keys()]) store.drop(key);
    for (const { loop, file } of loops().filter((one) => one.file.startsWith(home)))
      await removeLoop(runProgram, clock, loop, file);
    for (const { path } of mountedFiles(home)) await unmountFile(runProgram, clock, path, { lazy: true });
    rmSync(home, { recursive: true, force: true });
    expect(left).toEqual([]);
  });

  /** A node whose server goes while a write is under way, and what was kept of it. */
  async function orphan(): Promise<{ agreed: Agreed; fd: number; loop: string; written: Promise<string> }> {
    const dead = new DeadDevice(new MemoryDevice({ sizeBytes }));
    const node = await FuseNode.make(optionsFor(dead));
    const loop = node.target;
    const written = writeTo(loop);
    await until(() => dead.writes > 0);
    node.leave();
    const { file, fd } = store.kept.get(join(home, 'osl:x'))!;
    return { agreed: file, fd: copyOf(fd), loop, written };
  }

  it('goes on where it was when the kernel sends again what was under way', async () => {
    const { agreed, fd, loop, written } = await orphan();
    const memory = new MemoryDevice({ sizeBytes });
    if (!agreed.canResend) {
      close(fd);
      console.log('this kernel does not send again (Linux 6.9 does): not tested');
      return;
    }
    const node = await FuseNode.adopt(optionsFor(memory), fd, agreed);
    expect(node?.target).toBe(loop);
    expect(await written).toBe('written');
    expect(bytesOf(await memory.read(5 * 4096, 4096)).equals(Buffer.alloc(4096, 'x'))).toBe(true);
    expect(await writeTo(loop)).toBe('written');
    await node!.remove(false);
    expect(backingFile(loop)).toBeNull();
  });

  it('fails its users when the kernel cannot, and nothing of it is left', async () => {
    const { agreed, fd, loop, written } = await orphan();
    const device = new MemoryDevice({ sizeBytes });
    expect(await FuseNode.adopt(optionsFor(device), fd, { ...agreed, canResend: false })).toBeNull();
    expect(await written).toContain('Input/output error');
    await until(() => backingFile(loop) === null);
    expect(mountedFiles(home)).toEqual([]);
  });

  it('is taken away by force although its device never answers', async () => {
    const dead = new DeadDevice(new MemoryDevice({ sizeBytes }));
    const node = await FuseNode.make(optionsFor(dead));
    const written = writeTo(node.target);
    await until(() => dead.writes > 0);
    await expect(node.remove(false)).rejects.toThrow(/is in use by process/);
    expect(existsSync(node.target)).toBe(true);
    await node.remove(true);
    expect(await written).toContain('Input/output error');
    await until(() => loops().every(({ file }) => !file.startsWith(home)));
  });

  it('has sectors as large as the device wants them', async () => {
    const memory = new MemoryDevice({ sizeBytes });
    const coarse = new (class extends PassingDevice {
      override get traits() {
        return { ...this.below.traits, minimumBytes: 4096 };
      }
    })(memory);
    const node = await FuseNode.make(optionsFor(coarse));
    const { stdout } = await runProgram('blockdev', ['--getss', '--getsize64', node.target]);
    expect(stdout).toBe(`4096\n${sizeBytes}\n`);
    await node.remove(false);
  });
});
