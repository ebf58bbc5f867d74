/** `glusterfs --process-name glustershd`: the heal daemon of a volume, and what glusterd asks of it. */
import { HealDaemon } from '@mortar/xlators/cluster/replicate/heal-daemon.ts';
import { z } from 'zod';
import { controlServer, listenForControl } from '../control/server.ts';
import type { Host } from '../host.ts';
import { openVolfile } from '../management/open.ts';
import { StartError } from '../start-error.ts';

const ofVolume = z.object({ volume: z.string() });

export async function healDaemonRole(host: Host): Promise<void> {
  const { socketFile } = host.args;
  if (socketFile === undefined) throw new StartError('the heal daemon needs a control socket: -S PATH');
  const { source } = openVolfile(host);
  const daemon = new HealDaemon(host.services.clock);
  const keeper = host.keepGraph({ source, handOver: (next) => daemon.attach(next.graph) });
  // Before the graph ends, so that no heal is cut off in the middle of a change.
  host.atEnd('healing', () => daemon.stop());
  const running = await keeper.start();
  await daemon.attach(running.graph);
  await listenForControl(host, withHealMethods(controlServer(host, keeper), daemon), socketFile);
}

function withHealMethods(server: ReturnType<typeof controlServer>, daemon: HealDaemon) {
  server.method('heal.launch', ofVolume.extend({ full: z.boolean() }), async ({ full }) => ({
    started: await daemon.launch(full),
  }));
  const info = ofVolume.extend({ kind: z.enum(['all', 'summary', 'split-brain']), heals: z.boolean().default(false) });
  server.method('heal.info', info, ({ kind, heals }) => daemon.info(kind === 'split-brain' ? kind : 'all', heals));
  server.method('heal.count', ofVolume, async () =>
    (await daemon.count()).map(({ brick, count }) => ({ brick, count: count ?? null })),
  );
  server.method('heal.statistics', ofVolume, () =>
    daemon.statistics().map(({ brick, connected, crawls }) => ({
      brick,
      connected,
      crawls: crawls.map(({ startSec, endSec, ...rest }) => ({
        startSeconds: startSec,
        endSeconds: endSec ?? null,
        ...rest,
      })),
    })),
  );
  const policy = z.enum(['bigger-file', 'latest-mtime', 'source-brick']);
  const splitBrain = ofVolume.extend({ policy, file: z.string().optional(), brick: z.string().optional() });
  server.method('heal.splitBrain', splitBrain, ({ policy: by, file, brick }) => daemon.resolve(by, file, brick));
  return server;
}
