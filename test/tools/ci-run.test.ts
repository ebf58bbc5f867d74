/** `.ci/run` in a checkout of stand-ins: what it counts, prints and returns. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { root } from '../support/sandbox.ts';

let checkout: string;
beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), 'mortar-ci-'));
  for (const folder of ['.ci', 'scripts', 'bin', 'node_modules/vitest'])
    mkdirSync(join(checkout, folder), { recursive: true });
  copyFileSync(join(root, '.ci/run'), join(checkout, '.ci/run'));
  for (const script of ['lint-imports.mjs', 'generate-registry.mjs', 'build.mjs']) file(`scripts/${script}`, '');
  file('scripts/setup.sh', 'exit 0\n');
  vitest({ passed: 3, failed: 0 });
});
afterEach(() => rmSync(checkout, { recursive: true }));

function file(name: string, text: string): void {
  writeFileSync(join(checkout, name), text);
}

interface Run {
  passed: number;
  failed: number;
  broken?: number;
  exit?: number;
  report?: boolean;
}

/** Stand-ins for npx and npm that answer for every tool; `npm test` writes the report of the test runner. */
function vitest({ passed, failed, broken = 0, exit = failed + broken > 0 ? 1 : 0, report = true }: Run): void {
  const testResults = [
    ...Array.from({ length: broken }, () => ({ status: 'failed', assertionResults: [] })),
    { status: 'passed', assertionResults: [{}] },
  ];
  const text = JSON.stringify({ numPassedTests: passed, numFailedTests: failed, testResults });
  for (const name of ['npx', 'npm']) {
    file(
      `bin/${name}`,
      `#!/bin/bash
if [[ "$*" == *outputFile* ]]; then
  read -r && echo "stdin is open"
  for word in "$@"; do [[ $word == --outputFile.json=* ]] && ${report ? `echo '${text}' >"\${word#*=}"` : 'true'}; done
  exit ${exit}
fi
exit 0
`,
    );
    chmodSync(join(checkout, 'bin', name), 0o755);
  }
}

function run() {
  const env = { ...process.env, PATH: `${join(checkout, 'bin')}:${process.env.PATH}` };
  const { status, stdout } = spawnSync(join(checkout, '.ci/run'), { env, cwd: '/', encoding: 'utf8', input: 'text' });
  return { status, last: stdout.trimEnd().split('\n').at(-1), stdout };
}

describe('.ci/run', () => {
  it('ends with the counts of the test runner', () => {
    expect(run()).toMatchObject({ status: 0, last: '3 passed, 0 failed' });
  });

  it('gives no input to anything', () => {
    expect(run().stdout).not.toContain('stdin is open');
  });

  it.each([
    ['a test fails', { passed: 2, failed: 1 }, '2 passed, 1 failed'],
    ['a test file cannot be loaded', { passed: 2, failed: 0, broken: 1 }, '2 passed, 1 failed'],
    ['the runner fails without a failed test', { passed: 2, failed: 0, exit: 1 }, '2 passed, 1 failed'],
    ['the runner dies without a report', { passed: 0, failed: 0, exit: 137, report: false }, '0 passed, 1 failed'],
    ['there was no test', { passed: 0, failed: 0 }, '0 passed, 1 failed'],
  ])('fails when %s', (_, outcome, last) => {
    vitest(outcome);
    expect(run()).toMatchObject({ status: 1, last });
  });

  it.each(['scripts/lint-imports.mjs', 'scripts/generate-registry.mjs', 'scripts/build.mjs'])(
    'counts a failure of %s, and runs the tests all the same',
    (name) => {
      file(name, 'process.exit(1)\n');
      expect(run()).toMatchObject({ status: 1, last: '3 passed, 1 failed' });
    },
  );

  it('stops when nothing could be installed', () => {
    file('scripts/setup.sh', 'exit 1\n');
    rmSync(join(checkout, 'node_modules'), { recursive: true });
    expect(run()).toMatchObject({ status: 1, last: '0 passed, 1 failed' });
  });
});
