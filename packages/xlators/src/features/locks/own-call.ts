import type { Call } from '@mortar/core';

/** On the file system's behalf: storage keeps its xattrs from callers. */
export const own: Call = {
  uid: 0,
  gid: 0,
  groups: [],
  pid: 0,
  lockOwner: '',
  clientId: '',
  time: { sec: 0, nsec: 0 },
  internal: 'self-heal',
};
