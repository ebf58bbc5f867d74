/** Whether this host speaks TLS to glusterd: GlusterFS's file `secure-access` in the working directory (docs/tls.md). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TlsSettings, tlsOfSecureAccess } from '../tls.ts';

const defaultWorkDirectory = '/var/lib/glusterd';
export const workDirectoryVariable = 'MORTAR_WORK_DIRECTORY';

/** Undefined: in the clear. A file that cannot be read or understood is an error: nobody falls back to that unasked. */
export function secureAccess(
  directory = process.env[workDirectoryVariable] ?? defaultWorkDirectory,
): TlsSettings | undefined {
  try {
    return tlsOfSecureAccess(readFileSync(join(directory, 'secure-access'), 'utf8'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** One line for each address and reason in a minute would still be many: a port scanner knocks often. */
const quietMs = 10_000;

export function refusalLogger(
  write: (text: string) => void,
  nowMs: () => number,
): (address: string, reason: string) => void {
  let untilMs = 0;
  let unsaid = 0;
  return (address, reason) => {
    unsaid++;
    if (nowMs() < untilMs) return;
    const more = unsaid > 1 ? ` (${unsaid} of such kind in the last seconds)` : '';
    write(`TLS: ${address} was refused: ${reason}${more}`);
    unsaid = 0;
    untilMs = nowMs() + quietMs;
  };
}
