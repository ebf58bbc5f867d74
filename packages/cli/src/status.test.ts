/** The tables of `volume status`. */
import type { ProcessData, VolumeStatusData } from '@mortar/glusterd/protocol/replies.ts';
import { describe, expect, it } from 'vitest';
import { type Answer, compare, type Host, nodes, ok, refused, runCommand, transcript } from './testing/transcripts.ts';

describe('volume status', () => {
  const file = 'volume-status';
  /** The processes that a table shows. */
  function processesOf(text: string): VolumeStatusData[] {
    const found: VolumeStatusData[] = [];
    for (const line of text.split('\n')) {
      const name = /^Status of volume: (.*)$/.exec(line)?.[1];
      if (name !== undefined) found.push({ volume: name, processes: [] });
      const brick = /^Brick (\S+):(\S+)\s+(\S+)\s+(\S+)\s+([YN])\s+(\S+)\s*$/.exec(line);
      const daemon = /^(Self-heal Daemon) on (\S+)\s+(\S+)\s+(\S+)\s+([YN])\s+(\S+)\s*$/.exec(line);
      const row = brick ?? daemon;
      if (row) found.at(-1)!.processes.push(processOf(row, brick ? 'brick' : 'daemon'));
    }
    return found;
  }
  function processOf([, hostname, path, port, , online, pid]: RegExpExecArray, kind: ProcessData['kind']): ProcessData {
    const peerId = nodes[(kind === 'brick' ? hostname : path) as Host] ?? nodes['10.78.0.11'];
    return {
      kind,
      hostname: hostname!,
      path: path!,
      peerId,
      online: online === 'Y',
      port: Number(port) || 0,
      pid: Number(pid) || 0,
    };
  }
  const shown =
    (text: string): Answer =>
    () =>
      ok({ volumes: processesOf(text) });
  const tables = [
    ['volume-status', 'gluster volume status'],
    ['volume-status', 'gluster volume status rep3'],
    ['volume-status', 'gluster volume status rep3 shd'],
    ['volume-status', 'gluster volume status rep3 nfs'],
    ['volume-status', 'gluster volume status rep3 10.78.0.12:/srv/b1/rep3'],
    ['heal', 'gluster volume status rep3'],
  ] as const;

  it.each(tables)('%s: %s', (name, command) => compare(name, command, shown(transcript(name, command).stdout)));

  it('shows the same in XML', () =>
    compare(file, 'gluster --xml volume status rep3', () => {
      const [status] = processesOf(transcript(file, 'gluster volume status rep3').stdout);
      return ok({ volumes: [status] });
    }));
  it('wraps a long name', async () => {
    const process = processOf(
      ['', 'h', `/${'x'.repeat(50)}`, '49152', '0', 'Y', '7'] as unknown as RegExpExecArray,
      'brick',
    );
    const { stdout } = await runCommand('gluster volume status v', () =>
      ok({ volumes: [{ volume: 'v', processes: [process] }] }),
    );
    expect(stdout).toContain(
      `Brick h:/${'x'.repeat(34)}\n${'x'.repeat(16)}${' '.repeat(28)}49152     0          Y       7    \n`,
    );
  });
  it('shows tasks', () =>
    compare(file, 'gluster volume status rep3 tasks', () => ok({ volumes: [{ volume: 'rep3', processes: [] }] })));
  it.each([
    'gluster volume status nosuch',
    'gluster volume status rep3 bogus',
    'gluster volume status stopped',
    'gluster volume status rep3 quotad',
  ])('refuses: %s', (command) => compare(file, command, () => refused(transcript(file, command).stderr.trimEnd())));
  it('refuses in XML', () =>
    compare(file, 'gluster --xml volume status nosuch', () => refused('Volume nosuch does not exist')));

  const detail = (free: number, device: string, inodes: number) => ({
    fileSystem: 'xfs',
    device,
    mountOptions: 'rw,relatime,inode64,logbufs=8,logbsize=32k,noquota',
    inodeSize: 512,
    blockSize: 4096,
    totalBytes: 4227858432,
    freeBytes: free,
    inodes: 2097152,
    freeInodes: inodes,
  });
  const detailed = (): VolumeStatusData => {
    const status = processesOf(transcript(file, 'gluster volume status rep3').stdout)[0]!;
    const details = [
      detail(4163465216, '/dev/loop21', 2095746),
      detail(4163514368, '/dev/loop24', 2095754),
      detail(4163489792, '/dev/loop27', 2095758),
    ];
    return {
      ...status,
      processes: status.processes.slice(0, 3).map((process, i) => ({ ...process, detail: details[i]! })),
    };
  };
  it('shows details', () => compare(file, 'gluster volume status rep3 detail', () => ok({ volumes: [detailed()] })));
  it('shows details in XML', () =>
    compare(file, 'gluster --xml volume status rep3 detail', () => ok({ volumes: [detailed()] })));
  it('shows details of a brick', () =>
    compare(file, 'gluster volume status rep3 10.78.0.12:/srv/b1/rep3 detail', () => {
      const status = detailed();
      return ok({ volumes: [{ ...status, processes: [status.processes[1]] }] });
    }));

  /** Sections between rules, one a brick. */
  const sections = (text: string) => text.split(/^-{46}\n/m).slice(1, -1);
  const withSections = (command: string, read: (section: string) => Partial<ProcessData>): Promise<void> => {
    const { stdout } = transcript(file, command);
    const processes = sections(stdout).map((section) => {
      const [, hostname, path] = /^Brick : ([^:]+):(.*)$/m.exec(section)!;
      return {
        kind: 'brick',
        hostname: hostname!,
        path: path!,
        peerId: '',
        online: true,
        port: 1,
        pid: 1,
        ...read(section),
      };
    });
    return compare(file, command, () => ok({ volumes: [{ volume: /rep3|dist/.exec(command)![0], processes }] }));
  };
  it('shows clients', () =>
    withSections('gluster volume status rep3 clients', (section) => ({
      clients: [...section.matchAll(/^(\S+:\d+)\s+(\d+)\s+(\d+)\s+(\d+)$/gm)].map((row) => ({
        hostname: row[1]!,
        bytesRead: Number(row[2]),
        bytesWritten: Number(row[3]),
        opVersion: Number(row[4]),
        name: 'fuse',
      })),
    })));
  it('shows memory', () =>
    withSections('gluster volume status rep3 mem', (section) => ({
      memory: Object.fromEntries(
        [...section.matchAll(/^(\w+)\s*: (\d+)$/gm)].map((row) => [row[1]!.toLowerCase(), Number(row[2])]),
      ),
    })));
  it('shows calls', () =>
    withSections('gluster volume status rep3 callpool', (section) => ({
      calls: [{ uid: 0, gid: 0, pid: 0, unique: Number(/Unique : (\d+)/.exec(section)![1]), frames: [''] }],
    })));
  it('shows open files', () => withSections('gluster volume status rep3 fd', () => ({ fds: [] })));
  it('counts clients by name', () =>
    compare(file, 'gluster volume status rep3 client-list', () => {
      const client = (name: string) => ({ hostname: 'h:1', bytesRead: 0, bytesWritten: 0, opVersion: 1, name });
      const clients = ['glustershd', 'glustershd', 'glustershd', 'fuse'].map(client);
      return ok({
        volumes: [
          {
            volume: 'rep3',
            processes: [
              { kind: 'brick', hostname: 'h', path: '/b', peerId: '', online: true, port: 1, pid: 1, clients },
            ],
          },
        ],
      });
    }));
});
