/** What bricks measured, told as GlusterFS tells it: its tables are read back into data and printed again. */
import type { ProfileBrickData, ProfileSectionData, TopBrickData } from '@mortar/glusterd/protocol/replies.ts';
import { describe, expect, it } from 'vitest';
import { compare, ok, refused, runCommand, transcript } from './testing/transcripts.ts';

const file = 'profile-top';

/** Numbers behind `label:` in each line that begins with it. */
function numbers(text: string, label: string): number[] {
  const lines = text.split('\n').filter((line) => line.trimStart().startsWith(`${label}:`));
  return lines.flatMap((line) => [...line.slice(line.indexOf(':')).matchAll(/\d+/g)].map(([digits]) => Number(digits)));
}

function readSection(text: string): ProfileSectionData {
  const reads = numbers(text, 'No. of Reads');
  const writes = numbers(text, 'No. of Writes');
  const rows = [...text.matchAll(/^ +[\d.]+ +([\d.]+) ns +([\d.]+) ns +([\d.]+) ns +(\d+) +(\w+)$/gm)];
  return {
    durationSeconds: numbers(text, 'Duration')[0]!,
    bytesRead: numbers(text, 'Data Read')[0]!,
    bytesWritten: numbers(text, 'Data Written')[0]!,
    blocks: numbers(text, 'Block Size').map((size, i) => ({ size, reads: reads[i]!, writes: writes[i]! })),
    fops: rows.map(([, avg, min, max, hits, fop]) => ({
      fop: fop!,
      hits: Number(hits),
      avgMicros: Number(avg) / 1000,
      minMicros: Number(min) / 1000,
      maxMicros: Number(max) / 1000,
    })),
  };
}

function readBricks(stdout: string): ProfileBrickData[] {
  return stdout
    .split(/^Brick: /m)
    .slice(1)
    .map((part) => {
      const brick: ProfileBrickData = { name: part.slice(0, part.indexOf('\n')) };
      if (part.includes('Cleared stats.')) brick.cleared = true;
      const cumulative = /^Cumulative Stats:\n(.*)$/ms.exec(part.split(/^Interval /m)[0]!)?.[1];
      const interval = /^Interval (\d+) Stats:\n(.*)$/ms.exec(part);
      if (cumulative !== undefined) brick.cumulative = readSection(cumulative);
      if (interval) brick.interval = { ...readSection(interval[2]!), number: Number(interval[1]) };
      return brick;
    });
}

describe('volume profile', () => {
  it.each(['info', 'info incremental', 'info peek', 'info cumulative', 'info clear'])('prints %s', (what) => {
    const nth = what === 'info' ? 1 : 0;
    const { stdout } = transcript(file, `gluster volume profile rep3 ${what}`, nth);
    return compare(file, `gluster volume profile rep3 ${what}`, () => ok({ bricks: readBricks(stdout) }), nth);
  });

  it('prints an empty table in XML', () => {
    const none = { durationSeconds: 0, bytesRead: 0, bytesWritten: 0, blocks: [], fops: [] };
    const bricks = ['10.78.0.11:/srv/b1/rep3', '10.78.0.12:/srv/b1/rep3', '10.78.0.13:/srv/b3/rep3'];
    const command = 'gluster --xml volume profile rep3 info cumulative';
    const order = [...transcript(file, command).stdout.matchAll(/<brickName>(.*)<\/brickName>/g)].map(
      ([, name]) => name,
    );
    expect([...order].sort()).toEqual([...bricks].sort());
    return compare(file, command, () => ok({ bricks: order.map((name) => ({ name, cumulative: none })) }));
  });

  it('tells that it starts and stops', async () => {
    await compare(file, 'gluster volume profile rep3 start', () => ok({ bricks: [] }));
    await compare(file, 'gluster volume profile rep3 stop', () => ok({ bricks: [] }));
  });

  it('tells why it does not', async () => {
    const not = 'Profile on Volume rep3 is not started';
    await compare(file, 'gluster volume profile rep3 info', () => refused(not));
    await compare(file, 'gluster volume profile rep3 stop', () => refused(not), 1);
    const missing = 'Volume nosuch does not exist';
    await compare(file, 'gluster volume profile nosuch start', () => refused(missing));
  });

  it.each([
    'gluster volume profile rep3',
    'gluster volume profile rep3 start now',
    'gluster volume profile rep3 info cumulative peek',
  ])('does not ask for %s', async (command) => {
    const { exit, requests, stderr } = await runCommand(command);
    expect({ exit, requests }).toEqual({ exit: 1, requests: [] });
    expect(stderr).toContain('Usage:');
  });
});

