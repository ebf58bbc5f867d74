/** Open files move to the graph that serves now: opened anew by gfid and flags, their locks taken again. */
import { Errno, Fd, locOf, rootCall } from '@mortar/core';
import { OpenFlag } from '../protocol/index.ts';
import type { MountedGraph } from './graphs.ts';
import type { Handle } from './handles.ts';
import type { Session } from './session.ts';

/** Handles that move at the same time. */
const parallel = 16;

/** Moves one handle; 0 or the errno for which it could not be opened. Shared by all who wait for it. */
export function migrateHandle(session: Session, handle: Handle): Promise<number> {
  const target = session.graphs.current;
  if (!target || handle.graph === target) return Promise.resolve(0);
  handle.migrating ??= reopen(session, handle, target).finally(() => {
    handle.migrating = null;
  });
  return handle.migrating.then((errno) =>
    errno === 0 && handle.graph !== session.graphs.current ? migrateHandle(session, handle) : errno,
  );
}

export async function migrateHandles(session: Session): Promise<void> {
  const waiting = [...session.handles.all()].reverse();
  const work = async () => {
    for (let handle = waiting.pop(); handle; handle = waiting.pop()) {
      const errno = await migrateHandle(session, handle);
      // One that was closed meanwhile has nowhere to go.
      if (errno !== 0 && session.handles.get(handle.fh))
        session.services.log.write('WARNING', 'fuse', `fd of ${handle.node.gfid} did not move: errno ${errno}`);
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
}

async function reopen(session: Session, handle: Handle, target: MountedGraph): Promise<number> {
  const call = { ...rootCall(session.services.clock), clientId: session.clientId };
  const flags = handle.flags & ~(OpenFlag.create | OpenFlag.exclusive | OpenFlag.truncate);
  const fd = new Fd(handle.node.gfid, handle.directory ? 0 : flags);
  const loc = locOf(handle.node.gfid);
  target.begin();
  try {
    const reply = handle.directory
      ? await target.top.opendir(call, { loc, fd })
      : await target.top.open(call, { loc, flags, fd });
    if (!reply.ok) {
      fd.release();
      return reply.errno;
    }
    const lost = await relock(target, call, handle, fd);
    if (lost !== 0) session.services.log.write('WARNING', 'fuse', `${lost} lock(s) of ${handle.node.gfid} were lost`);
  } finally {
    target.end();
  }
  if (!session.handles.get(handle.fh)) {
    fd.release();
    return Errno.EBADF;
  }
  // Requests still under way in the old graph use the old fd; it is released when that graph has drained.
  handle.graph.retired.push(handle.fd);
  handle.fd = fd;
  handle.graph = target;
  return 0;
}

async function relock(target: MountedGraph, call: ReturnType<typeof rootCall>, handle: Handle, fd: Fd) {
  let lost = 0;
  for (const { owner, type, start, end, pid, family } of handle.node.locks.of(handle.fh)) {
    const length = end === Number.POSITIVE_INFINITY ? 0 : end - start;
    const flock = { type, start, length, owner, pid, ...(family ? { family } : {}) };
    const reply = await target.top.lk({ ...call, lockOwner: owner, pid }, { fd, command: 'set', flock });
    if (!reply.ok) {
      handle.node.locks.clear(owner, start, end);
      lost++;
    }
  }
  return lost;
}
