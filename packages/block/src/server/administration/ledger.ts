/**
 * What clients have had made and changed, on the disk beside the server's configuration (`rssrvcfg.made`), which is never written.
 * A step of several is written down before it begins, so that one that a crash has cut short is finished at the next start.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { limitsSchema } from '../../rsio/administration.ts';
import { name } from '../../rsio/messages.ts';
import { refusalOfSystem } from './refusal.ts';

export const devicesMax = 1024;

const madeDevice = z.strictObject({
  name,
  pool: name,
  sizeBytes: z.int().positive(),
  description: z.string().max(128),
  clients: z.array(name).max(65).optional(),
  madeBy: name,
  /** Its gfid on a volume; empty for files. */
  id: z.string().max(64),
  /** `making`, `removing`, `renaming` (to `to`): was begun. */
  state: z.enum(['ready', 'making', 'removing', 'renaming']),
  to: name.optional(),
});
export type MadeDevice = z.infer<typeof madeDevice>;

const change = z.strictObject({ limits: limitsSchema.optional(), isPaused: z.literal(true).optional() });
/** What was changed at a device, whoever has made it. */
export type Change = z.infer<typeof change>;

const document = z.strictObject({
  version: z.literal(1),
  devices: z.array(madeDevice).max(devicesMax),
  changes: z.array(z.strictObject({ name, change })).max(10 * devicesMax),
});

export class Ledger {
  readonly path: string;
  #devices = new Map<string, MadeDevice>();
  #changes = new Map<string, Change>();

  private constructor(path: string) {
    this.path = path;
  }

  /** Throws when there is a file that nobody can make sense of: what is in it must not be lost. */
  static read(path: string): Ledger {
    const ledger = new Ledger(path);
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ledger;
      throw error;
    }
    try {
      const { devices, changes } = document.parse(JSON.parse(text));
      ledger.#devices = new Map(devices.map((device) => [device.name, device]));
      ledger.#changes = new Map(changes.map((one) => [one.name, one.change]));
      return ledger;
    } catch (error) {
      const why = (error as Error).message.split('\n').slice(0, 3).join(' ');
      throw new Error(
        `${path} (what clients have had made) cannot be understood; put it right, or move it away: ${why}`,
        {
          cause: error,
        },
      );
    }
  }

  get devices(): readonly MadeDevice[] {
    return [...this.#devices.values()];
  }

  device(named: string): MadeDevice | undefined {
    return this.#devices.get(named);
  }

  changeOf(named: string): Change {
    return this.#changes.get(named) ?? {};
  }

  /** Writes it down, or throws a Refusal and is as it was. */
  change(work: (devices: Map<string, MadeDevice>, changes: Map<string, Change>) => void): void {
    const devices = new Map(this.#devices);
    const changes = new Map(this.#changes);
    work(devices, changes);
    for (const [named, one] of changes) if (Object.keys(one).length === 0) changes.delete(named);
    this.#write(devices, changes);
    this.#devices = devices;
    this.#changes = changes;
  }

  /** The old file or the new one, and on stable storage. */
  #write(devices: ReadonlyMap<string, MadeDevice>, changes: ReadonlyMap<string, Change>): void {
    const all = {
      version: 1,
      devices: [...devices.values()],
      changes: [...changes].map(([named, one]) => ({ name: named, change: one })),
    };
    try {
      const file = openSync(`${this.path}.new`, 'w', 0o600);
      try {
        writeSync(file, `${JSON.stringify(all, null, 1)}\n`);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(`${this.path}.new`, this.path);
      syncDirectory(dirname(this.path));
    } catch (error) {
      throw refusalOfSystem(
        `${this.path}, where the server keeps what clients have had made, cannot be written`,
        error,
      );
    }
  }
}

export function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
