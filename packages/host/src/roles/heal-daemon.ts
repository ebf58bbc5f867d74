/**
 * `glusterfs --process-name glustershd`: the heal daemon of a node, for all volumes that its glusterd names, or, with a volfile or the id
 * `shd/VOLUME`, of this one volume.
 */
import type { ManagementServer } from '@mortar/rpc';
import { HealDaemon } from '@mortar/xlators/cluster/replicate/heal-daemon.ts';
import { z } from 'zod';
import { controlServer, graphInfo, listenForControl, processControl } from '../control/server.ts';
import type { Host } from '../host.ts';
import { openLink, openVolfile } from '../management/open.ts';
import { type InstanceLock, takeInstanceLock } from '../process/instance-lock.ts';
import { StartError } from '../start-error.ts';
import { addHealMethods } from './heal-methods.ts';
import { type HealVolume, wantedVolume } from './heal-volume.ts';
import { HealVolumes } from './heal-volumes.ts';

/** What a daemon that heals for the whole node has in place of the id of a volfile. */
const ofNode = 'gluster/glustershd';
const mostVolumes = 100_000;

export async function healDaemonRole(host: Host): Promise<void> {
  const { socketFile, volfileId, servers } = host.args;
  if (socketFile === undefined) throw new StartError('the heal daemon needs a control socket: -S PATH');
  const isOfNode = servers.length > 0 && volfileId === ofNode;
  await listenForControl(host, isOfNode ? healNode(host) : await healVolume(host), socketFile);
}

function healNode(host: Host): ManagementServer {
  const lock = onlyOne(host);
  const link = openLink(host);
  link.keep();
  const volumes = new HealVolumes(host, link);
  // Before the link ends, so that no heal is cut off in the middle of a change.
  host.atEnd('healing', () => volumes.stop());
  const server = processControl(host);
  const wanted = z.object({ volumes: z.array(wantedVolume).max(mostVolumes) });
  server.method('heal.serve', wanted, (params) => {
    // Somebody may have tidied up the run directory.
    lock.renew();
    host.renewPidFile();
    return volumes.serve(params.volumes);
  });
  addHealMethods(server, (volume) => volumes.of(volume).daemon);
  server.method('heal.inodes', z.object({ volume: z.string() }), ({ volume }) => inodesOf(volumes.of(volume)));
  server.method('graph.info', z.object({ volume: z.string() }), ({ volume }) => graphInfo(volumes.of(volume).keeper));
  server.method('graph.refresh', z.object({ volume: z.string().optional() }).optional(), async (params) => {
    const which = params?.volume === undefined ? volumes.all : [volumes.of(params.volume)];
    await Promise.all(which.map(({ keeper }) => keeper.refresh()));
  });
  return server;
}

function inodesOf({ inodes }: HealVolume) {
  const { active, lru, limit } = inodes.stats();
  return [{ lruLimit: limit, active, lru, purge: 0 }];
}

/** Two daemons of a node would crawl and heal the same files. Pid files are too easily gone to keep a second one away. */
function onlyOne({ args }: Host): InstanceLock {
  if (args.pidFile === undefined) throw new StartError('the heal daemon of a node needs a pid file: -p PATH');
  const path = `${args.pidFile}.lock`;
  try {
    return takeInstanceLock(path);
  } catch (error) {
    throw new StartError(`the heal daemon of this node: ${(error as Error).message}`, 1, { cause: error });
  }
}

async function healVolume(host: Host): Promise<ManagementServer> {
  const { source } = openVolfile(host);
  const daemon = new HealDaemon(host.services.clock);
  const keeper = host.keepGraph({ source, handOver: (next) => daemon.attach(next.graph) });
  host.atEnd('healing', () => daemon.stop());
  const running = await keeper.start();
  await daemon.attach(running.graph);
  const server = controlServer(host, keeper);
  addHealMethods(server, () => daemon);
  return server;
}
