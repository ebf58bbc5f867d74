import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { mountOf, systemInspector } from './brick-inspector.ts';

const root = mkdtempSync(join(tmpdir(), 'mortar-inspector-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const mounts = [
  '/dev/sda1 / ext4 rw,relatime 0 0',
  '/dev/sdb1 /srv/b1 xfs rw,noatime 0 0',
  '/dev/sdc1 /srv/with\\040blank xfs rw 0 0',
  'broken',
].join('\n');

describe('the mount of a path', () => {
  it.each([
    ['/srv/b1/brick', '/dev/sdb1'],
    ['/srv/b1', '/dev/sdb1'],
    ['/srv/b10', '/dev/sda1'],
    ['/srv/with blank/x', '/dev/sdc1'],
    ['/', '/dev/sda1'],
  ])('%s is on %s', (path, device) => expect(mountOf(path, mounts)?.device).toBe(device));
});

describe('the directory of a brick', () => {
  const id = '65dc137a-a9b9-46f5-8f3d-9e9cb176ae83';

  it('carries the id of its volume', () => {
    const path = join(root, 'brick');
    expect(systemInspector.makeDirectory(path)).toBe('created');
    expect(systemInspector.makeDirectory(path)).toBe('existed');
    expect(systemInspector.volumeId(path)).toBeNull();
    expect(systemInspector.isMarked(path)).toBe(false);
    systemInspector.setVolumeId(path, id);
    expect(systemInspector.volumeId(path)).toBe(id);
    expect(systemInspector.isMarked(path)).toBe(true);
    expect(systemInspector.xattrProblem(path)).toBeNull();
  });

  it('tells what is wrong in words', () => {
    const path = join(root, 'no/such');
    expect(() => systemInspector.makeDirectory(path)).toThrow('No such file or directory');
    expect(() => systemInspector.setVolumeId(path, id)).toThrow('No such file or directory');
    expect(systemInspector.xattrProblem(path)).toBe('No such file or directory');
    expect(systemInspector.kind(path)).toBe('none');
  });

  it('knows mount points', () => {
    expect(systemInspector.isMountPoint('/proc')).toBe(true);
    expect(systemInspector.isMountPoint(root)).toBe(false);
    expect(systemInspector.isMountPoint('/')).toBe(true);
  });
});
