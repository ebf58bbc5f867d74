/** `volume clear-locks`: locks on a file are taken away by the administrator. */
import { byteString, type Clock, type Errno, type Gfid, locAt, locOf, rootCall, rootGfid } from '@mortar/core';
import type { ProtocolServer } from '@mortar/xlators/protocol/server/index.ts';

/** `name`: the attribute by which the locks translator is asked, `glusterfs.clrlk...`. */
export async function clearLocks(
  server: ProtocolServer | undefined,
  clock: Clock,
  path: string,
  name: string,
): Promise<{ text: string } | { errno: Errno }> {
  if (!server) throw new Error('this process serves no brick');
  const ops = server.child;
  const call = rootCall(clock);
  let gfid: Gfid = rootGfid;
  for (const part of byteString(path).split('/').filter(Boolean)) {
    const reply = await ops.lookup(call, { loc: locAt(gfid, part) });
    if (!reply.ok) return { errno: reply.errno };
    gfid = reply.iatt.gfid;
  }
  const key = byteString(name);
  const reply = await ops.getxattr(call, { loc: locOf(gfid), name: key });
  if (!reply.ok) return { errno: reply.errno };
  const value = reply.xattrs[key];
  return { text: value ? Buffer.from(value).toString('utf8').replace(/\0+$/, '') : '' };
}
