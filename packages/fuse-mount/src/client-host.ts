/** The glusterfs process: picks its role and runs it. */
import { type ProcessArguments, runHost, StartError } from '@mortar/host';
import { graphRole, type Role, roles } from '@mortar/host/roles/roles.ts';

export async function serve(args: ProcessArguments): Promise<void> {
  await runHost('glusterfs', args, async (host) => (await roleOf(args))(host));
}

/** `--process-name`: fuse and fuse.ANYTHING are mounts, daemons have names of their own. */
async function roleOf(args: ProcessArguments): Promise<Role> {
  const { processName, mountPoint } = args;
  const isMount = processName === undefined || processName === 'fuse' || processName.startsWith('fuse.');
  if (!isMount) {
    const load = roles[processName];
    if (load) return load();
    throw new StartError(`--process-name ${processName}: known are fuse, ${Object.keys(roles).join(', ')}`);
  }
  if (mountPoint === undefined) return graphRole();
  return (await import('./mount-role.ts')).mountRole;
}