function readTop(stdout: string): TopBrickData[] {
  return stdout
    .split(/^Brick: /m)
    .slice(1)
    .map((part) => {
      const rows = [...part.matchAll(/^(\d+)\t\t(.*)$/gm)].map(([, count, name]) => ({
        name: name!,
        value: Number(count),
      }));
      const speeds = [...part.matchAll(/^ +(\d+) (\S+) +(\d{4}-.*)$/gm)].map(([, value, name, time]) => ({
        name: name!,
        value: Number(value),
        time: time!,
      }));
      const measured = /Throughput ([\d.]+) MBps time ([\d.]+) secs/.exec(part);
      return {
        name: part.slice(0, part.indexOf('\n')),
        openNow: 0,
        openMax: 0,
        openMaxTime: '',
        members: [...rows, ...speeds],
        ...(measured && { measured: { megabytesPerSecond: Number(measured[1]), seconds: Number(measured[2]) } }),
      };
    });
}

describe('volume top', () => {
  it.each([
    'open',
    'read',
    'write list-cnt 2',
    'opendir',
    'readdir brick 10.78.0.11:/srv/b1/rep3',
    'read-perf',
    'write-perf bs 4096 count 16 brick 10.78.0.11:/srv/b1/rep3',
  ])('prints %s', (what) => {
    const command = `gluster volume top rep3 ${what}`;
    const { stdout } = transcript(file, command);
    return compare(file, command, () => ok({ bricks: readTop(stdout) }));
  });

  it('tells whose numbers were cleared', () => {
    const names = ['10.78.0.11:/srv/b1/rep3', '10.78.0.13:/srv/b3/rep3', '10.78.0.12:/srv/b1/rep3'];
    const bricks = names.map((name) => ({ name, openNow: 0, openMax: 0, openMaxTime: '', members: [], cleared: true }));
    return compare(file, 'gluster volume top rep3 clear', () => ok({ bricks }));
  });

  it('prints XML', () => {
    const command = 'gluster --xml volume top rep3 open';
    const names = [...transcript(file, command).stdout.matchAll(/<name>(.*)<\/name>/g)].map(([, name]) => name);
    const bricks = names.map((name) => ({ name, openNow: 0, openMax: 0, openMaxTime: '', members: [] }));
    return compare(file, command, () => ok({ bricks }));
  });

  it('tells why it does not', async () => {
    await compare(file, 'gluster volume top nosuch open', () => refused('Volume nosuch does not exist'));
    await compare(file, 'gluster volume top stopped open', () => refused('Volume stopped is not started.'));
    const never = () => refused('nobody asks');
    await compare(file, 'gluster volume top rep3 write-perf bs 4096', never);
    await compare(file, 'gluster volume top rep3 bogus', never);
  });
});

describe('volume barrier and clear-locks', () => {
  const other = 'statedump';
  it('tell that they are done', async () => {
    await compare(other, 'gluster volume barrier rep3 enable', () => ok({}));
    const lines = Array.from({ length: 3 }, () => 'No locks cleared.');
    await compare(other, 'gluster volume clear-locks rep3 / kind all inode', () => ok({ lines }));
    await compare(other, 'gluster volume clear-locks rep3 /f1 kind granted posix', () => ok({ lines }));
  });

  it('tell why they are not', async () => {
    const barrier = () => refused('Failed to reconfigure barrier.');
    await compare(other, 'gluster volume barrier rep3 enable', barrier, 1);
    await compare(other, 'gluster volume barrier rep3 bogus', barrier);
    await compare(other, 'gluster volume clear-locks rep3 /nosuch kind all inode', () =>
      refused('clear-locks getxattr command failed. Reason: No such file or directory'),
    );
    await compare(other, 'gluster volume clear-locks rep3 / kind bogus inode', () => refused('nobody asks'));
  });
});
