import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RebalanceStatus } from '@mortar/xlators/cluster/distribute/rebalance.ts';
import { ManualClock } from '@mortar/xlators/lib/translator-rig.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProgressFile } from './rebalance-progress.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mortar-progress-'));
  path = join(folder, 'status.json');
});
afterEach(() => rmSync(folder, { recursive: true }));

const lines: string[] = [];
const log = { write: (_level: string, _origin: string, text: string) => void lines.push(text) } as never;
const status = (movedFiles: number, state: RebalanceStatus['state'] = 'running'): RebalanceStatus => ({
  state,
  movedFiles,
  movedBytes: 0,
  scanned: 1,
  failures: 0,
  skipped: 0,
  seconds: 1,
});
const kept = () => JSON.parse(readFileSync(path, 'utf8')) as RebalanceStatus;

describe('what a rebalance process leaves', () => {
  it('is how far it is, each second', async () => {
    const clock = new ManualClock();
    let moved = 1;
    const keeping = new ProgressFile(path).keep({ clock, log }, () => status(moved));
    expect(kept()).toEqual(status(1));
    for (moved = 2; moved < 5; moved++) {
      await clock.advance(1000);
      expect(kept()).toEqual(status(moved));
    }
    keeping.end();
    moved = 9;
    await clock.advance(5000);
    expect(kept()).toEqual(status(4));
  });

  it('is what the next one begins with, if it did not end by itself', () => {
    const file = new ProgressFile(path);
    expect(file.before()).toBeUndefined();
    file.write(status(3));
    expect(file.before()).toEqual(status(3));
    for (const state of ['completed', 'stopped', 'failed'] as const) {
      file.write(status(3, state));
      expect(file.before()).toBeUndefined();
    }
    for (const text of ['', '{"state":"runn', '[]', '{"state":"running","movedFiles":-1}']) {
      writeFileSync(path, text);
      expect(file.before()).toBeUndefined();
    }
  });

  it('may be nothing, without an end to the work, and is told once', async () => {
    const clock = new ManualClock();
    mkdirSync(path);
    const keeping = new ProgressFile(path).keep({ clock, log }, () => status(1));
    await clock.advance(5000);
    expect(lines).toHaveLength(1);
    rmSync(path, { recursive: true });
    await clock.advance(1000);
    expect(kept()).toEqual(status(1));
    keeping.end();
  });
});
