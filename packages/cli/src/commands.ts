/**
 * The commands: how each is written, what it is for, where its code is. Code is loaded when the command runs, so that
 * starting the command line costs nothing for all the others.
 */
import type { Session } from './session.ts';

/** Runs a command; `words` are all of its words. Resolves to the exit status. */
export type Handler = (session: Session, words: readonly string[]) => Promise<number>;
export type Family = 'volume' | 'peer' | 'bitrot' | 'quota' | 'snapshot' | 'global' | 'system' | 'misc';

export interface Command {
  /** Words of the command itself, without its arguments. */
  readonly path: readonly string[];
  readonly family: Family;
  /** Its arguments as the usage has them. */
  readonly synopsis: string;
  readonly description: string;
  /** Absent: it is not part of this build. */
  readonly load?: () => Promise<Handler>;
  /** An additional form of a command: only for the help and, as GlusterFS has it, for the usage of an error. */
  readonly form?: boolean;
}

const create = async () => (await import('./commands/create.ts')).volumeCreate;
const bricks = () => import('./commands/bricks.ts');
const lifecycle = () => import('./commands/lifecycle.ts');
const options = () => import('./commands/options.ts');
const peers = () => import('./commands/peers.ts');
const events = () => import('./commands/events.ts');
const locks = () => import('./commands/locks.ts');
const tools = () => import('./commands/tools.ts');
const heal = async () => (await import('./commands/heal.ts')).volumeHeal;
const help = () => import('./help.ts');

function volume(name: string, synopsis: string, description: string, load?: () => Promise<Handler>): Command {
  return { path: ['volume', name], family: 'volume', synopsis, description, ...(load && { load }) };
}

function missing(path: string, family: Family, synopsis: string, description: string): Command {
  return { path: path.split(' '), family, synopsis, description };
}

function helpOf(path: string, family: Family, description: string): Command {
  const load = async (): Promise<Handler> => {
    const { printFamily } = await help();
    return async (session) => printFamily(session.io, family);
  };
  return { path: path.split(' '), family, synopsis: '', description, load };
}

const healSynopsis =
  '<VOLNAME> [enable | disable | full |statistics [heal-count [replica <HOSTNAME:BRICKNAME>]] |' +
  'info [summary | split-brain] |split-brain {bigger-file <FILE> | latest-mtime <FILE> |' +
  'source-brick <HOSTNAME:BRICKNAME> [<FILE>]} |granular-entry-heal {enable | disable}]';

const createSynopsis =
  '<NEW-VOLNAME> [[replica <COUNT> [arbiter <COUNT>]]|[replica 2 thin-arbiter 1]] [disperse [<COUNT>]] ' +
  '[disperse-data <COUNT>] [redundancy <COUNT>] [transport <tcp|rdma|tcp,rdma>] <NEW-BRICK> <TA-BRICK>... [force]';

const geoReplicationSynopsis =
  '[<PRIMARY-VOLNAME>] [<SECONDARY-IP>]::[<SECONDARY-VOLNAME>] {\\\n create [[ssh-port n] [[no-verify] \\\n ' +
  '| [push-pem]]] [force] \\\n | start [force] \\\n | stop [force] \\\n | pause [force] \\\n | resume [force] \\\n ' +
  '| config [[[\\!]<option>] [<value>]] \\\n | status [detail] \\\n | delete [reset-sync-time]} ';

