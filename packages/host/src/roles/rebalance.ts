/** `glusterfs --process-name rebalance`: moves the files of a volume to where they belong, tells how far it is, and ends. */
import { dirname } from 'node:path';
import type { Graph } from '@mortar/core';
import type { Distribute } from '@mortar/xlators/cluster/distribute/distribute.ts';
import type { AwaitedClient, LateClients } from '@mortar/xlators/cluster/distribute/late-clients.ts';
import { Rebalance, type RebalanceKind, type RebalanceStatus } from '@mortar/xlators/cluster/distribute/rebalance.ts';
import { z } from 'zod';
import { controlServer, listenForControl } from '../control/server.ts';
import type { Host } from '../host.ts';
import { openVolfile } from '../management/open.ts';
import { StartError } from '../start-error.ts';
import { lateClientsOf } from './late-clients.ts';
import { ProgressFile } from './rebalance-progress.ts';

const upTimeoutMs = 60_000;

/** GlusterFS's numbers of what a rebalance process is to do (`rebalance-cmd`). */
const kinds: Readonly<Record<number, RebalanceKind>> = { 1: 'migrate', 4: 'fix-layout', 5: 'force' };

export async function rebalanceRole(host: Host): Promise<void> {
  const { socketFile, pidFile } = host.args;
  if (socketFile === undefined) throw new StartError('a rebalance process needs a control socket: -S PATH');
  const { source, link } = openVolfile(host);
  const progress = pidFile === undefined ? undefined : new ProgressFile(`${dirname(pidFile)}/status.json`);
  const job = new Job((d, kind) => lateClientsOf(host, link, d, kind), progress?.before());
  const keeper = host.keepGraph({ source, handOver: (next) => job.goOn(distributeOf(next.graph)) });
  host.atEnd('rebalance', () => job.stop());
  const running = await keeper.start();
  const server = controlServer(host, keeper);
  server.method('rebalance.status', z.unknown(), () => job.status());
  server.method('rebalance.waits', z.unknown(), () => job.awaited());
  let isAsked = false;
  server.method('rebalance.stop', z.unknown(), async () => {
    isAsked = true;
    await job.stop();
    return job.status();
  });
  await listenForControl(host, server, socketFile);
  void (async () => {
    await running.top.untilUp(host.services.clock, upTimeoutMs);
    const kept = progress?.keep(host.services, () => job.status());
    const status = await job.run(distributeOf(keeper.current.graph));
    kept?.end();
    // Ended by a signal it has not done its work: it is to go on when it can.
    progress?.write(status.state === 'stopped' && !isAsked ? { ...status, state: 'running' } : status);
    host.exit(`the rebalance is ${status.state}`);
  })();
}

function distributeOf(graph: Graph): Distribute {
  const found = [...graph.xlators.values()].find(({ type }) => type === 'cluster/distribute');
  if (!found) throw new Error('the volfile has no cluster/distribute');
  return found as Distribute;
}

function kindOf({ options }: Distribute): RebalanceKind {
  return options['decommissioned-bricks'] !== '' ? 'detach' : (kinds[options['rebalance-cmd']] ?? 'migrate');
}

/** The same work over all graphs that the process has in its life. */
class Job {
  readonly #lateOf: (d: Distribute, kind: RebalanceKind) => LateClients | undefined;
  #current: Rebalance | undefined;
  #ended: Promise<RebalanceStatus> | undefined;
  /** Of graphs that are gone, and of a process that was killed. */
  readonly #before: RebalanceStatus[];
  #next: Distribute | undefined;
  #stopped = false;

  constructor(
    lateOf: (d: Distribute, kind: RebalanceKind) => LateClients | undefined,
    before: RebalanceStatus | undefined,
  ) {
    this.#lateOf = lateOf;
    this.#before = before ? [before] : [];
  }

  async run(first: Distribute): Promise<RebalanceStatus> {
    for (let d: Distribute | undefined = first; d && !this.#stopped; d = this.#next) {
      this.#next = undefined;
      this.#current = new Rebalance(d, kindOf(d), this.#lateOf(d, kindOf(d)));
      this.#ended = this.#current.run();
      const status = await this.#ended;
      // A new graph begins again at the root: what is in place already costs a look.
      if (this.#next) this.#before.push(status);
    }
    return this.status();
  }

  async goOn(next: Distribute): Promise<void> {
    this.#next = next;
    this.#current?.stop();
    await this.#ended;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#current?.stop();
    await this.#ended;
  }

  awaited(): AwaitedClient[] {
    return this.#current?.awaited() ?? [];
  }

  status(): RebalanceStatus {
    const now: RebalanceStatus = this.#current?.status() ?? {
      state: this.#stopped ? ('stopped' as const) : ('running' as const),
      movedFiles: 0,
      movedBytes: 0,
      scanned: 0,
      failures: 0,
      skipped: 0,
      seconds: 0,
    };
    const sum = (field: Exclude<keyof RebalanceStatus, 'state' | 'secondsLeft'>) =>
      this.#before.reduce((total, one) => total + one[field], now[field]);
    return {
      ...(now.secondsLeft !== undefined && { secondsLeft: now.secondsLeft }),
      state: now.state,
      movedFiles: sum('movedFiles'),
      movedBytes: sum('movedBytes'),
      scanned: now.scanned,
      failures: now.failures,
      skipped: now.skipped,
      seconds: sum('seconds'),
    };
  }
}
