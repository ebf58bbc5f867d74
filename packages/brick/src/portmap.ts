/** Tells glusterd where this brick listens, now and whenever glusterd comes back. */
import type { Host, ManagementLink } from '@mortar/host';

export interface SignIn {
  /** Path of the brick, as glusterd knows it. */
  readonly brick: string;
  readonly port: number;
  readonly pid: number;
  /** Where clients on this host connect; empty if nowhere. */
  readonly socketPath: string;
}

const timeoutMs = 10_000;

/** A brick serves without glusterd; a sign-in that fails is logged and made up for at the next connection. */
export async function signIn(host: Host, link: ManagementLink, entry: SignIn): Promise<void> {
  const once = async (): Promise<void> => {
    try {
      await link.call('portmap.signin', entry, { timeoutMs });
    } catch (error) {
      host.log.write('WARNING', 'portmap', `signing in at ${link.serverName} failed: ${(error as Error).message}`);
    }
  };
  await once();
  link.onConnect(() => void once());
  link.keep();
  host.atEnd('portmap entry', () => signOut(link, entry));
}

async function signOut(link: ManagementLink, { brick, port, pid }: SignIn): Promise<void> {
  if (link.isUp) await link.call('portmap.signout', { brick, port, pid }, { timeoutMs: 1000 }).catch(() => undefined);
}
