/** What the command line finds out by itself: help, usage, questions, words that make no sense. */
import { describe, expect, it } from 'vitest';
import { outcomeOf, refused, runCommand, transcript, transcripts } from './testing/transcripts.ts';

/** Commands that GlusterFS's command line refused without asking glusterd, by what it says. */
function isLocal(stderr: string, stdout: string): boolean {
  return (/\nUsage:\n/.test(stderr) && !stderr.includes('quota')) || /Usage: gluster \[options\]/.test(stdout);
}

/** Of commands that are not part of this build. */
const elsewhere = / (barrier|clear-locks|profile|top|snapshot|quota|bitrot|add-brick|remove-brick|rebalance) ?/;

describe('words that make no sense', () => {
  const files = ['help', 'peers', 'volume-create', 'volume-set', 'heal', 'split-brain', 'statedump', 'volume-status'];
  const found = files
    .flatMap(transcripts)
    .filter((one) => isLocal(one.stderr, one.stdout) && !elsewhere.test(one.command));

  it.each(found.map((one) => [one.command, one] as const))('%s', async (command, one) => {
    const { requests, ...outcome } = await runCommand(command, undefined, one.input);
    expect(outcome).toEqual(outcomeOf(one));
    expect(requests).toEqual([]);
  });

  it('covers the transcripts', () => {
    expect(found.length).toBeGreaterThan(40);
  });
});

describe('questions', () => {
  const cases = [
    ['volume-create', 'gluster volume create rep2b replica 2 10.78.0.11:/srv/b1/rep2b 10.78.0.12:/srv/b1/rep2b'],
    ['volume-start-stop', 'gluster volume stop dist', 0],
    ['volume-start-stop', 'gluster volume stop dist', 1],
    ['volume-start-stop', 'gluster --xml volume stop nosuch'],
    ['volume-start-stop', 'gluster volume delete tcpv', 0],
    ['peers', 'gluster peer detach 10.78.0.13', 0],
  ] as const;

  it.each(cases)('%s: %s', async (file, command, nth = 0) => {
    const one = transcript(file, command, nth);
    const { requests, ...outcome } = await runCommand(command, undefined, one.input);
    expect(outcome).toEqual(outcomeOf(one));
  });

  it('are answered with y by scripts', async () => {
    const { requests } = await runCommand('gluster --mode=script volume stop v', () => ({ ok: true, data: {} }));
    expect(requests).toEqual([{ verb: 'volume.stop', volume: 'v', force: false }]);
  });
});

describe('help', () => {
  /** The form of a command without what we say it is for. */
  const forms = (text: string) => text.split(/ - [^\n]*\n/).map((form) => form.trim());
  const words = [
    'help',
    'volume help',
    'peer help',
    'snapshot help',
    'global help',
    'volume quota help',
    'volume bitrot help',
  ];

  it.each(words)('%s lists the same commands in the same order', async (command) => {
    const one = transcript('help', `gluster ${command}`);
    const { stdout, exit } = await runCommand(one.command);
    expect(forms(stdout)).toEqual(forms(one.stdout));
    expect(exit).toBe(0);
  });

  it('welcomes to the prompt and ends with its input', async () => {
    const one = transcript('help', 'gluster');
    expect(await runCommand('gluster')).toMatchObject(outcomeOf(one));
  });

  it('runs the commands of its input until one fails', async () => {
    const { requests, exit } = await runCommand(
      'gluster',
      () => ({ ok: true, data: { names: [] } }),
      'volume list\nbad\nvolume list\n',
    );
    expect(requests).toHaveLength(1);
    expect(exit).toBe(1);
  });
});

describe('options', () => {
  it.each(['--xml volume info v', 'volume --xml info v', 'volume info v --xml'])(
    'are taken anywhere: %s',
    async (words) => {
      const { stdout, requests } = await runCommand(`gluster ${words}`, () => ({ ok: true, data: { volumes: [] } }));
      expect(stdout).toContain('<cliOutput>');
      expect(requests).toEqual([{ verb: 'volume.info', volume: 'v' }]);
    },
  );

  it.each(['v', 'vol', 'volume'])('%s is enough for volume', async (word) => {
    const { requests } = await runCommand(`gluster ${word} start x force`, () => ({ ok: true, data: {} }));
    expect(requests).toEqual([{ verb: 'volume.start', volume: 'x', force: true }]);
  });

  it('prints the directories', async () => {
    expect(await runCommand('gluster --print-logdir')).toMatchObject({ stdout: '/var/log/glusterfs\n', exit: 0 });
    expect(await runCommand('gluster --print-statedumpdir')).toMatchObject({ stdout: '/var/run/gluster\n', exit: 0 });
  });

  it('refuses an option that it does not know', async () => {
    const { stdout, exit } = await runCommand('gluster --nosuch volume info');
    expect(stdout).toContain('unrecognized option --nosuch');
    expect(exit).toBe(1);
  });

  it.each([
    ['volume strat v', 'start'],
    ['volme info', 'volume'],
    ['peer prbe h', 'probe'],
    ['--xlm volume info', '--xml'],
    ['--remote-hots=h volume info', '--remote-host'],
  ])('says what %s most likely meant, beside what the original says', async (words, meant) => {
    const { stdout, stderr, exit } = await runCommand(`gluster ${words}`);
    expect([stderr, exit]).toEqual([`Did you mean ${meant}?\n`, 1]);
    expect(stdout).toMatch(/^unrecognized (word|option)/);
  });

  it('says at a terminal which volume a name most likely meant', async () => {
    const answer = () => refused('Volume vlo does not exist', { meant: 'vol' });
    const text = 'volume start: vlo: failed: Volume vlo does not exist\n';
    const run = async (words: string, errorIsTerminal: boolean) => {
      const { stdout, stderr, exit } = await runCommand(`gluster ${words}`, answer, '', { errorIsTerminal });
      return [stdout, stderr, exit];
    };
    expect(await run('volume start vlo', false)).toEqual(['', text, 1]);
    expect(await run('volume start vlo', true)).toEqual(['', `${text}Did you mean vol?\n`, 1]);
    expect((await run('volume start vlo --xml', true))[1]).toBe('');
    expect((await run('volume info vlo', true))[1]).toBe('Volume vlo does not exist\nDid you mean vol?\n');
  });

  it('takes --wignore for force', async () => {
    const { requests } = await runCommand('gluster --wignore volume create v h:/b', () => ({ ok: true, data: {} }));
    expect(requests[0]).toMatchObject({ force: true });
  });
});

it.each([
  'volume geo-replication v h::s status',
  'volume bitrot v enable',
  'snapshot create s v',
  'volume quota v enable',
])('%s is refused by its name', async (words) => {
  const { stderr, exit } = await runCommand(`gluster ${words}`);
  expect(stderr).toContain(`${words.split(' ').slice(0, 2).join(' ')}: not available in this version`);
  expect(exit).toBe(1);
});
