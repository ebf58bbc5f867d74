/** Open files of one brick, as this client knows them. */
import type { Fd } from '@mortar/core';
import type { ClientFds } from '@mortar/rpc';

interface RemoteFd {
  /** The brick's number; 0 while it has none, and the brick serves the file by gfid. */
  id: number;
  isDirectory: boolean;
  /** A directory that nobody has read yet: it is opened with the first page. */
  isUnread?: boolean;
  /** Who has locks through it; `all`: too many to know. */
  owners?: Set<string> | 'all';
  /** The brick never got one of those locks. */
  isMissed?: boolean;
  /** The brick does not have those locks: nothing is done through it any more. */
  isLost?: boolean;
}

/** Owners of locks that are remembered of one fd. */
const ownersMax = 1024;

export class RemoteFds implements ClientFds {
  readonly #slot: number;
  readonly #release: (id: number) => void;
  readonly #open = new Map<Fd, RemoteFd>();
  #lost = 0;
  /** Directories among the fds that are being opened. */
  readonly #directories = new WeakSet<Fd>();

  constructor(slot: number, release: (id: number) => void) {
    this.#slot = slot;
    this.#release = release;
  }

  get size(): number {
    return this.#open.size;
  }

  idOf(fd: Fd): number {
    return (fd.slots[this.#slot] as RemoteFd | undefined)?.id ?? 0;
  }

  /** An opendir of it is on the way. */
  isDirectory(fd: Fd): void {
    this.#directories.add(fd);
  }

  /** A directory that the brick hears of when it is read. */
  openLater(fd: Fd): void {
    if (!this.#open.has(fd)) this.#add(fd, { id: 0, isDirectory: true, isUnread: true });
  }

  /** Whether the directory is to be opened with what is read of it now. Then others who read it meanwhile do so by gfid. */
  takeUnread(fd: Fd): boolean {
    const remote = this.#open.get(fd);
    if (!remote?.isUnread) return false;
    remote.isUnread = false;
    return true;
  }

  /** It could not be opened. */
  stillUnread(fd: Fd): void {
    const remote = this.#open.get(fd);
    if (remote?.id === 0) remote.isUnread = true;
  }

  opened(fd: Fd, id: number): void {
    const known = this.#open.get(fd);
    if (known) known.id = id;
    else this.#add(fd, { id, isDirectory: this.#directories.has(fd) });
  }

  #add(fd: Fd, remote: RemoteFd): void {
    fd.slots[this.#slot] = remote;
    this.#open.set(fd, remote);
    fd.onRelease(() => {
      if (!this.#open.has(fd)) return;
      this.#open.delete(fd);
      if (remote.isLost) this.#lost--;
      fd.slots[this.#slot] = undefined;
      if (remote.id !== 0) this.#release(remote.id);
    });
  }

  /** A lock is asked for through it. */
  locked(fd: Fd, owner: string): void {
    if (!this.#open.has(fd)) this.#add(fd, { id: 0, isDirectory: false });
    const remote = this.#open.get(fd)!;
    if (remote.owners === 'all') return;
    remote.owners ??= new Set();
    if (remote.owners.size < ownersMax) remote.owners.add(owner);
    else remote.owners = 'all';
  }

  /** One of its locks is held elsewhere, and could not be got here: the brick refused it, or could not be asked. */
  missed(fd: Fd, isRefused: boolean): void {
    const remote = this.#open.get(fd);
    if (!remote) return;
    remote.isMissed = true;
    if (isRefused) this.#keepOut(remote);
  }

  /** This owner has none any more. */
  unlocked(fd: Fd, owner: string): void {
    const owners = this.#open.get(fd)?.owners;
    if (owners && owners !== 'all') owners.delete(owner);
  }

  /** Whether a lock was lost that the fd had. */
  isLost(fd: Fd): boolean {
    return this.#lost > 0 && this.#open.get(fd)?.isLost === true;
  }

  get someLost(): boolean {
    return this.#lost > 0;
  }

  /** The brick has forgotten all numbers. `keepsOut`: fds with locks are of no use any more. Returns what has to be opened anew. */
  invalidate(keepsOut: boolean): { fd: Fd; isDirectory: boolean }[] {
    for (const remote of this.#open.values()) {
      remote.id = 0;
      if (keepsOut) this.#keepOut(remote);
    }
    const opened = [...this.#open].filter(([, { isUnread, isLost }]) => !isUnread && !isLost);
    return opened.map(([fd, { isDirectory }]) => ({ fd, isDirectory }));
  }

  /** The brick has all locks that it got. */
  resumed(): void {
    for (const remote of this.#open.values()) if (remote.isMissed) this.#keepOut(remote);
  }

  /** If it has locks. */
  #keepOut(remote: RemoteFd): void {
    const isLocked = remote.owners === 'all' || (remote.owners?.size ?? 0) > 0;
    remote.isMissed = false;
    if (!isLocked || remote.isLost) return;
    remote.isLost = true;
    this.#lost++;
  }

  /** The graph goes: the fds live on without state here. */
  clear(): void {
    for (const fd of this.#open.keys()) fd.slots[this.#slot] = undefined;
    this.#open.clear();
    this.#lost = 0;
  }
}
