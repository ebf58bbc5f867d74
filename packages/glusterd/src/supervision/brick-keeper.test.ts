import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Rig } from '../testing/rig.ts';

let rig: Rig;
/** Seconds that have passed beside the real ones. */
let later: number;

beforeEach(async () => {
  rig = new Rig();
  await rig.start();
  later = 0;
  const { context } = rig.daemon;
  const { clock } = context;
  context.clock = { ...clock, nowMs: () => clock.nowMs() + later * 1000 };
});

afterEach(async () => {
  await rig.daemon.close();
  rig.remove();
});

const bricks = () => rig.processes.pidsOf('--brick-port');
const look = () => rig.daemon.context.brickKeeper.look();
const set = (value: string) =>
  rig.done({ verb: 'volume.set', volume: 'v', pairs: [{ key: 'cluster.brick-restart', value }] });
const run = (verb: 'volume.start' | 'volume.stop', force = false) => rig.done({ verb, volume: 'v', force });

async function started(): Promise<number> {
  await rig.create('v', [rig.brick('v')]);
  await run('volume.start');
  return bricks()[0]!;
}

/** Looks as often as a second passes. */
async function wait(seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    later++;
    await look();
  }
}

describe('a brick that died', () => {
  it('is started again, later each time', async () => {
    rig.processes.die(await started());
    await look();
    expect(bricks()).toEqual([]);
    for (const pauseSeconds of [10, 20, 40, 60, 60]) {
      if (bricks().length > 0) {
        rig.processes.die(bricks()[0]!);
        await look();
      }
      await wait(pauseSeconds - 1);
      expect(bricks()).toEqual([]);
      await wait(1);
      expect(bricks()).toHaveLength(1);
    }
    // Long ago: it counts no more.
    await wait(700);
    rig.processes.die(bricks()[0]!);
    await look();
    await wait(10);
    expect(bricks()).toHaveLength(1);
  });

  it('stays away where nothing says otherwise', async () => {
    const pid = await started();
    await set('off');
    rig.processes.die(pid);
    await wait(100);
    expect(bricks()).toEqual([]);
  });

  it('is tried again when it does not start', async () => {
    const pid = await started();
    const { path } = [...rig.daemon.context.store.state.volumes.values()][0]!.bricks[0]!;
    rig.processes.broken.add(path);
    rig.processes.die(pid);
    await wait(35);
    expect(bricks()).toEqual([]);
    rig.processes.broken.clear();
    await wait(40);
    expect(bricks()).toHaveLength(1);
  });

  it('does not come again when its volume is stopped meanwhile', async () => {
    rig.processes.die(await started());
    await look();
    await run('volume.stop');
    await wait(15);
    expect(bricks()).toEqual([]);
  });
});

describe('a brick that was asked to end by somebody else', () => {
  it('stays away until it is started by force, and is looked after again', async () => {
    rig.processes.signal(await started(), 'SIGTERM');
    await wait(15);
    expect(bricks()).toEqual([]);
    await run('volume.start', true);
    rig.processes.die(bricks()[0]!);
    await wait(11);
    expect(bricks()).toHaveLength(1);
  });
});

describe('whatever becomes of a brick', () => {
  it('is it there in the end exactly if its volume is started and nobody else has ended it last', async () => {
    await started();
    const events = fc.constantFrom('die', 'end', 'stop', 'start', 'wait', 'break', 'mend');
    let isStarted = true;
    let isEnded = false;
    const { path } = [...rig.daemon.context.store.state.volumes.values()][0]!.bricks[0]!;
    await fc.assert(
      fc.asyncProperty(fc.array(events, { maxLength: 8 }), async (list) => {
        for (const event of list) {
          const [pid] = bricks();
          if (event === 'die' && pid) rig.processes.die(pid);
          else if (event === 'end' && pid) {
            rig.processes.signal(pid, 'SIGTERM');
            isEnded = true;
          } else if (event === 'stop' && isStarted) {
            await run('volume.stop');
            isStarted = false;
          } else if (event === 'start' && rig.processes.broken.size === 0) {
            await run('volume.start', true);
            isStarted = true;
            isEnded = false;
          } else if (event === 'break') rig.processes.broken.add(path);
          else if (event === 'mend') rig.processes.broken.clear();
          else if (event === 'wait') await wait(15);
          await look();
        }
        rig.processes.broken.clear();
        await wait(130);
        expect(bricks()).toHaveLength(isStarted && !isEnded ? 1 : 0);
        later += 1000;
      }),
      { numRuns: 40 },
    );
  });
});
