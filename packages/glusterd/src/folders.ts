/** Folders of the working directory that exist from the start. */
export const nodeStateFolders = [
  'vols',
  'peers',
  'snaps',
  'groups',
  'hooks/1',
  'glustershd',
  'bitd',
  'scrub',
  'quotad',
  'nfs',
  'ss_brick',
  'geo-replication',
] as const;

/** Operations that have hook scripts. */
export const hookEvents = [
  'create',
  'start',
  'stop',
  'delete',
  'set',
  'reset',
  'add-brick',
  'remove-brick',
  'gsync-create',
  'copy-file',
] as const;
