export { type CheckContext, type CheckedOption, checkVolumeOption } from './check.ts';
export type { ClusterState } from './cluster.ts';
export {
  clusterOption,
  describeValue,
  keyForGet,
  listForGetAll,
  listForGetAllVolumes,
  optionDefault,
  type ShownOption,
  shownOption,
  volumeSetHelp,
} from './get.ts';
export { isGroupName, parseGroup } from './groups.ts';
export { clusterOptions, findKey, isUserKey } from './keys.ts';
export { highestOptionOpVersion, volumeOpVersions } from './op-version.ts';
export { creationOptions, type ResetResult, resetOptions } from './reset.ts';
