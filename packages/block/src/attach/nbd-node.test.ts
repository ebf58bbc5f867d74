import { SystemClock } from '@mortar/host/ports/clock.ts';
import { describe, expect, it } from 'vitest';
import { connectWords, freeDevices, NbdNode, type NbdNodeOptions } from './nbd-node.ts';
import type { Outcome, RunProgram } from './run-program.ts';

const options: NbdNodeOptions = {
  endpoint: '/run/rsiod.nbd',
  exportName: 'osl/ora_db',
  readOnly: false,
  sectorBytes: 512,
  timeoutSeconds: 60,
};
const clock = new SystemClock();
const fine: Outcome = { code: 0, stdout: '', stderr: '' };

/** Says what it is told to, in turn, and keeps what it was asked. */
function runner(...outcomes: Outcome[]): { run: RunProgram; lines: string[] } {
  const lines: string[] = [];
  const run: RunProgram = async (program, args) => {
    lines.push([program, ...args].join(' '));
    return outcomes.shift() ?? fine;
  };
  return { run, lines };
}

describe('a device of the NBD client of the kernel', () => {
  it('is connected to the endpoint of the daemon', () => {
    expect(connectWords('/dev/nbd3', options).join(' ')).toBe(
      '-unix /run/rsiod.nbd /dev/nbd3 -name osl/ora_db -block-size 512 -timeout 60',
    );
    expect(connectWords('/dev/nbd3', { ...options, readOnly: true, sectorBytes: 4096 }).join(' ')).toBe(
      '-unix /run/rsiod.nbd /dev/nbd3 -name osl/ora_db -block-size 4096 -timeout 60 -readonly',
    );
  });

  it('is the first free one by number', () => {
    const names = ['vda', 'nbd10', 'nbd2', 'nbd0', 'nbd0p1', 'loop0'];
    expect(freeDevices(names, (name) => name === 'nbd0')).toEqual(['/dev/nbd2', '/dev/nbd10']);
  });

  it('is the next one when another program was quicker', async () => {
    const { run, lines } = runner({ code: 1, stdout: '', stderr: 'Device or resource busy' });
    const node = await NbdNode.make(options, run, clock, ['nbd97', 'nbd98']);
    expect(node.target).toBe('/dev/nbd98');
    expect(lines.map((line) => line.split(' ')[3])).toEqual(['/dev/nbd97', '/dev/nbd98']);
    await node.remove(false);
    expect(lines.at(-1)).toBe('nbd-client -d /dev/nbd98');
  });

  it('is refused by name when there is none', async () => {
    await expect(NbdNode.make(options, runner().run, clock, [])).rejects.toThrow(
      'there is no free device of nbd: all are in use; more come with modprobe nbd nbds_max=N',
    );
    const { run } = runner({ code: 1, stdout: '', stderr: 'no such export' });
    await expect(NbdNode.make(options, run, clock, ['nbd97'])).rejects.toThrow('no free device of nbd: no such export');
  });

  it('stays when it cannot be disconnected, and does not grow', async () => {
    const { run } = runner(fine, { code: 1, stdout: '', stderr: 'why not' });
    const node = await NbdNode.make(options, run, clock, ['nbd97']);
    await expect(node.remove(true)).rejects.toThrow('/dev/nbd97 is not disconnected: why not');
    await expect(node.grow()).rejects.toThrow('has its new size when it is attached anew');
  });
});
