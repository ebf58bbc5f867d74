import { expect, it } from 'vitest';
import { commitHashOf } from './brick-command.ts';

it('each task that moves files gives the volume another commit hash, none of those that mean something else', () => {
  const first = commitHashOf({ command: 'migrate', id: '00000000-5a43-4b37-92d1-000000000001' });
  const second = commitHashOf({ command: 'detach', id: 'ffffffff-5a43-4b37-92d1-000000000001' });
  expect([first, second]).toEqual([4, 0xffffffff]);
  expect(commitHashOf({ command: 'fix-layout', id: 'ffffffff-5a43-4b37-92d1-000000000001' })).toBe(0);
});