export const commands: readonly Command[] = [
  helpOf('volume help', 'volume', 'list the volume commands'),
  volume(
    'info',
    '[all|<VOLNAME>]',
    'show the make-up and the options of volumes',
    async () => (await lifecycle()).info,
  ),
  volume('create', createSynopsis, 'make a volume out of bricks', create),
  volume(
    'delete',
    '<VOLNAME>',
    'forget a stopped volume; its bricks keep their files',
    async () => (await lifecycle()).remove,
  ),
  volume('start', '<VOLNAME> [force]', 'start the bricks of a volume', async () => (await lifecycle()).start),
  volume('stop', '<VOLNAME> [force]', 'stop the bricks of a volume', async () => (await lifecycle()).stop),
  volume(
    'add-brick',
    '<VOLNAME> [<replica> <COUNT> [arbiter <COUNT>]] <NEW-BRICK> ... [force]',
    'make a volume larger',
    async () => (await bricks()).addBrick,
  ),
  volume(
    'remove-brick',
    '<VOLNAME> [replica <COUNT>] <BRICK> ... <start|stop|status|commit|force>',
    'make a volume smaller',
    async () => (await bricks()).removeBrick,
  ),
  volume(
    'rebalance',
    '<VOLNAME> {{fix-layout start} | {start [force]|stop|status}}',
    'spread the files evenly over the bricks',
    async () => (await import('./commands/rebalance.ts')).volumeRebalance,
  ),
  volume(
    'replace-brick',
    '<VOLNAME> <SOURCE-BRICK> <NEW-BRICK> {commit force}',
    'put a new brick in the place of another',
    async () => (await bricks()).replaceBrick,
  ),
  volume('set', '<VOLNAME> <KEY> <VALUE>', 'change options of a volume', async () => (await options()).set),
  {
    ...volume(
      'set',
      '<VOLNAME> group <GROUP>',
      'set all options listed in the file groups/<GROUP> of the working directory',
    ),
    form: true,
  },
  volume('log', '<VOLNAME> rotate [BRICK]', 'let bricks begin a new log file', async () => (await tools()).logRotate),
  volume(
    'sync',
    '<HOSTNAME> [all|<VOLNAME>]',
    'take over the volumes that a peer knows',
    async () => (await tools()).sync,
  ),
  volume(
    'reset',
    '<VOLNAME> [option] [force]',
    'put options back to their defaults',
    async () => (await options()).reset,
  ),
  volume('geo-replication', geoReplicationSynopsis, 'replicate to another site'),
  volume(
    'profile',
    '<VOLNAME> {start|info [peek|incremental [peek]|cumulative|clear]|stop} [nfs]',
    'measure what bricks do',
    async () => (await import('./commands/profile.ts')).volumeProfile,
  ),
  volume(
    'top',
    '<VOLNAME> {open|read|write|opendir|readdir|clear} [nfs|brick <brick>] [list-cnt <value>] | ' +
      '{read-perf|write-perf} [bs <size> count <count>] [brick <brick>] [list-cnt <value>]',
    'list the busiest files',
    async () => (await import('./commands/top.ts')).volumeTop,
  ),
  volume(
    'status',
    '[all | <VOLNAME> [nfs|shd|<BRICK>|quotad]] [detail|clients|mem|inode|fd|callpool|tasks|client-list]',
    'show which processes run and what they hold',
    async () => (await import('./commands/status.ts')).volumeStatus,
  ),
  volume('heal', healSynopsis, 'look after files that replicas do not agree about', heal),
  volume(
    'statedump',
    '<VOLNAME> [[nfs|quotad] [all|mem|iobuf|callpool|priv|fd|inode|history]... | [client <hostname:process-id>]]',
    'let the processes of a volume write down their state',
    async () => (await tools()).statedump,
  ),
  volume('list', '', 'name all volumes', async () => (await lifecycle()).list),
  volume(
    'clear-locks',
    '<VOLNAME> <path> kind {blocked|granted|all}{inode [range]|entry [basename]|posix [range]}',
    'take away locks held on a path',
    async () => (await tools()).clearLocks,
  ),
  volume(
    'barrier',
    '<VOLNAME> {enable|disable}',
    'hold back acknowledgements of file operations',
    async () => (await tools()).barrier,
  ),
  volume('get', '<VOLNAME|all> <key|all>', 'show the values of options', async () => (await options()).get),
  volume(
    'reset-brick',
    '<VOLNAME> <SOURCE-BRICK> {{start} | {<NEW-BRICK> commit}}',
    'give a brick an empty directory again',
    async () => (await bricks()).resetBrick,
  ),

  helpOf('volume bitrot help', 'bitrot', 'list the volume bitrot commands'),
  missing('volume bitrot', 'bitrot', '<VOLNAME> {enable|disable}', 'switch checksums of files at rest on or off'),
  missing(
    'volume bitrot',
    'bitrot',
    '<VOLNAME> signing-time <time-in-secs>',
    'wait this long after the last close before signing',
  ),
  missing('volume bitrot', 'bitrot', '<VOLNAME> signer-threads <count>', 'sign this many files at once'),
  missing(
    'volume bitrot',
    'bitrot',
    '<VOLNAME> scrub-throttle {lazy|normal|aggressive}',
    'set the speed of the scrubber',
  ),
  missing(
    'volume bitrot',
    'bitrot',
    '<VOLNAME> scrub-frequency {hourly|daily|weekly|biweekly|monthly}',
    'set how often files are checked',
  ),
  missing('volume bitrot', 'bitrot', '<VOLNAME> scrub {pause|resume|status|ondemand}', 'steer the scrubber'),

  helpOf('volume quota help', 'quota', 'list the volume quota commands'),
  missing('volume inode-quota', 'quota', '<VOLNAME> enable', 'count files as well as bytes'),
  missing(
    'volume quota',
    'quota',
    '<VOLNAME> {alert-time|soft-timeout|hard-timeout} {<time>}',
    'set the times of quotas',
  ),
  missing(
    'volume quota',
    'quota',
    '<VOLNAME> {enable|disable|list [<path> ...]| list-objects [<path> ...] | remove <path>| remove-objects <path> | ' +
      'default-soft-limit <percent>}',
    'switch quotas on or off, list and remove them',
  ),
  missing(
    'volume quota',
    'quota',
    '<VOLNAME> {limit-objects <path> <number> [<percent>]}',
    'limit the number of files below a path',
  ),
  missing('volume quota', 'quota', '<VOLNAME> {limit-usage <path> <size> [<percent>]}', 'limit the bytes below a path'),

  {
    path: ['peer', 'probe'],
    family: 'peer',
    synopsis: '{ <HOSTNAME> | <IP-address> }',
    description: 'take a node into the pool',
    load: async () => (await peers()).probe,
  },
  {
    path: ['peer', 'detach'],
    family: 'peer',
    synopsis: '{ <HOSTNAME> | <IP-address> } [force]',
    description: 'take a node out of the pool',
    load: async () => (await peers()).detach,
  },
  {
    path: ['peer', 'status'],
    family: 'peer',
    synopsis: '',
    description: 'show the other nodes of the pool',
    load: async () => (await peers()).status,
  },
  helpOf('peer help', 'peer', 'list the peer commands'),
  {
    path: ['pool', 'list'],
    family: 'peer',
    synopsis: '',
    description: 'show all nodes of the pool',
    load: async () => (await peers()).list,
  },

  helpOf('snapshot help', 'snapshot', 'list the snapshot commands'),
  missing(
    'snapshot create',
    'snapshot',
    '<snapname> <volname> [no-timestamp] [description <description>]',
    'take a snapshot',
  ),
  missing('snapshot clone', 'snapshot', '<clonename> <snapname>', 'make a volume of a snapshot'),
  missing('snapshot restore', 'snapshot', '<snapname>', 'put a volume back to a snapshot'),
  missing('snapshot status', 'snapshot', '[(snapname | volume <volname>)]', 'show the state of snapshots'),
  missing('snapshot info', 'snapshot', '[(snapname | volume <volname>)]', 'describe snapshots'),
  missing('snapshot list', 'snapshot', '[volname]', 'name all snapshots'),
  missing(
    'snapshot config',
    'snapshot',
    '[volname] ([snap-max-hard-limit <count>] [snap-max-soft-limit <percent>]) | ([auto-delete <enable|disable>])| ' +
      '([activate-on-create <enable|disable>])',
    'set the limits of snapshots',
  ),
  missing('snapshot delete', 'snapshot', '(all | snapname | volume <volname>)', 'delete snapshots'),
  missing('snapshot activate', 'snapshot', '<snapname> [force]', 'start the volume of a snapshot'),
  missing('snapshot deactivate', 'snapshot', '<snapname>', 'stop the volume of a snapshot'),

  helpOf('global help', 'global', 'list the global commands'),
  {
    path: ['get-state'],
    family: 'global',
    synopsis: '[<daemon>] [[odir </path/to/output/dir/>] [file <filename>]] [detail|volumeoptions]',
    description: 'write down what this node knows of the pool and the volumes',
    load: async () => (await tools()).getState,
  },
  missing('nfs-ganesha', 'global', '{enable| disable} ', 'export by NFS-Ganesha'),

  {
    path: ['system::', 'getspec'],
    family: 'system',
    synopsis: '<VOLNAME>',
    description: 'print the volfile of a volume',
    load: async () => (await tools()).getSpec,
  },
  {
    path: ['system::', 'uuid', 'get'],
    family: 'system',
    synopsis: '',
    description: 'print the uuid of this node',
    load: async () => (await tools()).uuidGet,
  },
  {
    path: ['system::', 'getwd'],
    family: 'system',
    synopsis: '',
    description: 'print the working directory of glusterd',
    load: async () => (await tools()).workingDirectory,
  },
  {
    path: ['system::', 'uuid', 'reset'],
    family: 'system',
    synopsis: '',
    description: 'give this node a new uuid',
    load: async () => (await tools()).uuidReset,
  },
  {
    path: ['system::', 'fsm', 'log'],
    family: 'system',
    synopsis: '[<peer-name>]',
    description: 'print what became of the peers of this node, or of one, lately',
    load: async () => (await peers()).log,
  },
  {
    path: ['system::', 'lock', 'show'],
    family: 'system',
    synopsis: '',
    description: 'print which operation holds the cluster lock, where and since when',
    load: async () => (await locks()).show,
  },
  {
    path: ['system::', 'lock', 'break'],
    family: 'system',
    synopsis: '',
    description: 'take the cluster lock from an operation that does not end',
    load: async () => (await locks()).breakIt,
  },
  {
    path: ['system::', 'pool', 'recover'],
    family: 'system',
    synopsis: '[force]',
    description: 'give the state of this node to members that lost theirs, when most have',
    load: async () => (await locks()).recover,
  },
  {
    path: ['eventsapi', 'status'],
    family: 'system',
    synopsis: '',
    description: 'show who is told of events',
    load: async () => (await events()).status,
  },
  {
    path: ['eventsapi', 'webhook-add'],
    family: 'system',
    synopsis: '<URL> [bearer-token <TOKEN>]',
    description: 'tell this address of events',
    load: async () => (await events()).add,
  },
  {
    path: ['eventsapi', 'webhook-mod'],
    family: 'system',
    synopsis: '<URL> [bearer-token <TOKEN>]',
    description: 'give the address another token, or none',
    load: async () => (await events()).modify,
  },
  {
    path: ['eventsapi', 'webhook-del'],
    family: 'system',
    synopsis: '<URL>',
    description: 'tell this address no more',
    load: async () => (await events()).remove,
  },
  {
    path: ['eventsapi', 'webhook-test'],
    family: 'system',
    synopsis: '<URL> [bearer-token <TOKEN>]',
    description: 'send an event to this address now',
    load: async () => (await events()).test,
  },
  missing('system:: mount', 'system', '<label> <args...>', 'mount on behalf of another'),
  missing('system:: umount', 'system', '<path> [lazy]', 'unmount on behalf of another'),
  missing('system:: execute', 'system', '<command> <args>', 'run a helper on all nodes'),
  helpOf('system:: help', 'system', 'list the system commands'),

  {
    path: ['help'],
    family: 'misc',
    synopsis: '',
    description: 'show what can be asked for',
    load: async () => {
      const { printOverview } = await help();
      return async (session) => printOverview(session.io);
    },
  },
];

/** `volume create <NEW-VOLNAME> ...`: the command as its usage and the help have it. */
export function patternOf(command: Command): string {
  return [...command.path, command.synopsis].join(' ').replace(/ $/, command.synopsis.endsWith(' ') ? ' ' : '');
}
