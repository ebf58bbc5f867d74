/** Writes a volfile in the layout of glusterd, quoted so that GlusterFS and `parseVolfile` read the same graph. */
import { VolfileError } from './error.ts';
import { keywordOf } from './lexer.ts';
import type { Volfile, VolumeNode } from './types.ts';

/** Throws VolfileError for what no volfile can say: a newline or a NUL in a name or value, an empty name. */
export function printVolfile(volfile: Volfile): string {
  return volfile.volumes.map(printVolume).join('\n');
}

function printVolume(node: VolumeNode): string {
  const lines = [`volume ${name(node, node.name)}`, `    type ${name(node, node.type)}`];
  for (const [key, value] of node.options) lines.push(`    option ${name(node, key)} ${word(node, value)}`);
  if (node.subvolumes.length > 0)
    lines.push(`    subvolumes ${node.subvolumes.map((sub) => name(node, sub)).join(' ')}`);
  // The grammar wants at least one line; an option with an empty value is one that every reader ignores.
  if (lines.length === 2) lines.push('    option none ""');
  lines.push('end-volume', '');
  return lines.join('\n');
}

function name(node: VolumeNode, text: string): string {
  if (text === '')
    throw new VolfileError('EVOLFILE_UNPRINTABLE', node.at, `a name in volume '${node.name}' is empty`, 'a name');
  return word(node, text);
}

function word(node: VolumeNode, text: string): string {
  if (/[\n\0]/.test(text))
    throw new VolfileError(
      'EVOLFILE_UNPRINTABLE',
      node.at,
      `${JSON.stringify(text)} in volume '${node.name}' has a newline or a NUL, which a volfile cannot hold`,
      'text without newlines',
    );
  const plain = /^[^# \t\r"\\`][^ \t\r"\\`]*$/.test(text) && keywordOf(text) === undefined;
  return plain ? text : `"${text.replace(/["\\`]/g, '\\$&')}"`;
}
