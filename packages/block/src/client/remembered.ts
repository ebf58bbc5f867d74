/** Which volumes are attached, on the disk: a daemon that is started again attaches them again. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { z } from 'zod';

const volume = z.strictObject({
  namespace: z.string().max(128),
  name: z.string().max(128),
  /** The device of the kernel's NBD client: it stays when this daemon is killed, and is of no use then. */
  nbd: z
    .string()
    .regex(/^\/dev\/nbd\d+$/)
    .optional(),
});
const schema = z.array(volume).max(65_536);
export type Remembered = z.infer<typeof schema>;

/** Nothing, when there is no such file or nobody can read what is in it. */
export function readRemembered(path: string): Remembered {
  try {
    const parsed = schema.safeParse(JSON.parse(readFileSync(path, 'utf8')));
    return parsed.success ? parsed.data : [];
  } catch {
    return [];
  }
}

/** The file is the old one or the new one, never a part. */
export function writeRemembered(path: string, volumes: Remembered): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(volumes)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
