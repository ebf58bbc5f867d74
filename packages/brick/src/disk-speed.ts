/** `volume top V write-perf bs SIZE count COUNT`: how fast the brick's disk takes new blocks. */
import { open, rm } from 'node:fs/promises';

const name = '.glusterfs/.speed-test';

export async function writeSpeed(
  directory: string,
  blockSize: number,
  blocks: number,
): Promise<{ megabytesPerSecond: number; seconds: number }> {
  const path = `${directory}/${name}`;
  const block = Buffer.alloc(blockSize);
  const begun = process.hrtime.bigint();
  const file = await open(path, 'w', 0o600);
  try {
    for (let i = 0; i < blocks; i++) await file.write(block);
    await file.sync();
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  return { megabytesPerSecond: (blockSize * blocks) / (seconds * 1e6), seconds };
}
