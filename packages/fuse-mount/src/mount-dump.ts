/** What a mount adds to the state dump: itself, the requests under way, the locks it holds. */
import type { DumpSection, Host } from '@mortar/host';
import { stamp } from '@mortar/host/ports/log.ts';
import type { FuseMount } from './index.ts';
import { mountSettings } from './mount-settings.ts';

/** Requests that are told one by one. */
const requestsMax = 1000;

export function mountSections(host: Host, mount: FuseMount): DumpSection[] {
  const { stats } = mount;
  const own: DumpSection = {
    name: 'xlator.mount.fuse.priv',
    values: {
      'mount-point': mount.mountPoint,
      handles: stats.handles,
      nodes: stats.nodes,
      in_flight: stats.inFlight,
      lock_waits: stats.lockWaits,
      use_readdirp: mountSettings(host.args).session?.readdirplus === false ? 0 : 1,
      'lru-max-limit': host.args.lruLimit,
      ...Object.fromEntries(Object.entries(stats.requests).map(([op, count]) => [`requests.${op}`, count])),
    },
  };
  return [own, inodeSection(stats), ...lockSections(stats.locks), ...callSections(mount)];
}

/** What the kernel knows: what is open (the root always is), and what it may let go. */
function inodeSection({ nodes, openNodes }: FuseMount['stats']): DumpSection {
  const active = Math.max(1, openNodes);
  return { name: 'xlator.mount.fuse.itable', values: { active_size: active, lru_size: Math.max(0, nodes - active) } };
}

/** Under the name of GlusterFS's accounts of memory, which has none for what nobody uses. */
function lockSections(locks: number): DumpSection[] {
  const name = 'mount.fuse - usage-type gf_client_mt_clnt_lock_t memusage';
  return locks === 0 ? [] : [{ name, values: { num_allocs: locks } }];
}

function callSections(mount: FuseMount): DumpSection[] {
  const pending = mount.pending();
  const stacks = pending.slice(0, requestsMax).flatMap(({ op, unique, uid, gid, pid, lockOwner, since }, i) => {
    const name = `global.callpool.stack.${i + 1}`;
    const time = stamp(since);
    const values = { 'callstack-creation-time': time, uid, gid, pid, unique, 'lk-owner': lockOwner };
    return [
      { name, values: { ...values, op: op.toUpperCase(), type: 1, cnt: 1 } },
      { name: `${name}.frame.1`, values: { 'frame-creation-time': time, translator: 'fuse', complete: 0 } },
    ];
  });
  return [{ name: 'global.callpool', values: { 'callpool.cnt': pending.length } }, ...stacks];
}
