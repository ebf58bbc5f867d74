/** A mount: volfile → graph → FUSE. The command that started it returns when the mount is served. */
import { byteString, Errno, type Gfid, type GraphEvent, locOf, rootCall, rootGfid } from '@mortar/core';
import { errnoName } from '@mortar/core/errno.ts';
import {
  Admission,
  controlServer,
  type Host,
  handOverMs,
  listenForControl,
  openVolfile,
  type ProcessArguments,
  type RunningGraph,
  StartError,
  serveMetrics,
  withSubdirectory,
} from '@mortar/host';
import { umount2 } from '@mortar/libc';
import { MetaOverlay, MetaVolume, metaPortName } from '@mortar/xlators/meta/index.ts';
import { withGfidDirectory } from './gfid-directory.ts';
import { type FuseMount, mountFuse } from './index.ts';
import { mountSections } from './mount-dump.ts';
import { GraphHistory, mountFacts } from './mount-meta.ts';
import { mountPointState } from './mount-point.ts';
import { mountSettings, optionsWithoutEffect } from './mount-settings.ts';
import { findDirectory, type SubdirectoryView, subdirectoryView } from './subdirectory.ts';

/** How long the bricks are given to be reached before a mount is made that answers ENOTCONN until they are. */
const upTimeoutMs = 5_000;
/** Between two looks at a root that too few bricks serve. */
const rootRetryMs = 100;
/** Between the mount and the end of a process whose servers refuse it. */
const refusedDelayMs = 200;
const MNT_DETACH = 2;

export async function mountRole(host: Host): Promise<void> {
  const { args, services } = host;
  const mountPoint = args.mountPoint!;
  const settings = mountSettings(args);
  if (args.given.has('worm'))
    throw new StartError(
      '--worm: this build has no features/worm translator; --read-only keeps a mount from being written',
    );
  for (const name of optionsWithoutEffect(args)) host.log.write('WARNING', 'fuse', `--${name} has no effect`);
  checkMountPoint(host, mountPoint);
  const { source } = openVolfile(host);
  let mount: FuseMount | undefined;
  let root: Gfid = rootGfid;
  const history = new GraphHistory(host);
  const facts = mountFacts({ host, history, keeper: () => keeper, mount: () => mount });
  services.addPort(metaPortName, facts);
  const metaVolume = new MetaVolume(facts, services);
  const meta = new MetaOverlay(metaVolume);
  const byGfid = args.given.has('aux-gfid-mount');
  const viewOf = ({ ops }: RunningGraph): SubdirectoryView => {
    const below = root === rootGfid ? { ops, upcall: unchanged } : subdirectoryView(ops, root);
    const found = byGfid ? withGfidDirectory(below.ops) : below.ops;
    return { ops: meta.over(found), upcall: (event) => below.upcall(event) };
  };
  let view: SubdirectoryView | undefined;
  const admission = new Admission();
  const { subdirectory } = args;
  const keeper = host.keepGraph({
    source,
    ...(subdirectory === undefined ? {} : { prepare: async (volfile) => withSubdirectory(volfile, subdirectory) }),
    onEvent: (event: GraphEvent) => {
      admission.hear(event);
      if (event.type === 'upcall' && view) mount?.upcall(view.upcall(event));
    },
    drainTimeoutMs: handOverMs,
    handOver: async (next, previous) => {
      history.took(next.graph, previous.graph);
      mount?.upcall({ type: 'upcall', gfid: metaVolume.activeLink, what: 'data' });
      view = viewOf(next);
      await mount?.setGraph(view.ops);
    },
  });
  const running = await keeper.start();
  history.took(running.graph);
  root = await checkService(host, running, admission);
  // Also when the graph was switched meanwhile.
  view = viewOf(keeper.current);
  // Before the mount, so that a mount never outlives a start that failed.
  if (args.socketFile !== undefined) await listenForControl(host, controlServer(host, keeper), args.socketFile);
  if (args.metricsPort !== undefined) await serveMetrics(host, args.metricsPort);
  const attach = await backendOf(args);
  const attached = view;
  mount = await attach({
    mountPoint,
    source: displayName(args),
    options: settings,
    services,
    // The same as of translators' own calls, whose locks cover those of users. Bricks name sessions themselves.
    clientId: '',
    top: attached.ops,
  });
  if (view !== attached) await mount.setGraph(view.ops);
  serveUntilUnmounted(host, mount);
  // A mount that was served once waits for its bricks, whatever they say.
  if (keeper.current.top.state === 'up') return;
  // The command that made the mount succeeds before, as scripts know it: they look at the mount.
  void admission.whenRefused.then((reason) =>
    services.clock.after(refusedDelayMs, () => {
      if (keeper.isStarted && keeper.current.top.state !== 'up')
        host.exit(`server authentication failed, shutting down: ${reason}`, 1);
    }),
  );
}

async function backendOf({ given }: ProcessArguments): Promise<typeof mountFuse> {
  const name = given.get('fuse-backend') ?? 'kernel';
  if (name === 'kernel') return mountFuse;
  if (name === 'fuse-native') return (await import('./native/index.ts')).mountNative;
  throw new StartError(`fuse-backend '${name}': kernel or fuse-native is expected`);
}

const unchanged: SubdirectoryView['upcall'] = (event) => event;

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

/**
 * Returns the gfid of the mount's root. A volume that cannot be reached is mounted all the same and served when it can
 * be, except for a directory of it, which must be found first.
 */
async function checkService(host: Host, { top, ops }: RunningGraph, admission: Admission): Promise<Gfid> {
  const { clock } = host.services;
  const { logFile, subdirectory = '/' } = host.args;
  const where = `Mount failed. Check the log file ${logFile} for more details.`;
  const deadlineMs = clock.nowMs() + upTimeoutMs;
  const withoutBricks = (what: string) => {
    if (subdirectory !== '/') throw new StartError(`${what}. ${where}`);
    host.log.write('WARNING', 'fuse', `${what}; mounting all the same`);
    return rootGfid;
  };
  if (!(await admission.untilUp(top, clock, upTimeoutMs)))
    return withoutBricks(`no brick could be reached within ${upTimeoutMs / 1000} s (graph is ${top.state})`);
  const look = () => ops.lookup(rootCall(clock), { loc: locOf(rootGfid) });
  let reply = await look();
  // The first bricks are there, the others that make a quorum may be starting.
  while (!reply.ok && reply.errno === Errno.ENOTCONN && clock.nowMs() < deadlineMs) {
    await clock.sleep(rootRetryMs);
    reply = await look();
  }
  if (!reply.ok && reply.errno === Errno.ENOTCONN)
    return withoutBricks(`too few bricks could be reached within ${upTimeoutMs / 1000} s`);
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
  host.dumper.add(() => mountSections(host, mount));
  let mounted = true;
  host.atEnd('mount', () => (mounted ? mount.unmount() : undefined));
  void mount.closed.then((error) => {
    mounted = false;
    host.exit(error ? `the mount ended: ${error.message}` : 'unmounted', error ? 1 : 0);
  });
}
