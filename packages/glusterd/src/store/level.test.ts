import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { Database, openLevel, StoreError } from './database.ts';

const folder = mkdtempSync(join(tmpdir(), 'mortar-level-'));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('is for its owner only, also one that was not', async () => {
  const path = join(folder, 'new', 'mortar.db');
  const mode = () => statSync(path).mode & 0o777;
  await (await openLevel(path)).close();
  expect(mode()).toBe(0o700);
  chmodSync(path, 0o755);
  await (await openLevel(path)).close();
  expect(mode()).toBe(0o700);
});

it('keeps documents on disk and lets one process in at a time', async () => {
  const path = join(folder, 'mortar.db');
  const batches = await openLevel(path);
  const node = { uuid: '6a058689-c7fa-4626-8617-cf4e6a7caeb2', opVersion: 100000 };
  await new Database(batches).commit({ node });
  await expect(openLevel(path)).rejects.toThrow(StoreError);
  await batches.close();
  const again = await openLevel(path);
  expect(await new Database(again).load()).toMatchObject({ node, globals: { version: 0 } });
  await again.close();
});
