/** For tests: threads of node's pool that have something else to do, so that what is left to them waits. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, read, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** All of them wait until the function that this returns is called. */
export function busyPool(): () => void {
  const directory = mkdtempSync(join(tmpdir(), 'mortar-pool-'));
  const path = `${directory}/nothing`;
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, 'r+');
  rmSync(directory, { recursive: true });
  const threads = Number(process.env.UV_THREADPOOL_SIZE ?? 4);
  let waiting = threads;
  for (let i = 0; i < threads; i++)
    read(fd, Buffer.alloc(1), 0, 1, null, () => {
      if (--waiting === 0) closeSync(fd);
    });
  return () => {
    writeSync(fd, Buffer.alloc(threads));
  };
}
