/** What a brick's state dump says of open files, under the names that tools for GlusterFS look for. */
import type { Gfid } from '@mortar/core';
import type { DumpSection } from '@mortar/host';
import type { ProtocolServer } from '@mortar/xlators/protocol/server/index.ts';

/** Files that are told one by one; how many there are beyond is told in the last section. */
const filesMax = 1000;

export function openFileSections(servers: readonly ProtocolServer[], brick: string): DumpSection[] {
  const counts = new Map<Gfid, number>();
  for (const gfid of servers.flatMap((one) => one.openFiles())) counts.set(gfid, (counts.get(gfid) ?? 0) + 1);
  const prefix = `conn.1.bound_xl.${brick}`;
  const files = [...counts].slice(0, filesMax).map(([gfid, count], i) => ({
    name: `${prefix}.active.${i + 1}`,
    values: { gfid, 'fd-count': count },
  }));
  const more = counts.size - files.length;
  return more > 0 ? [...files, { name: `${prefix}.active.more`, values: { files: more } }] : files;
}
