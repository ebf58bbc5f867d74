import { nodeRandom } from '@mortar/rpc/transports/node-ports.ts';
import { expect, it } from 'vitest';
import { RecordedProcesses } from '../testing/rig.ts';
import { PortRange } from './port-range.ts';

it('takes ports within its bounds, none twice and none that is in use, and says what to do when there is none', async () => {
  const processes = new RecordedProcesses();
  processes.busyPorts.add(50_002);
  const range = new PortRange(processes, nodeRandom, { first: 50_000, last: 50_004 });
  const taken = [await range.take(50_003)];
  expect(taken).toEqual([50_003]);
  // Of an adopted brick that had another range.
  taken.push(await range.take(49_152));
  while (taken.length < 4) taken.push(await range.take());
  expect([...taken].sort()).toEqual([50_000, 50_001, 50_003, 50_004]);
  await expect(range.take()).rejects.toThrow(
    'all ports from 50000 to 50004 are in use: give bricks others by base-port',
  );
  range.release(50_001);
  expect(await range.take()).toBe(50_001);
});
