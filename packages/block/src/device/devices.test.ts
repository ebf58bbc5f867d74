import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { MetricsRegistry } from '@mortar/host/ports/metrics.ts';
import { describe, expect, it } from 'vitest';
import { deviceConformance, type Rig } from './conformance.ts';
import { FileDevice } from './file.ts';
import { ConcatDevice, StripeDevice } from './joined.ts';
import { Limiter } from './limits.ts';
import { MemoryDevice } from './memory.ts';
import { PausableDevice } from './pause.ts';
import { MeasuredDevice } from './statistics.ts';

const sizeBytes = 96 * 1024;
const clock = new SystemClock();
const memory = (size = sizeBytes) => new MemoryDevice({ sizeBytes: size, pageBytes: 4096 });

function fileRig(size: number): Rig {
  const folder = mkdtempSync(join(tmpdir(), 'mortar-block-'));
  const path = join(folder, 'device');
  writeFileSync(path, Buffer.alloc(size));
  return { device: new FileDevice({ path, clock }), end: () => rmSync(folder, { recursive: true }) };
}

/** Needs root, and a kernel with loop devices. */
function hasLoop(): boolean {
  return process.getuid?.() === 0 && spawnSync('losetup', ['-f']).status === 0;
}

function loopRig(): Rig {
  const folder = mkdtempSync(join(tmpdir(), 'mortar-block-'));
  const file = join(folder, 'device');
  writeFileSync(file, Buffer.alloc(sizeBytes));
  const path = execFileSync('losetup', ['-f', '--show', file], { encoding: 'utf8' }).trim();
  const end = () => {
    execFileSync('losetup', ['-d', path]);
    rmSync(folder, { recursive: true });
  };
  return { device: new FileDevice({ path, clock }), end };
}

deviceConformance('memory', { make: () => ({ device: memory() }), runs: 150 });
deviceConformance('memory with a limit', {
  make: () => ({ device: new MemoryDevice({ sizeBytes, pageBytes: 8192, allocatedMaxBytes: sizeBytes * 2 }) }),
});
deviceConformance('a file', { make: () => fileRig(sizeBytes), runs: 20 });
describe.skipIf(!hasLoop())('on a loop device', () => {
  deviceConformance('a block device of the host', { make: loopRig, runs: 5 });

  it('is refused when something else has claimed it', async () => {
    const rig = await loopRig();
    expect(() => new FileDevice({ path: (rig.device as FileDevice).path, clock })).toThrow(/in use|EBUSY/);
    await rig.device.close();
    rig.end?.();
  });
});
deviceConformance('several devices one behind the other', {
  make: () => ({ device: new ConcatDevice([memory(5000), memory(8192 * 3), memory(1), memory(70_000)]) }),
});
deviceConformance('a stripe', {
  make: () => ({ device: new StripeDevice([memory(40_000), memory(), memory(36_865)], 4096) }),
});
deviceConformance('a stripe over files', {
  make: () => {
    const rigs = [fileRig(32_768), fileRig(32_768)];
    return {
      device: new StripeDevice(
        rigs.map((rig) => rig.device),
        512,
      ),
      end: () => rigs.forEach((rig) => void rig.end?.()),
    };
  },
  runs: 10,
});
deviceConformance('a device with limits', {
  make: () => ({ device: new Limiter(clock, { bytesPerSecond: 1e9, operationsPerSecond: 1e6 }).share(memory()) }),
});
deviceConformance('a device that can be paused, and is measured', {
  make: () => ({ device: new MeasuredDevice(new PausableDevice(memory()), 'd', clock, new MetricsRegistry()) }),
});
