/** What happens to the machines of a replica set, on disks of their own, and what is checked between. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { newUuid } from '@mortar/glusterd/uuid.ts';
import type { SeededRandom } from '@mortar/testing/sim/random.ts';
import { hasProgram } from './cluster.ts';
import type { ClusterNode, Nodes } from './nodes.ts';
import { root } from './sandbox.ts';

/** From linux/ext4.h: EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH. What was not synced is gone. */
const dropUnsynced = `import fcntl,os,struct,sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))`;
const diskMiB = 256;

/** Why nodes cannot have disks here, or null. */
export function disksImpossible(): string | null {
  if (!existsSync('/dev/loop-control')) return 'there are no loop devices';
  const { status } = spawnSync('mkfs.ext4', ['-V']);
  return status === 0 ? null : 'there is no mkfs.ext4';
}

/** A machine with an ext4 file system of its own for its brick. */
export class DiskNode {
  readonly node: ClusterNode;
  readonly random: SeededRandom;
  readonly #image: string;
  readonly disk: string;
  readonly brick: string;

  constructor(node: ClusterNode, random: SeededRandom) {
    this.node = node;
    this.random = random;
    this.#image = node.at('disk.img');
    this.disk = node.at('bricks');
    this.brick = join(this.disk, 'data');
  }

  async make(): Promise<void> {
    await this.node.sh(`truncate -s ${diskMiB}M ${this.#image}; mkfs.ext4 -q -I 512 ${this.#image}`);
    await this.#mountDisk();
    await this.newBoot();
  }

  #mountDisk(): Promise<string> {
    return this.node.sh(`mount -o loop ${this.#image} ${this.disk}`);
  }

  /** Who was killed may not be gone yet. */
  #umountDisk(): Promise<string> {
    return this.node.sh(`for i in {1..100}; do umount ${this.disk} && exit; sleep 0.1; done; exit 1`);
  }

  /** The kernel says that it was started anew, to whoever asks on this node. */
  async newBoot(): Promise<void> {
    const file = this.node.at('boot_id');
    const place = '/proc/sys/kernel/random/boot_id';
    writeFileSync(file, `${newUuid(this.random)}\n`);
    await this.node.sh(`umount ${place} 2>/dev/null || true; mount --bind ${file} ${place}`);
  }

  /** Pids of the bricks, as their files say. */
  #bricks(signal: string): Promise<string> {
    return this.node.sh(`for f in ${this.node.at('run/vols/data')}/*.pid; do kill -${signal} $(cat $f) || true; done`);
  }

  killBrick(): Promise<string> {
    return this.#bricks('KILL');
  }

  stopBrick(): Promise<string> {
    return this.#bricks('STOP');
  }

  continueBrick(): Promise<string> {
    return this.#bricks('CONT');
  }

  async fillDisk(): Promise<void> {
    await this.node.sh(`dd if=/dev/zero of=${this.disk}/filler bs=64k status=none 2>/dev/null || true`);
  }

  emptyDisk(): Promise<string> {
    return this.node.sh(`rm -f ${this.disk}/filler`);
  }

  /** Whoever writes to it waits until it is let go; reads go on. */
  freezeDisk(): Promise<string> {
    return this.node.sh(`fsfreeze -f ${this.disk}`);
  }

  thawDisk(): Promise<string> {
    return this.node.sh(`fsfreeze -u ${this.disk}`);
  }

  /** As after an error of the journal: all is read-only from now on, and what was not written is not. */
  failDisk(): Promise<string> {
    return this.node.sh(`mount -o remount,abort ${this.disk}`);
  }

  async repairDisk(): Promise<void> {
    await this.killBrick();
    await this.#umountDisk();
    await this.node.sh(`e2fsck -fy ${this.#image} >/dev/null 2>&1 || [ $? -le 2 ]`);
    await this.#mountDisk();
  }

  /** Everything that runs here ends, and what was not on the disk never was. */
  async cutPower(): Promise<void> {
    await this.node.sh(
      `shopt -s nullglob; for f in $(find ${this.node.at('run')} -name '*.pid'); do kill -9 $(cat $f) 2>/dev/null || true; done`,
    );
    await this.node.sh(`python3 -c "${dropUnsynced}" ${this.disk}`);
    await this.#umountDisk();
  }

  async givePower(): Promise<void> {
    await this.#mountDisk();
    await this.newBoot();
    await this.node.startGlusterd();
  }

  /** All names, and all contents, of the brick. */
  async tree(): Promise<string> {
    const own = `-path './.glusterfs*' -prune -o`;
    return this.node.sh(
      `cd ${this.brick}; find . ${own} ! -name . -printf '%P %y %m %n\\n' | sort; ` +
        `find . ${own} -type f -print0 | sort -z | xargs -0r sha256sum`,
    );
  }
}

