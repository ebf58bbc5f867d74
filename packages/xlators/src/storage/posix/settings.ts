/** From option values to what the store works with. */
import { hostname } from 'node:os';
import { OptionError, type OptionValues } from '@mortar/core';
import type { BrickSettings } from './brick.ts';
import type { options } from './options.ts';

export type PosixOptions = OptionValues<typeof options>;

function octal(values: PosixOptions, name: keyof PosixOptions & string): number {
  const text = String(values[name]);
  const value = /^0?[0-7]{1,4}$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
  if (Number.isNaN(value) || value > 0o777)
    throw new OptionError(name, `'${text}' in 'option ${name} ${text}' is out of range [0 - 0777]`);
  return value;
}

/** Throws OptionError. */
export function settingsOf(values: PosixOptions): BrickSettings {
  const { reserve } = values;
  return {
    directory: values.directory.length > 1 ? values.directory.replace(/\/+$/, '') : values.directory,
    hostname: values.hostname || hostname(),
    nodeUuid: values['glusterd-uuid'],
    nodeUuidPathinfo: values['node-uuid-pathinfo'],
    ctime: values.ctime,
    gfid2path: values.gfid2path,
    gfid2pathSeparator: values['gfid2path-separator'],
    buildPgfid: values['build-pgfid'],
    maxHardlinks: values['max-hardlinks'],
    createMask: octal(values, 'create-mask'),
    forceCreateMode: octal(values, 'force-create-mode'),
    createDirectoryMask: octal(values, 'create-directory-mask'),
    forceDirectoryMode: octal(values, 'force-directory-mode'),
    // A bare number below 100 has always meant percent here.
    reserve: 'bytes' in reserve && reserve.bytes < 100 ? { percent: reserve.bytes } : reserve,
    sharedBrickCount: values['shared-brick-count'],
    showsSize: values['export-statfs-size'],
  };
}
