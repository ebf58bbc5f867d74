import { option } from '@mortar/core';

const truths = ['on', 'off', 'yes', 'no', 'enable', 'disable', 'true', 'false', '1', '0'] as const;

export const options = {
  'lookup-unhashed': option.choice([...truths, 'auto'], 'on', {
    description:
      'With lookup-optimize off: whether a name that its child does not have is looked for on all (on), on none (off), or only where the layout has holes (auto).',
  }),
  'lookup-optimize': option.bool('on', {
    description:
      'Trust the answer that a name does not exist of the child that it hashes to, wherever no file can be misplaced since the last rebalance.',
  }),
  'min-free-disk': option.percentOrSize('10%', {
    description: 'Space to be kept free: new files go elsewhere when the child that their name hashes to has less.',
  }),
  'min-free-inodes': option.percent('5%', {
    description: 'Inodes to be kept free: new files go elsewhere when the child that their name hashes to has fewer.',
  }),
  'unhashed-sticky-bit': option.bool('off', {
    description: 'Misplaced files are not marked.',
    withoutEffect: true,
  }),
  'use-readdirp': option.bool('on', {
    description:
      'List children with attributes even for callers that want none. Off is cheaper: a name is then taken from the child that it hashes to.',
  }),
  'assert-no-child-down': option.bool('off', {
    description: 'Report the volume as down as soon as one child is down (set in the rebalance process).',
  }),
  'directory-layout-spread': option.int('0', {
    description: 'Children that a new directory is spread over; 0: all.',
    min: 0,
    aliases: ['subvols-per-directory'],
  }),
  'decommissioned-bricks': option.text('', {
    description: 'Children that leave the volume, separated by commas or blanks: no new directory gets a range there.',
  }),
  'rebalance-cmd': option.int('0', { description: 'Set in the rebalance process: what it is to do.', live: false }),
  'rebalance-share': option.text('', {
    description:
      'Set in the rebalance process of one of several nodes: which files it looks after, CHILD:TURN/OF,... by gfid; empty: all.',
    live: false,
  }),
  'commit-hash': option.int('0', {
    description:
      'Set in the rebalance process: the commit hash that the volume gets, and each directory once its names are where they hash to; 0: they keep what they have.',
    min: 0,
    max: 0xffffffff,
    live: false,
  }),
  'node-uuid': option.text('', { description: 'Set in the rebalance process: UUID of its node.', live: false }),
  'rebalance-stats': option.bool('off', {
    description: 'A rebalance always counts what it moves.',
    withoutEffect: true,
  }),
  'readdir-optimize': option.bool('off', {
    description: 'List directories only from the first child that is up instead of from the one that each hashes to.',
  }),
  'rsync-hash-regex': option.text('', {
    description:
      'POSIX extended regular expression: its group is hashed instead of the whole name. Default ^\\.(.+)\\.[^.]+$, as rsync names its temporary files; none: off.',
  }),
  'extra-hash-regex': option.text('', { description: 'As rsync-hash-regex, tried before it.' }),
  'rebalance-filter': option.text('', {
    description: 'A rebalance moves whatever is misplaced.',
    withoutEffect: true,
  }),
  'xattr-name': option.text('trusted.glusterfs.dht', {
    description: 'Name of the layout xattr, and stem of the others.',
    live: false,
    aliases: ['dht-xattr-name'],
  }),
  'weighted-rebalance': option.bool('on', { description: 'Give larger children larger ranges.' }),
  'local-volume-name': option.text('', { description: 'There is no cluster/nufa.', withoutEffect: true }),
  'pattern.switch.case': option.text('', { description: 'There is no cluster/switch.', withoutEffect: true }),
  'randomize-hash-range-by-gfid': option.bool('off', {
    description: "Let a directory's gfid instead of its path decide which child has its first range.",
  }),
  'rebal-throttle': option.text('normal', {
    description: 'Speed of a rebalance: lazy, normal, aggressive or a number of files at once.',
  }),
  'lock-migration': option.bool('off', { description: 'Locks go with the files that move.', withoutEffect: true }),
  'force-migration': option.bool('off', {
    description: 'Files that are written to move, too.',
    withoutEffect: true,
  }),
  'ensure-durability': option.bool('on', { description: 'Sync a moved file before its source is removed.' }),
} as const;
