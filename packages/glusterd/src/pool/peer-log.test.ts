import { nodeClock } from '@mortar/rpc/transports/node-ports.ts';
import { expect, it } from 'vitest';
import { PeerLog } from './peer-log.ts';

const peer = { uuid: 'u2', hostnames: ['node2', '10.0.0.2'] };
const clock = { ...nodeClock, wall: () => ({ sec: 1_800_000_000, nsec: 5 }) };

it('tells what became of a peer, each change once', () => {
  const log = new PeerLog(clock);
  log.members([]);
  log.connection('u2', true);
  expect(log.transitions()).toEqual([]);
  log.members([peer]);
  log.members([peer]);
  log.connection('u2', false);
  log.connection('u2', true);
  log.connection('u2', false);
  log.members([]);
  const down = 'Peer in Cluster (Disconnected)';
  const up = 'Peer in Cluster (Connected)';
  expect(log.transitions().map(({ from, to, event }) => [from, to, event])).toEqual([
    ['Unknown', down, 'joined the pool'],
    [down, up, 'connection established'],
    [up, down, 'connection lost'],
    [down, 'Unknown', 'left the pool'],
  ]);
  expect(log.transitions()[0]).toMatchObject({ uuid: 'u2', hostname: 'node2', at: 1_800_000_000 });
});

it('keeps the last fifty', () => {
  const log = new PeerLog(clock);
  log.members([peer]);
  for (let i = 0; i < 100; i++) log.connection('u2', i % 2 === 0);
  expect(log.transitions()).toHaveLength(50);
});
