import { describe, expect, it } from 'vitest';
import { AttachError } from './attach-error.ts';
import { attachWords, chooseBackEnd, findMeans, type Means } from './back-end.ts';
import type { RunProgram } from './run-program.ts';

const all: Means = { isRoot: true, fuse: true, loop: true, nbdModule: true, nbdClient: true, resends: false };
const none: Means = { isRoot: false, fuse: false, loop: false, nbdModule: false, nbdClient: false, resends: false };

describe('the choice of a back end', () => {
  it.each([
    ['nbd', {}, ''],
    ['loop', { resends: true }, ''],
    ['nbd', { resends: true, loop: false }, 'there is no /dev/loop-control (modprobe loop)'],
    ['loop', { nbdModule: false }, 'the kernel has no nbd module (modprobe nbd)'],
    ['loop', { nbdClient: false }, 'nbd-client is not installed'],
    ['file', { nbdModule: false, loop: false }, /no nbd module.*; there is no \/dev\/loop-control/],
    ['none', { nbdModule: false, fuse: false }, /no nbd module.*; there is no \/dev\/fuse/],
    ['none', { isRoot: false }, 'rsiod does not run as root'],
  ] as const)('is %s when auto finds %j missing', (backEnd, lack, why) => {
    const choice = chooseBackEnd('auto', { ...all, ...lack });
    expect(choice.backEnd).toBe(backEnd);
    expect(choice.why).toMatch(why);
  });

  it('is what is demanded, where that can be had', () => {
    for (const word of attachWords.filter((one) => one !== 'auto'))
      expect(chooseBackEnd(word, all)).toEqual({ backEnd: word, why: '' });
    expect(chooseBackEnd('none', none).backEnd).toBe('none');
  });

  it.each([
    [
      'nbd',
      { nbdModule: false },
      'attach = nbd: the kernel has no nbd module (modprobe nbd); attach = auto takes what there is',
    ],
    ['nbd', { nbdClient: false }, 'attach = nbd: nbd-client is not installed; attach = auto takes what there is'],
    [
      'loop',
      { loop: false },
      'attach = loop: there is no /dev/loop-control (modprobe loop); attach = auto takes what there is',
    ],
    [
      'file',
      { fuse: false },
      'attach = file: there is no /dev/fuse (modprobe fuse); attach = auto takes what there is',
    ],
    ['loop', { isRoot: false }, 'attach = loop: rsiod does not run as root; attach = auto takes what there is'],
  ] as const)('refuses %s by name when %j', (word, lack, why) => {
    expect(() => chooseBackEnd(word, { ...all, ...lack })).toThrow(new AttachError(why));
  });

  it('looks for nothing that it does not need', async () => {
    const ran: string[] = [];
    const run: RunProgram = async (program) => {
      ran.push(program);
      return { code: 1, stdout: '', stderr: '' };
    };
    await findMeans(run, 'none');
    expect(ran).toEqual([]);
    const means = await findMeans(run, 'nbd');
    expect(means.nbdClient).toBe(false);
    expect(ran).toContain('nbd-client');
  });
});
