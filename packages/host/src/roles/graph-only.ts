import { controlServer, listenForControl } from '../control/server.ts';
import type { Host } from '../host.ts';
import { openVolfile } from '../management/open.ts';

/** Runs the graph of the volfile, whatever it is. */
export async function graphOnly(host: Host): Promise<void> {
  const { source } = openVolfile(host);
  const keeper = host.keepGraph({ source });
  await keeper.start();
  const { socketFile } = host.args;
  if (socketFile !== undefined) await listenForControl(host, controlServer(host, keeper), socketFile);
}
