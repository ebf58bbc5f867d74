/** Bricks, hosts and volume names as a person types them. */
import { UsageError } from '../session.ts';

const volumeNameMax = 256;
const reservedNames = [
  'volume',
  'type',
  'help',
  'subvolumes',
  'option',
  'end-volume',
  'all',
  'volume_not_in_ring',
  'description',
  'force',
  'snap-max-hard-limit',
  'snap-max-soft-limit',
  'auto-delete',
  'activate-on-create',
];

export function checkVolumeName(name: string): void {
  if (name.startsWith('-')) throw new UsageError();
  if (reservedNames.includes(name)) throw new UsageError([`"${name}" cannot be the name of a volume.`]);
  if (name.includes('/')) throw new UsageError();
  if (name.length > volumeNameMax) throw new UsageError([`Volume name exceeds ${volumeNameMax} characters.`]);
  const wrong = /[^A-Za-z0-9_-]/.exec(name)?.[0];
  if (wrong !== undefined)
    throw new UsageError([
      `Volume name should not contain "${wrong}" character.`,
      "Volume names can onlycontain alphanumeric, '-' and '_' characters.",
    ]);
}

/** Without double and trailing slashes. */
export function canonicalPath(path: string): string {
  return path.replace(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '');
}

/** `HOST:/path` with a canonical path; refuses names of the own host that mean nothing to others. */
export function parseBrick(word: string): string {
  const colon = word.lastIndexOf(':');
  if (colon <= 0 || word[colon + 1] !== '/')
    throw new UsageError([`Wrong brick type: ${word}, use <HOSTNAME>:<export-dir-abs-path>`]);
  const host = word.slice(0, colon);
  if (host === 'localhost' || host === '127.0.0.1' || /^0\.\d+\.\d+\.\d+$/.test(host))
    throw new UsageError([
      'Please provide a valid hostname/ip other than localhost, 127.0.0.1 or loopback address (0.0.0.0 to 0.255.255.255).',
    ]);
  return `${host}:${canonicalPath(word.slice(colon + 1))}`;
}

export function parseBricks(words: readonly string[]): string[] {
  const bricks: string[] = [];
  for (const word of words) {
    const brick = parseBrick(word);
    if (bricks.includes(brick)) throw new UsageError([`Found duplicate exports ${brick}`]);
    bricks.push(brick);
  }
  if (bricks.length === 0) throw new UsageError(['No bricks specified']);
  return bricks;
}

export function isHostName(host: string): boolean {
  if (host.length < 1 || host.length > 255) return false;
  if (/^[0-9A-Fa-f:]+(%\w+)?$/.test(host) && host.includes(':')) return true;
  return host.split('.').every((label) => /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/.test(label));
}

/** A decimal number, or undefined. */
export function wholeNumber(word: string | undefined): number | undefined {
  return word !== undefined && /^[+-]?\d{1,9}$/.test(word) ? Number(word) : undefined;
}
