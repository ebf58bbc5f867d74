/** What a cache of the volume answers is believed by the kernel for as long as it was still good for. */
import { buildGraph, type Services, startGraph, type XlatorType } from '@mortar/core';
import { rigServices } from '@mortar/xlators/lib/translator-rig.ts';
import { xlator as mdCache } from '@mortar/xlators/performance/md-cache/index.ts';
import { xlator as memory } from '@mortar/xlators/storage/memory/index.ts';
import { expect, it } from 'vitest';
import { SessionRig, text, u32, u64 } from './session-rig.ts';

const entryValidAt = 16;
const attrValidAt = 24;

function validMs(body: Buffer, secondsAt: number, nanosecondsAt: number): number {
  return Number(body.readBigUInt64LE(secondsAt)) * 1000 + body.readUInt32LE(nanosecondsAt) / 1e6;
}

async function mounted(options: { entryTimeout: number; attributeTimeout: number }) {
  const services = rigServices();
  const node = (name: string, type: string, subvolumes: string[]) => ({
    name,
    type,
    subvolumes,
    options: new Map<string, string>(),
  });
  const volumes = [node('disk', 'storage/memory', []), node('cache', 'performance/md-cache', ['disk'])];
  const types = [memory, mdCache] as unknown as XlatorType[];
  const graph = buildGraph({ volumes } as never, new Map(types.map((type) => [type.type, type])), services as Services);
  await startGraph(graph);
  return { services, rig: new SessionRig(services, options, graph.top.ops) };
}

it('entries and attributes are valid for what is left of their time', async () => {
  const { services, rig } = await mounted({ entryTimeout: 1, attributeTimeout: 0.5 });
  const made = await rig.expect('mkdir', 1, u32(0o755, 0), text('d'));
  const id = Number(made.readBigUInt64LE(0));
  const lookup = async () => {
    const body = await rig.expect('lookup', 1, text('d'));
    return [validMs(body, entryValidAt, 32), validMs(body, attrValidAt, 36)];
  };
  expect(await lookup()).toEqual([1000, 500]);
  await services.clock.advance(300);
  expect(await lookup()).toEqual([700, 200]);
  const attr = await rig.expect('getattr', id, u32(0, 0), u64(0));
  expect(validMs(attr, 0, 8)).toBe(200);
  await services.clock.advance(300);
  expect(await lookup()).toEqual([400, 0]);
  await services.clock.advance(400);
  // Asked for anew.
  expect(await lookup()).toEqual([1000, 500]);
});
