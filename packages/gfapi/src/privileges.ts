import { type Call, FileType, type Iatt } from '@mortar/core';
import { withoutPrivileges } from '@mortar/host';
import type { Client, Identity } from './client.ts';
import type { GraphFile } from './graph-file.ts';

/** Whether a change by `who` has to take setuid or setgid off a file that looks so now. */
export function mustKill({ uid }: Identity, iatt: Iatt): boolean {
  return uid !== 0 && iatt.type !== FileType.directory && withoutPrivileges(iatt.mode) !== iatt.mode;
}

/** In the owner's name: who may write need not be allowed to change the mode. */
export async function killPrivileges(client: Client, who: Identity, iatt: Iatt, file?: GraphFile): Promise<void> {
  const attr = { mode: withoutPrivileges(iatt.mode) };
  const inName = (call: Call): Call => ({ ...call, uid: iatt.uid, gid: iatt.gid, groups: [] });
  const loc = { gfid: iatt.gfid, parent: null, name: null };
  if (file) await file.run((top, call, fd) => top.fsetattr(inName(call), { fd, attr }));
  else await client.run(who, undefined, (top, call) => top.setattr(inName(call), { loc, attr }));
}
