/**
 * Who may have POSIX locks on a brick through this client. A flush (close(2) of one descriptor) gives them back, and does nothing else there
 * that the release of the descriptor does not: of whoever has none it need not go to the brick.
 */
import type { Args, Gfid } from '@mortar/core';
import type { RemoteFds } from './fds.ts';

/** Beyond that everybody may have some. */
const lockersMax = 65_536;

export class Lockers {
  readonly #fds: RemoteFds;
  readonly #known = new Set<string>();
  #isOverfull = false;

  constructor(fds: RemoteFds) {
    this.#fds = fds;
  }

  /** Before a request goes out. */
  note({ fd, command, flock }: Args<'lk'>): void {
    if (command === 'get' || flock.type === 'unlock') return;
    this.#add(keyOf(fd.gfid, flock.owner));
    this.#fds.locked(fd, flock.owner);
  }

  /** `isDone`: by the brick. One that is away has forgotten the lock when it is back, or is told then. */
  unlocked({ fd, command, flock }: Args<'lk'>, isDone: boolean): void {
    const isWhole = flock.start === 0 && flock.length === 0;
    if (command === 'get' || flock.type !== 'unlock' || !isWhole) return;
    if (isDone) this.#known.delete(keyOf(fd.gfid, flock.owner));
    this.#fds.unlocked(fd, flock.owner);
  }

  #add(key: string): void {
    if (this.#known.size < lockersMax) this.#known.add(key);
    else this.#isOverfull = true;
  }

  /** Whether a flush of this owner has something to give back; then it is taken to do so. */
  flushes(gfid: Gfid, owner: string): boolean {
    return this.#known.delete(keyOf(gfid, owner)) || this.#isOverfull;
  }
}

function keyOf(gfid: Gfid, owner: string): string {
  return `${gfid} ${owner}`;
}
