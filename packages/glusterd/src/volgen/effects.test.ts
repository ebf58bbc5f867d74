import { describe, expect, it } from 'vitest';
import { volumeSetHelp } from '../options/index.ts';
import { noteWithoutEffect } from './demand.ts';
import { whyWithoutEffect, wordsOf } from './effects.ts';
import { entriesOf, volumeOptions } from './table.ts';

const doing = (key: string) => entriesOf(key).map(wordsOf);

describe('what an option does', () => {
  it('is known of every one but some of management’s own', () => {
    const without = volumeOptions.filter((entry) => !wordsOf(entry)).map(({ xlator }) => xlator);
    expect(new Set(without)).toEqual(new Set(['mgmt/glusterd', 'configuration']));
  });

  it.each([
    ['cluster.subvols-per-directory', 'Children that a new directory is spread over; 0: all.'],
    ['auth.allow', 'Addresses, patterns, networks or names of clients'],
    ['auth.ssl-allow', 'The same, as volume set knows it.'],
    ['server.ssl', 'Speak TLS; both sides show a certificate.'],
    ['ssl.own-cert', 'Own certificate; /etc/ssl/glusterfs.pem.'],
    ['diagnostics.client-log-level', "The process's log level."],
    ['cluster.heal-timeout', 'Seconds between'],
    ['performance.io-cache', 'Whether the volume has performance/io-cache.'],
    ['features.block', 'Whether the volume has features/block.'],
  ])('is said of %s by the translator that takes it', (key, text) => {
    expect(doing(key)[0]?.description.slice(0, text.length)).toBe(text);
    expect(whyWithoutEffect(key)).toBeUndefined();
  });

  it.each([
    ['storage.linux-aio', 'storage.linux-aio has no effect: cached data is read at once, the rest by threads'],
    ['diagnostics.brick-logger', 'diagnostics.brick-logger has no effect: logs go to files, not to the system log'],
    ['client.keepalive-time', 'client.keepalive-time has no effect: nothing reads it'],
    ['cluster.full-lock', 'cluster.full-lock has no effect: nothing in this build reads it'],
    [
      'performance.read-ahead-page-count',
      'performance.read-ahead-page-count has no effect: this build has no performance/read-ahead translator, which reads ahead of sequential readers',
    ],
  ])('is nothing of %s, and who sets it is told', (key, note) => {
    expect(noteWithoutEffect(key)).toBe(note);
  });

  it.each([
    'performance.read-ahead',
    'nfs.disable',
    'server.manage-gids',
    'cluster.server-quorum-type',
    'cluster.brick-multiplex',
  ])('is not put in doubt of %s', (key) => {
    expect(noteWithoutEffect(key)).toBeUndefined();
  });

  it('is what volume set help says', () => {
    const help = volumeSetHelp();
    expect(help).toContain(
      'Option: cluster.lookup-optimize\nDefault Value: on\nDescription: Trust the answer that a name does not exist',
    );
    expect(help).toContain('Description: Has no effect. Cached data is read at once, the rest by threads. (on or off)');
    expect(help).toContain(
      'Option: cluster.brick-restart\nDefault Value: on\nDescription: Start bricks again that died, after 10 s and later each time.',
    );
  });
});
