import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReportError, writeReport } from './write-report.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mortar-report-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

const write = (file: string) => writeReport(file, 'text', 'a report', 'ask elsewhere');

describe('a file that a process writes about itself', () => {
  it('is there whole, for its owner alone, in a folder that is made for it', () => {
    const file = path.join(directory, 'sub', 'report');
    write(file);
    expect(fs.readFileSync(file, 'utf8')).toBe('text');
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    expect(fs.readdirSync(path.dirname(file))).toEqual(['report']);
  });

  it('does not go through a link that somebody has put in its way', () => {
    const other = path.join(directory, 'precious');
    fs.writeFileSync(other, 'kept');
    fs.symlinkSync(other, path.join(directory, `.dump-${process.pid}`));
    fs.symlinkSync(other, path.join(directory, 'report'));
    write(path.join(directory, 'report'));
    expect(fs.readFileSync(other, 'utf8')).toBe('kept');
    expect(fs.lstatSync(path.join(directory, 'report')).isSymbolicLink()).toBe(false);
  });

  it('says what to do where it cannot be written', () => {
    fs.writeFileSync(path.join(directory, 'file'), '');
    expect(() => write(path.join(directory, 'file', 'report'))).toThrow(ReportError);
    expect(() => write(path.join(directory, 'file', 'report'))).toThrow(/could not write a report.*ask elsewhere/);
  });
});
