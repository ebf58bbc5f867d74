import { lstatSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkLinks, linksOf, makeLinks, removeLinks } from './links.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'mortar-links-'));
});
afterEach(() => rmSync(home, { recursive: true }));

const none = () => false;

describe('names of devices', () => {
  it('are made in pairs, changed when the device is another one, and removed', () => {
    const folder = join(home, 'av0');
    const links = linksOf(folder, 'oracle');
    expect(links).toEqual({ block: `${folder}/oracle`, raw: `${folder}/roracle` });
    checkLinks(links, none);
    makeLinks(folder, links, '/dev/loop90');
    makeLinks(folder, links, '/dev/loop91');
    expect([readlinkSync(links.block), readlinkSync(links.raw)]).toEqual(['/dev/loop91', '/dev/loop91']);
    removeLinks(links, '/dev/loop90');
    expect(readdirSync(folder)).toEqual(['oracle', 'roracle']);
    removeLinks(links, '/dev/loop91');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('are not taken from others', () => {
    const links = linksOf(home, 'a');
    symlinkSync('/dev/loop90', links.raw);
    expect(() => checkLinks(links, none)).toThrow(`${links.raw} is there already, for /dev/loop90`);
    checkLinks(links, (target) => target === '/dev/loop90');
    writeFileSync(links.block, 'mine');
    expect(() => checkLinks(links, () => true)).toThrow(`${links.block} is there already`);
    removeLinks(links, 'mine');
    expect(lstatSync(links.block).isFile()).toBe(true);
  });
});
