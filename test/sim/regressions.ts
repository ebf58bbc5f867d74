/** Runs that once failed, and what was wrong. Each was fixed in cluster/replicate. */
import type { PlanChanges } from '@mortar/testing/sim/plan.ts';

const files = ['blocks', 'append', 'unique', 'truncate', 'attributes'] as const;

export const regressions: { what: string; seed: number; plan: PlanChanges }[] = [
  {
    what: 'the lock of a child that failed an operation was never given back, and kept everybody out',
    seed: 3,
    plan: { faults: ['disk-full'], work: ['truncate'] },
  },
  {
    what: 'an unlock that met a broken connection was forgotten while the session lived on',
    seed: 10,
    plan: { faults: ['half-partition'], work: files },
  },
  {
    what: 'a lease that was recalled as it was granted to the healer had no user to give it back',
    seed: 18,
    plan: { faults: ['cut'], work: files },
  },
  {
    what: 'a child that left the lease in the middle of a change had no fence token any more',
    seed: 18,
    plan: { faults: ['brick-kill'], work: files },
  },
  {
    what: 'the heal of a name that only a dirty replica has listed no names',
    seed: 6,
    plan: { faults: ['brick-kill'], work: files },
  },
  {
    what: 'a change of names was not on the disk when its mark came off',
    seed: 1,
    plan: { faults: ['brick-power'], work: files },
  },
  {
    what: 'a brick listed for ever what had no marks any more',
    seed: 4,
    plan: { faults: ['disk-error'], work: files },
  },
  {
    what: 'a child that went while a file was made counted as holding what it missed',
    seed: 1036,
    plan: { faults: ['cut'], work: files },
  },
  {
    what: 'the lock that came with a creation which failed was kept',
    seed: 1044,
    plan: { faults: ['partition', 'brick-kill'], work: files },
  },
  {
    what: 'a replica that lost its mark with its data was believed against those that had both',
    seed: 1026,
    plan: { faults: ['brick-power', 'client-crash'], work: files },
  },
  {
    what: 'heal took marks off before the metadata it had copied was on the disk',
    seed: 1105,
    plan: { faults: ['slow-disk', 'brick-power'], work: files },
  },
  {
    what: 'heal of what is only dirty never came to data and names',
    seed: 4,
    plan: { faults: ['client-pause'], work: ['names'] },
  },
  {
    what: 'names that a lost child had made were blamed on it only where another of them failed',
    seed: 2134,
    plan: {},
  },
  { what: 'different files of one name were left though a majority had one of them', seed: 2045, plan: {} },
  { what: 'those who missed a change accused the only one that had it, when it went', seed: 85, plan: {} },
  { what: 'a lock that was to be given back while its child was away, and back sooner, stayed', seed: 2086, plan: {} },
  { what: 'a directory that was made again held the lock of the first time', seed: 5152, plan: {} },
  { what: 'what was appended to one replica was appended again', seed: 5306, plan: {} },
  { what: 'a directory whose data counter alone was left was never healed', seed: 5276, plan: {} },
  { what: 'a client read from a replica that another had accused', seed: 5330, plan: {} },
  { what: 'the lock that came with a creation below quorum was not given back', seed: 40057, plan: {} },
  { what: 'a name that only an accused replica still had was given to all again', seed: 40813, plan: {} },
  { what: 'names were taken from all when the only source left in the middle of their heal', seed: 50145, plan: {} },
  { what: 'what an accused and dirty replica had done was looked for under recorded names', seed: 42774, plan: {} },
  { what: 'a child that left during the last sync left the others without a dirty mark', seed: 40072, plan: {} },
  { what: 'a replica that had lost the mark but not the write was not compared', seed: 41862, plan: {} },
  { what: 'a client read from a replica that its own lease left out', seed: 52642, plan: {} },
  { what: "a creation was taken back after a heal had made it everybody's", seed: 61912, plan: {} },
  { what: 'heal of metadata made the times alike by which heal of data chose its source', seed: 60273, plan: {} },
  { what: 'the only one left unaccused had lost a write that one who was away had', seed: 30148, plan: {} },
  { what: 'a directory given up as another name of it was left where heal had just made it', seed: 71220, plan: {} },
  { what: 'the attributes of a symlink were not on the disk when their mark came off', seed: 72481, plan: {} },
  { what: 'a session that ended in the middle of a creation got the lock on the new file', seed: 70194, plan: {} },
  { what: 'heal took the mark off its source before that was on the disk', seed: 61071, plan: {} },
  { what: 'of replicas that were all dirty the one that had lost writes was taken', seed: 110764, plan: {} },
  { what: 'a stale file of the name to be made was opened in place of the new one', seed: 41071, plan: {} },
  { what: 'a name was taken from the last good replica while another was not healed', seed: 44044, plan: {} },
  { what: 'a write that most had no room for was read from the one that made it', seed: 41669, plan: {} },
  { what: 'who was accused had a vote on what the others had', seed: 44463, plan: {} },
];
