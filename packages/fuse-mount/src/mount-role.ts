/** A mount: volfile → graph → FUSE. The command that started it returns when the mount is served. */
import { byteString, type Gfid, type GraphEvent, locOf, rootCall, rootGfid } from '@mortar/core';
import { errnoName } from '@mortar/core/errno.ts';
import {
  controlServer,
  type Host,
  listenForControl,
  openVolfile,
  type ProcessArguments,
  type RunningGraph,
  StartError,
  serveMetrics,
} from '@mortar/host';
import { umount2 } from '@mortar/libc';
import { type FuseMount, mountFuse } from './index.ts';
import { mountPointState } from './mount-point.ts';
import { mountSettings, optionsWithoutEffect } from './mount-settings.ts';
import { findDirectory, type SubdirectoryView, subdirectoryView } from './subdirectory.ts';

/** How long the bricks are given to be reached before the mount fails. */
const upTimeoutMs = 10_000;
const MNT_DETACH = 2;

export async function mountRole(host: Host): Promise<void> {
  const { args, services } = host;
  const mountPoint = args.mountPoint!;
  const settings = mountSettings(args);
  if (args.given.has('worm')) throw new StartError('--worm: set features.worm on the volume instead');
  for (const name of optionsWithoutEffect(args)) host.log.write('WARNING', 'fuse', `--${name} has no effect`);
  checkMountPoint(host, mountPoint);
  const { source } = openVolfile(host);
  let mount: FuseMount | undefined;
  let root: Gfid = rootGfid;
  const viewOf = ({ ops }: RunningGraph): SubdirectoryView =>
    root === rootGfid ? { ops, upcall: (event) => event } : subdirectoryView(ops, root);
  let view: SubdirectoryView | undefined;
  const keeper = host.keepGraph({
    source,
    onEvent: (event: GraphEvent) => {
      if (event.type === 'upcall' && view) mount?.upcall(view.upcall(event));
    },
    handOver: async (next) => {
      view = viewOf(next);
      await mount?.setGraph(view.ops);
    },
  });
  const running = await keeper.start();
  root = await checkService(host, running);
  // Also when the graph was switched meanwhile.
  view = viewOf(keeper.current);
  // Before the mount, so that a mount never outlives a start that failed.
  if (args.socketFile !== undefined) await listenForControl(host, controlServer(host, keeper), args.socketFile);
  if (args.metricsPort !== undefined) await serveMetrics(host, args.metricsPort);
  mount = await mountFuse({
    mountPoint,
    source: displayName(args),
    options: settings,
    services,
    // The same as of translators' own calls, whose locks cover those of users. Bricks name sessions themselves.
    clientId: '',
    top: view.ops,
  });
  serveUntilUnmounted(host, mount);
}

/** A mount whose process died is taken away, as its user would have to. */
function checkMountPoint(host: Host, path: string): void {
  const state = mountPointState(path);
  if (state === 'missing') throw new StartError(`ERROR: Mount point ${path} does not exist`);
  if (state === 'not-a-directory') throw new StartError(`ERROR: Mount point ${path} is not a directory`);
  if (state !== 'dead') return;
  const result = umount2(byteString(path), MNT_DETACH);
  if (result < 0) throw new StartError(`the dead mount on ${path} cannot be unmounted: ${errnoName(-result)}`);
  host.log.write('WARNING', 'fuse', `a dead mount on ${path} was unmounted`);
}

/** A mount that could not serve its root is refused rather than made. Returns the gfid of the mount's root. */
async function checkService(host: Host, { top, ops }: RunningGraph): Promise<Gfid> {
  const { clock } = host.services;
  const { logFile, subdirectory = '/' } = host.args;
  const where = `Mount failed. Check the log file ${logFile} for more details.`;
  if (!(await top.untilUp(clock, upTimeoutMs)))
    throw new StartError(`no brick could be reached within ${upTimeoutMs / 1000} s (graph is ${top.state}). ${where}`);
  const reply = await ops.lookup(rootCall(clock), { loc: locOf(rootGfid) });
  if (!reply.ok) throw new StartError(`the volume's root cannot be read: ${errnoName(reply.errno)}. ${where}`);
  const found = await findDirectory(ops, rootCall(clock), byteString(subdirectory));
  if (!found.ok)
    throw new StartError(
      `the volume's directory ${subdirectory} cannot be mounted: ${found.path}: ${errnoName(found.errno)}`,
    );
  return found.gfid;
}

/** What the mount table shows as the source. */
function displayName({ given, servers, volfile }: ProcessArguments): string {
  const name = given.get('fs-display-name');
  if (name) return name;
  const [server] = servers;
  if (server === undefined) return volfile ?? 'glusterfs';
  const subdirectory = given.get('subdir-mount') ?? '';
  return `${server}:${given.get('volfile-id')}${subdirectory}`;
}

function serveUntilUnmounted(host: Host, mount: FuseMount): void {
  host.dumper.add(() => [
    {
      name: 'xlator.mount.fuse.priv',
      values: {
        'mount-point': mount.mountPoint,
        handles: mount.stats.handles,
        nodes: mount.stats.nodes,
        in_flight: mount.stats.inFlight,
        lock_waits: mount.stats.lockWaits,
        use_readdirp: mountSettings(host.args).session?.readdirplus === false ? 0 : 1,
        'lru-max-limit': host.args.lruLimit,
        ...Object.fromEntries(Object.entries(mount.stats.requests).map(([op, count]) => [`requests.${op}`, count])),
      },
    },
  ]);
  let mounted = true;
  host.atEnd('mount', () => (mounted ? mount.unmount() : undefined));
  void mount.closed.then((error) => {
    mounted = false;
    host.exit(error ? `the mount ended: ${error.message}` : 'unmounted', error ? 1 : 0);
  });
}
