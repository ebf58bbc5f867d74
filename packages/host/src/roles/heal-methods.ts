/** What glusterd asks of a heal daemon, a volume at a time (docs/management.md). */
import type { ManagementServer } from '@mortar/rpc';
import type { HealDaemon } from '@mortar/xlators/cluster/replicate/heal-daemon.ts';
import { z } from 'zod';

const ofVolume = z.object({ volume: z.string() });

/** `of`: the daemon that has the volume; throws ManagementError if none has. */
export function addHealMethods(server: ManagementServer, of: (volume: string) => HealDaemon): void {
  server.method('heal.launch', ofVolume.extend({ full: z.boolean() }), async ({ volume, full }) => ({
    started: await of(volume).launch(full),
  }));
  const info = ofVolume.extend({ kind: z.enum(['all', 'summary', 'split-brain']), heals: z.boolean().default(false) });
  server.method('heal.info', info, ({ volume, kind, heals }) =>
    of(volume).info(kind === 'split-brain' ? kind : 'all', heals),
  );
  server.method('heal.count', ofVolume, async ({ volume }) =>
    (await of(volume).count()).map(({ brick, count }) => ({ brick, count: count ?? null })),
  );
  server.method('heal.statistics', ofVolume, ({ volume }) =>
    of(volume)
      .statistics()
      .map(({ brick, connected, crawls }) => ({
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
  server.method('heal.splitBrain', splitBrain, ({ volume, policy: by, file, brick }) =>
    of(volume).resolve(by, file, brick),
  );
}
