export { brickVolfile } from './brick.ts';
export { type ClientVolfileContext, clientVolfile } from './client.ts';
export { defaultWorkdir, type VolgenContext } from './context.ts';
export {
  bitRotVolfile,
  brickClientVolfile,
  healDaemonVolfile,
  isHealable,
  quotaDaemonVolfile,
  rebalanceVolfile,
  snapshotDaemonVolfile,
} from './daemons.ts';
export {
  missingForOption,
  missingForShape,
  missingForVolume,
  noteForOption,
  noteWithoutEffect,
  typesAskedFor,
} from './demand.ts';
export { VolgenError } from './finish.ts';
export { type FoundVolfile, pathInName, type VolfileName, volfileId, volfileName, volfileOfId } from './names.ts';
export { entriesOf, optionKeys, type VolumeOption, volumeOptions } from './table.ts';
export { allTranslators, existingTranslators, missingTranslators } from './translators.ts';
