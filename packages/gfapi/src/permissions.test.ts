import { expect, it } from 'vitest';
import { checkedVolfile, codeOf, inMemory, memoryVolfile } from './gfapi-rig.ts';

/** As over bricks: caches, and what keeps them from answering everybody. */
async function asOverBricks(volfile: string) {
  const onTop = [
    { type: 'performance/md-cache' },
    { type: 'performance/quick-read' },
    { type: 'features/cache-access' },
  ];
  const v = await inMemory({ volfile: { text: volfile }, onTop });
  await v.mkdir('/secret', { mode: 0o700 });
  await v.writeFile('/secret/f', 'text', { mode: 0o644 });
  await v.writeFile('/own', 'text', { mode: 0o600 });
  for (const path of ['/secret/f', '/own']) expect(await v.readFile(path, 'utf8')).toBe('text');
  return { v, user: v.as({ uid: 1000, gid: 1000 }) };
}

it('are those that bricks would check, also where a cache answers', async () => {
  const { v, user } = await asOverBricks(checkedVolfile);
  await using _closed = v;
  expect(await codeOf(user.stat('/secret/f'))).toBe('EACCES');
  for (const path of ['/secret/f', '/own']) expect(await codeOf(user.readFile(path))).toBe('EACCES');
  await v.chmod('/secret', 0o711);
  expect(await user.readFile('/secret/f', 'utf8')).toBe('text');
});

it('are no concern where bricks check none', async () => {
  const { v, user } = await asOverBricks(memoryVolfile);
  await using _closed = v;
  for (const path of ['/secret/f', '/own']) expect(await user.readFile(path, 'utf8')).toBe('text');
});
