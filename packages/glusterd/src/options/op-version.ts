/** The op-versions that a volume's options demand of nodes and of clients. */
import { parseBool } from '@mortar/core';
import { entriesOf, volumeOptions } from '../volgen/table.ts';
import type { VolumeInfo } from '../volume.ts';

/** glusterd has a name for this: op-version of GlusterFS 3.6.0, the first with dispersed volumes. */
const dispersed = 30_600;

/**
 * The highest op-version of the options that are set, where a switch counts only while it is on. Open-behind counts
 * unless it is switched off.
 */
export function volumeOpVersions(volume: Pick<VolumeInfo, 'type' | 'options'>): {
  opVersion: number;
  clientOpVersion: number;
} {
  let opVersion = 1;
  let clientOpVersion = 1;
  const demand = (version: number, ofClients: boolean) => {
    opVersion = Math.max(opVersion, version);
    if (ofClients) clientOpVersion = Math.max(clientOpVersion, version);
  };
  for (const [key, value] of Object.entries(volume.options)) {
    const entry = entriesOf(key)[0];
    if (!entry) continue;
    const isSwitch = entry.flags.includes('XLATOR_OPT') || entry.type === 'BOOL';
    if (isSwitch && parseBool(value) !== true) continue;
    demand(entry.opVersion, entry.flags.includes('CLIENT_OPT'));
  }
  if (parseBool(volume.options['performance.open-behind'] ?? 'on') !== false) demand(2, true);
  if (volume.type === 'disperse') demand(dispersed, true);
  return { opVersion, clientOpVersion };
}

/** The highest op-version of any option: what a pool needs in order to set all of them. */
export const highestOptionOpVersion = Math.max(...volumeOptions.map((entry) => entry.opVersion));
