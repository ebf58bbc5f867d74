import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bashCompletion, completeLine, literalsOf, nextOf, zshCompletion } from './completion.ts';

const file = fileURLToPath(new URL('../../../contrib/bash-completion/gluster', import.meta.url));
const volumes = async () => ['alpha', 'beta'];

describe('completion', () => {
  it('follows the table of commands, also with shortened words', () => {
    expect(nextOf([]).words).toEqual(expect.arrayContaining(['volume', 'peer', 'pool', 'system::', 'help']));
    expect(nextOf(['peer']).words).toEqual(['detach', 'help', 'probe', 'status']);
    expect(nextOf(['v', 'reb'])).toEqual({ words: [], wantsVolume: true });
    expect(nextOf(['system::', 'lock']).words).toEqual(['break', 'show']);
    expect(nextOf(['no', 'such'])).toEqual({ words: [], wantsVolume: false });
  });

  it('offers the words of a synopsis behind the volume, each once', () => {
    expect(nextOf(['volume', 'heal', 'v']).words).toEqual(expect.arrayContaining(['info', 'full', 'enable']));
    expect(nextOf(['volume', 'heal', 'v', 'info']).words).not.toContain('info');
    expect(literalsOf('<VOLNAME> [force] {a-b|c1}')).toEqual(['force', 'a-b']);
  });

  it('ends words as readline wants it', async () => {
    expect(await completeLine('vol', volumes)).toEqual([['volume '], 'vol']);
    expect(await completeLine('volume info a', volumes)).toEqual([['all ', 'alpha '], 'a']);
    expect(await completeLine('volume start ', volumes)).toEqual([['alpha ', 'beta '], '']);
    expect(await completeLine('volume start beta f', volumes)).toEqual([['force '], 'f']);
    expect(await completeLine('peer probe ', async () => Promise.reject(new Error('nobody is asked')))).toEqual([
      [],
      '',
    ]);
  });

  it('has the file for bash as it would be generated', () => {
    expect(readFileSync(file, 'utf8')).toBe(bashCompletion());
  });

  const zshFile = file.replace('bash-completion/gluster', 'zsh-completion/_gluster');

  it('has the file for zsh as it would be generated', () => {
    expect(readFileSync(zshFile, 'utf8')).toBe(zshCompletion());
  });

  it.skipIf(spawnSync('zsh', ['--version']).status !== 0)('works in zsh', () => {
    const next = (...words: string[]) => {
      const script = `. '${zshFile}'; _gluster_next ${words.map((word) => `'${word}'`).join(' ')}`;
      return execFileSync('zsh', ['-fc', script], { encoding: 'utf8' }).trim().split('\n').sort();
    };
    expect(next('gluster').length).toBeGreaterThan(5);
    expect(next('peer')).toEqual(['detach', 'help', 'probe', 'status']);
    expect(next('volume', 'start')).toEqual(['@volumes']);
    expect(next('--mode=script', 'volume', 'start', 'alpha')).toEqual(['force']);
  });

  it('works in bash', () => {
    const complete = (...words: string[]) => {
      const line = words.map((word) => `'${word}'`).join(' ');
      const script =
        `gluster() { printf 'alpha\\nbeta\\n'; }; . '${file}'; COMP_WORDS=(gluster ${line}); ` +
        `COMP_CWORD=${words.length}; _gluster; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split('\n').sort();
    };
    expect(spawnSync('bash', ['-n', file]).status).toBe(0);
    expect(complete('vol')).toEqual(['volume']);
    expect(complete('peer', '')).toEqual(['detach', 'help', 'probe', 'status']);
    expect(complete('volume', 'start', '')).toEqual(['alpha', 'beta']);
    expect(complete('volume', 'start', 'alpha', 'f')).toEqual(['force']);
    expect(complete('--mode=script', 'volume', 'heal', 'beta', 'en')).toEqual(['enable']);
  });
});
