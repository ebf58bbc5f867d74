/** State dumps that are asked for by way of glusterd: `volume statedump V client HOST:PID`. */
import type { Log } from '@mortar/core';
import { ReportError } from '../dump/write-report.ts';
import type { ManagementLink } from './link.ts';

const answerMs = 5000;
const tokenMaxLength = 64;

/** `write`: makes the dump and returns its path. The result ends it. */
export function dumpWhenAsked(link: ManagementLink, log: Log, write: () => string): () => void {
  return link.onNotice('statedump', (params) => {
    const token = (params as { token?: unknown } | null | undefined)?.token;
    if (typeof token !== 'string' || token.length > tokenMaxLength) return;
    link.call('statedump.done', { token, ...outcomeOf(log, write) }, { timeoutMs: answerMs }).catch((error: Error) => {
      log.write('WARNING', 'glusterd', `who asked for a state dump could not be told of it: ${error.message}`);
    });
  });
}

function outcomeOf(log: Log, write: () => string): { path: string } | { problem: string } {
  try {
    return { path: write() };
  } catch (error) {
    if (!(error instanceof ReportError)) throw error;
    log.write('ERROR', 'glusterd', error.message);
    return { problem: error.message };
  }
}
