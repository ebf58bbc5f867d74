/** Log levels by GlusterFS's numbers, as `logging/loglevel` reads and takes them. */
import { type LogLevel, logLevels } from '@mortar/core';

const numbers: Readonly<Record<LogLevel, number>> = {
  NONE: 0,
  CRITICAL: 3,
  ERROR: 4,
  WARNING: 5,
  INFO: 7,
  DEBUG: 8,
  TRACE: 9,
};

export function levelNumber(level: LogLevel): number {
  return numbers[level];
}

/**
 * A number 0 to 9 or a name in any case; undefined if it is neither. Levels that there are none of here (1 emergency,
 * 2 alert, 6 notice) mean the next quieter one that there is, 1 and 2 the quietest that still speaks.
 */
export function levelOf(text: string): LogLevel | undefined {
  const word = text.trim().toUpperCase();
  const named = logLevels.find((level) => level === word);
  if (named) return named;
  if (!/^\d$/.test(word)) return undefined;
  const number = Number(word);
  if (number === 0) return 'NONE';
  return logLevels.findLast((level) => level !== 'NONE' && numbers[level] <= number) ?? 'CRITICAL';
}
