/** Keeps mdata as the operations ask (ondisk format, section 3.2). */
import { type AttrChange, nullGfid, type Timespec } from '@mortar/core';
import type { Brick } from './brick.ts';
import { encodeMdata, mdataXattr, raiseAtime, raiseTimes, type Times, timesOf } from './mdata.ts';
import { type Node, storedTimes } from './node.ts';
import type { OpenFile } from './open-files.ts';

/**
 * `data`: mtime and ctime, else ctime only. `by`: the client that changed what a file holds. `later`: when the file is synced or closed will
 * do.
 */
export interface Touch {
  data: boolean;
  by?: string;
  later?: boolean;
}

function store(brick: Brick, node: Node, times: Times): void {
  const result = brick.sys.setxattr(node.target, mdataXattr, encodeMdata(times));
  if (result < 0) brick.log('WARNING', `cannot store the times of ${node.gfid}: errno ${-result}`);
  if (result < 0 || node.gfid === nullGfid) brick.times.forget(node.gfid);
  else brick.times.set(node.gfid, times, node.stat.ino);
  const state = brick.open.of(node.gfid);
  if (!state) return;
  state.times = times;
  state.timesDirty = false;
}

/** Moves the times of an object forward. A file without mdata gets it, from its own times. */
export function touch(brick: Brick, node: Node, time: Timespec, how: Touch): void {
  if (!brick.settings.ctime) return;
  const stored = storedTimes(brick, node);
  const times = stored ?? timesOf(node.stat);
  if (how.by !== undefined) brick.times.writers.raise(times, node.gfid, how.by, time);
  else if (!raiseTimes(times, time, how.data) && stored) return;
  keep(brick, node, times, how.later === true);
}

/** Moves the time of last access forward, with the same care; while the file is open it is written later. */
export function touchAtime(brick: Brick, node: Node, time: Timespec): void {
  if (!brick.settings.ctime) return;
  const stored = storedTimes(brick, node);
  const times = stored ?? timesOf(node.stat);
  if (raiseAtime(times, time) || !stored) keep(brick, node, times, true);
}

function keep(brick: Brick, node: Node, times: Times, later: boolean): void {
  const state = brick.open.of(node.gfid);
  if (!state || !later) {
    store(brick, node, times);
    return;
  }
  state.times = times;
  state.timesDirty = true;
}

/** Explicit times: atime and mtime to whatever was asked, ctime only forward. Without mdata the kernel's are shown. */
export function setTimes(brick: Brick, node: Node, attr: AttrChange, time: Timespec, exact: boolean): void {
  if (!brick.settings.ctime) return;
  const times = storedTimes(brick, node);
  if (!times) return;
  if (attr.atime) {
    times.atime = attr.atime.sec;
    times.atimeNsec = attr.atime.nsec;
  }
  if (attr.mtime) {
    times.mtime = attr.mtime.sec;
    times.mtimeNsec = attr.mtime.nsec;
  }
  if (attr.ctime && exact) {
    times.ctime = attr.ctime.sec;
    times.ctimeNsec = attr.ctime.nsec;
  } else raiseTimes(times, attr.ctime ?? time, false);
  // Who wrote last moved other times.
  brick.times.writers.forget(node.gfid);
  store(brick, node, times);
}

/** Puts on disk what `later` has left in memory. */
export function flushTimes(brick: Brick, file: OpenFile): void {
  const state = brick.open.of(file.gfid);
  if (!state?.timesDirty || !state.times) return;
  const result = brick.sys.setxattr(file.osFd, mdataXattr, encodeMdata(state.times));
  if (result < 0) brick.log('WARNING', `cannot store the times of ${file.gfid}: errno ${-result}`);
  else brick.times.set(file.gfid, state.times);
  state.timesDirty = false;
}
