import { Errno, type GraphEvent, type Subvolume } from '@mortar/core';
import { expect, it } from 'vitest';
import { ServedGraph } from './graphs.ts';

it('asks for children that are away when a request failed for want of one', () => {
  const events: GraphEvent[] = [];
  const xlator = { keeps: 'nothing', notify: (event: GraphEvent) => events.push(event) };
  const graph = new ServedGraph({ xlator } as unknown as Subvolume);
  graph.failed(Errno.ENOENT);
  expect(events).toEqual([]);
  graph.failed(Errno.ENOTCONN);
  expect(events).toEqual([{ type: 'child-wanted' }]);
});
