import { describe, expect, it } from 'vitest';
import { isOwnUnit, memoryGroup } from './apart.ts';

const first = '9:name=systemd:/\n4:memory:/a/b\n2:cpu,cpuacct:/x\n0::/c\n';
const firstMounts =
  '30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n31 25 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n';
const secondMounts = '32 25 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n';

describe('the memory group of a process', () => {
  it('is in the hierarchy of memory, where there is one', () => {
    expect(memoryGroup(first, firstMounts + secondMounts)).toEqual({ root: '/sys/fs/cgroup/memory', path: '/a/b' });
  });

  it('is in the common hierarchy else', () => {
    expect(memoryGroup('0::/system.slice/x\n', secondMounts)).toEqual({
      root: '/sys/fs/cgroup',
      path: '/system.slice/x',
    });
  });

  it('is not known where nothing is mounted', () => {
    expect(memoryGroup(first, '1 1 0:1 / / rw - ext4 /dev/x rw\n')).toBeNull();
    expect(memoryGroup('', '')).toBeNull();
  });

  it('is not left where it is the unit of the daemon', () => {
    const of = (path: string) => isOwnUnit({ root: '/sys/fs/cgroup', path });
    expect([of('/system.slice/rsiod.service'), of('/mortar.slice/rsiod@a.service')]).toEqual([true, true]);
    expect([of('/system.slice'), of('/user.slice/session-1.scope'), of('/')]).toEqual([false, false, false]);
  });
});
