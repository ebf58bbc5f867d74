/**
 * Log levels by an xattr set on anything in the mount, as GlusterFS has it: `trusted.glusterfs.set-log-level` is the
 * process's, `trusted.glusterfs.TRANSLATOR.set-log-level` a translator's own (`*` and `?` stand for any characters).
 */
import { type ByteString, Errno, type Log, type LogLevel, logLevels } from '@mortar/core';
import type { MetaFacts } from './facts.ts';

const command = /^trusted\.glusterfs\.(?:(.+)\.)?set-log-level$/;

/** Undefined: the xattr is no command; else 0 or why it was refused. */
export function runLogCommand(facts: MetaFacts, log: Log, xattr: ByteString, value: Uint8Array): Errno | 0 | undefined {
  const parts = command.exec(xattr);
  if (!parts) return undefined;
  const level = levelOf(value);
  if (!level) return Errno.EOPNOTSUPP;
  const [, pattern] = parts;
  if (pattern === undefined) {
    log.setLevel(level);
    return 0;
  }
  const wanted = globOf(pattern);
  const names = [
    facts.root().name,
    ...(facts
      .graphs()
      .at(-1)
      ?.volfile.volumes.map(({ name }) => name) ?? []),
  ];
  const meant = names.filter((name) => wanted.test(name));
  for (const name of meant) log.setLevel(level, name);
  return meant.length > 0 ? 0 : Errno.EINVAL;
}

function levelOf(value: Uint8Array): LogLevel | undefined {
  const text = Buffer.from(value).toString('latin1').replace(/\0+$/, '').toUpperCase();
  return logLevels.find((level) => level === text);
}

function globOf(pattern: string): RegExp {
  const parts = pattern.split(/([*?])/).map((part) => {
    if (part === '*') return '.*';
    return part === '?' ? '.' : part.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  });
  return new RegExp(`^${parts.join('')}$`, 's');
}