export interface Fault {
  readonly what: string;
  begin(): Promise<unknown>;
  end(): Promise<unknown>;
}

/** All kinds of faults of one machine of a cluster. */
export function faultsOf(cluster: Nodes, one: DiskNode, client: ClusterNode): Fault[] {
  const { node } = one;
  const nothing = async () => {};
  return [
    { what: 'its brick is killed', begin: () => one.killBrick(), end: nothing },
    { what: 'its brick says nothing', begin: () => one.stopBrick(), end: () => one.continueBrick() },
    {
      what: 'its plug is pulled',
      begin: () => cluster.setLink(node, 'down'),
      end: () => cluster.setLink(node, 'up'),
    },
    {
      what: 'it does not reach the client',
      begin: () => node.setRoute(client, 'cut'),
      end: () => node.setRoute(client, 'open'),
    },
    {
      what: 'the client does not reach it',
      begin: () => client.setRoute(node, 'cut'),
      end: () => client.setRoute(node, 'open'),
    },
    { what: 'its disk hangs', begin: () => one.freezeDisk(), end: () => one.thawDisk() },
    { what: 'its disk is full', begin: () => one.fillDisk(), end: () => one.emptyDisk() },
    { what: 'its disk fails', begin: () => one.failDisk(), end: () => one.repairDisk() },
    { what: 'it loses its power', begin: () => one.cutPower(), end: () => one.givePower() },
  ];
}

interface Line {
  readonly n?: number;
  readonly ms?: number;
  readonly error?: string;
  readonly held?: number;
  readonly released?: number;
  readonly ended?: string;
}

/** What one request of these waited for says how long the volume stood still; the others are programs of many requests. */
export const requestKinds = ['append', 'rename', 'make', 'count', 'watch'] as const;
const programOf = { untar: 'tar', verify: 'fio', bench: 'dbench' } as const;
export type WorkKind = (typeof requestKinds)[number] | keyof typeof programOf;

/** All that this machine has the programs for. */
export function workKinds(): WorkKind[] {
  const programs = Object.entries(programOf) as [keyof typeof programOf, string][];
  return [...requestKinds, ...programs.filter(([, program]) => hasProgram(program)).map(([kind]) => kind)];
}

/** A program on the client that works without end, in a directory of its own but for `watch`. */
export class Worker {
  readonly kind: WorkKind;
  /** Its own, below the mount. */
  readonly directory: string;
  readonly #node: ClusterNode;
  readonly #file: string;

  /** `number`: which of several of its kind, from 0 on. */
  constructor(kind: WorkKind, node: ClusterNode, number = 0) {
    this.kind = kind;
    this.directory = number === 0 ? kind : `${kind}-${number}`;
    this.#node = node;
    this.#file = node.at('log', `work-${this.directory}`);
  }

  start(directory: string): Promise<string> {
    const program = join(root, 'test/support/fault-worker.mjs');
    return this.#node.sh(
      `setsid node ${program} ${this.kind} ${directory} ${this.#file} >${this.#file}.out 2>&1 </dev/null &`,
    );
  }

  get lines(): Line[] {
    if (!existsSync(this.#file)) return [];
    const text = readFileSync(this.#file, 'utf8');
    return text
      .slice(0, text.lastIndexOf('\n') + 1)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);
  }

  get acknowledged(): number[] {
    return this.lines.filter(({ n, error }) => n !== undefined && error === undefined).map(({ n }) => n!);
  }

  /** What was refused, or is not answered. */
  get errors(): string[] {
    return this.lines.filter(({ error }) => error !== undefined).map(({ n, error }) => `${n}: ${error}`);
  }

  /** The longest wait since so many lines were written. */
  longestMs(since: number): number {
    return this.lines.slice(since).reduce((longest, { ms }) => Math.max(longest, ms ?? 0), 0);
  }

  /** Resolves when it rests; false if a request of it does not end. */
  async hold(timeoutMs: number): Promise<boolean> {
    writeFileSync(`${this.#file}.hold`, '');
    for (const end = Date.now() + timeoutMs; Date.now() < end; await pause(50))
      if (this.lines.at(-1)?.held !== undefined) return true;
    return false;
  }

  go(): void {
    rmSync(`${this.#file}.hold`, { force: true });
  }

  /** Resolves when it has ended; false if a request of it does not. */
  async end(timeoutMs: number): Promise<boolean> {
    writeFileSync(`${this.#file}.stop`, '');
    for (const end = Date.now() + timeoutMs; Date.now() < end; await pause(50))
      if (this.lines.at(-1)?.ended !== undefined) return true;
    return false;
  }
}

/** Of file `n` of the kind `make`: see fault-worker.mjs. */
export const contentsOf = (n: number): string => `${n} `.repeat(1 + ((n * 37) % 3000));
