import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import type { Xlator } from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { rigServices } from '../../lib/translator-rig.ts';
import { HealthCheck } from './health.ts';
import { posixRig, removeBrick, temporaryBrick } from './rig.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

describe('health check', () => {
  it('does not take a full disk for a broken one', async () => {
    const check = new HealthCheck('/dev/full', rigServices().clock, { intervalSec: 30, timeoutSec: 0 }, () => {});
    expect(await check.check()).toBeNull();
  });

  it('writes its file and reads it back', async () => {
    const directory = temporaryBrick();
    ends.push(() => removeBrick(directory));
    const path = `${directory}/health_check`;
    const check = new HealthCheck(path, rigServices().clock, { intervalSec: 30, timeoutSec: 0 }, () => {});
    expect(await check.check()).toBeNull();
    expect(readFileSync(path, 'utf8')).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000$/);
    rmSync(path);
    mkdirSync(path);
    expect(await check.check()).toMatch(/EISDIR/);
  });

  it('tells parents and the log of a disk that fails', async () => {
    const services = rigServices();
    const r = await posixRig({ 'health-check-interval': '5' }, services);
    ends.push(() => r.close());
    mkdirSync(`${r.directory}/.glusterfs/health_check`);
    const events: string[] = [];
    r.xlator.parents = [{ notify: (event: { type: string }) => events.push(event.type) } as unknown as Xlator];
    await services.clock.advance(5000);
    for (let i = 0; i < 1000 && events.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(events).toEqual(['child-down']);
    expect(services.lines.some(({ level, text }) => level === 'CRITICAL' && /health-check failed/.test(text))).toBe(
      true,
    );
  });
});
