/** What is there before a run begins: files that are registers or logs, and directories. */
import { Fd, type Gfid, locAt, locOf, newGfid, rootGfid } from '@mortar/core';
import type { SimClient } from './client.ts';
import { numbered } from './history.ts';
import type { Plan } from './plan.ts';
import { makeTold } from './told-attributes.ts';

const O_RDWR = 2;
const O_CREAT = 0o100;
export const blockBytes = 64;
/** Of the file `blocks`. */
export const blocks = 3;
/** What all registers hold. */
export const initialValue = numbered(0);

export const fileNames = ['blocks', 'append', 'truncate', 'attributes'] as const;
export type FileName = (typeof fileNames)[number];
export const directoryNames = ['churn', 'made'] as const;
type DirectoryName = (typeof directoryNames)[number];

/** Made before anything goes wrong. */
export interface Scene {
  readonly files: Readonly<Record<FileName, Gfid>>;
  readonly directories: Readonly<Record<DirectoryName, Gfid>>;
  /** Where there is work of this kind. */
  readonly told: Gfid | undefined;
}

export async function makeScene(client: SimClient, { work }: Plan): Promise<Scene> {
  const { random } = client.services;
  const files: Partial<Record<FileName, Gfid>> = {};
  const directories: Partial<Record<DirectoryName, Gfid>> = {};
  for (const name of fileNames) {
    const gfid = newGfid(random);
    const fd = new Fd(gfid, O_RDWR);
    const flags = O_RDWR | O_CREAT;
    check(name, await client.ops.create(client.call, { loc: locAt(rootGfid, name), flags, mode: 0o644, gfid, fd }));
    files[name] = gfid;
    if (name === 'blocks' || name === 'truncate') {
      const data = Buffer.concat(Array.from({ length: blocks }, () => blockOf(initialValue)));
      check(name, await client.ops.writev(client.call, { fd, offset: 0, data }));
    }
    if (name === 'attributes') {
      const loc = locOf(gfid);
      const xattrs = { 'user.value': Buffer.from(initialValue) };
      check(name, await client.ops.setxattr(client.call, { loc, xattrs, flags: 0 }));
    }
    check(name, await client.ops.fsync(client.call, { fd, dataOnly: false }));
    fd.release();
  }
  for (const name of directoryNames) {
    const gfid = newGfid(random);
    check(name, await client.ops.mkdir(client.call, { loc: locAt(rootGfid, name), mode: 0o755, gfid }));
    directories[name] = gfid;
  }
  const told = work.includes('told') ? await makeTold(client) : undefined;
  await client.xlator.drain();
  return { files, directories, told } as Scene;
}

export function check(what: string, reply: { ok: boolean; errno?: number }): void {
  if (!reply.ok) throw new Error(`${what} could not be made before the run: errno ${reply.errno}`);
}

export function blockOf(value: string): Buffer {
  return Buffer.from(value.padEnd(8, '.').repeat(blockBytes / 8), 'latin1');
}
