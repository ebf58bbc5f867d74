/** Links, devices, pipes and sockets have no data: where they go they are made anew. */
import { type Call, FileType, type Iatt, locAt, locOf } from '@mortar/core';
import { copyXattrs } from './copy-file.ts';
import { type Distribute, isFailure } from './distribute.ts';
import { withNames } from './locks.ts';
import { askArgs, isAbsent, isLinkto } from './lookup.ts';
import { type FileToMove, failed, type Moved, skipped } from './moved.ts';

export async function moveSpecial(d: Distribute, own: Call, file: FileToMove, iatt: Iatt): Promise<Moved> {
  if (iatt.nlink > 1) return skipped('it has several names');
  const made = await withNames(d, own, [{ child: file.to, parent: file.parent, name: file.name }], () =>
    makeAnew(d, own, file, iatt),
  );
  return isFailure(made) ? failed(`its name cannot be locked: errno ${made.errno}`) : made;
}

async function makeAnew(d: Distribute, own: Call, file: FileToMove, iatt: Iatt): Promise<Moved> {
  const loc = locAt(file.parent, file.name);
  const [there] = await d.ask([file.to], (child) => child.lookup(own, askArgs(d, { loc })));
  if (isLinkto(d, there!) && there.iatt.gfid === file.gfid) await d.children[file.to]!.unlink(own, { loc });
  // Of one that is there already, by a move that did not end, only the old place is left to be cleared.
  else if (!isAbsent(there) && !(there?.ok && there.iatt.gfid === file.gfid && there.iatt.type === iatt.type))
    return failed('another file has its name there');
  if (!there?.ok || isLinkto(d, there)) {
    const reply = await make(d, own, file, iatt);
    if (!reply.ok) return failed(`it cannot be made there: errno ${reply.errno}`);
  }
  const { mode, uid, gid } = iatt;
  const attr = { uid, gid, ...(iatt.type !== FileType.symlink && { mode }) };
  await d.children[file.to]!.setattr(own, { loc: locOf(file.gfid), attr });
  await copyXattrs(d, own, file);
  d.remember(file.gfid, { kind: 'file', child: file.to });
  const removed = await d.children[file.from]!.unlink(own, {
    loc: { ...loc, gfid: file.gfid },
    xdata: { movedAway: true },
  });
  if (removed.ok) return { outcome: 'moved', bytes: 0 };
  return failed(`its old place cannot be cleared: errno ${removed.errno}`);
}

async function make(d: Distribute, own: Call, { parent, name, gfid, from, to }: FileToMove, iatt: Iatt) {
  const loc = locAt(parent, name);
  const as = d.callAs(own, iatt);
  if (iatt.type !== FileType.symlink) {
    const { rdevMajor, rdevMinor } = iatt;
    const mode = (iatt.type << 12) | iatt.mode;
    return d.children[to]!.mknod(as, { loc, mode, rdevMajor, rdevMinor, gfid });
  }
  const link = await d.children[from]!.readlink(own, { loc: locOf(gfid) });
  return link.ok ? d.children[to]!.symlink(as, { loc, target: link.target, gfid }) : link;
}
