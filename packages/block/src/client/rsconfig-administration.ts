/** The part of rsconfig's command line that has servers make, change and remove devices. Pure. */
import { type OptionSpecs, UsageError } from '@mortar/host/arguments/getopt.ts';
import { size, whole } from '../config/values.ts';
import type { AskedLimits } from '../rsio/administration.ts';

export const administrationVerbs = ['create', 'delete', 'rename', 'limit', 'pause', 'resume', 'pools'] as const;
export type AdministrationVerb = (typeof administrationVerbs)[number];
/** What goes with them only. */
export const administrationOptions = ['at', 'pool', 'clients', 'description', 'keep'] as const;
/** What is on a volume may have to be healed first. */
export const administrationTimeoutMs = 600_000;

export const administrationSpecs = {
  create: { value: 'required' },
  delete: { value: 'none' },
  rename: { value: 'required' },
  limit: { value: 'required' },
  pause: { value: 'none' },
  resume: { value: 'none' },
  pools: { value: 'none' },
  at: { value: 'required' },
  pool: { value: 'required' },
  clients: { value: 'required' },
  description: { value: 'required' },
  keep: { value: 'none' },
} as const satisfies OptionSpecs;

export const administrationUsage = `
At the servers, for clients that are administrators there:
       rsconfig --pools                    where volumes can be made
       rsconfig --create SIZE VOLUME       make one; SIZE existing: offer one that the pool has
                  [--pool POOL] [--clients NAME,..] [--description TEXT]
       rsconfig --delete [--keep] VOLUME   remove one that a client has had made; --keep: its contents stay in the pool
       rsconfig --rename NEW VOLUME        one that nobody has attached
       rsconfig --limit LIMITS VOLUME      KEY=VALUE,.. or none: bytes-per-second, operations-per-second, client-...
       rsconfig --pause VOLUME, --resume VOLUME
  --at SERVER         name or number of the server; usually those that offer the volume
`;

type TextOf = (name: string) => string | null | undefined;

/** Parameters of rsiod's `administer`. Throws UsageError. */
export function administrationParams(
  verb: AdministrationVerb,
  textOf: TextOf,
  has: (name: string) => boolean,
  volume: string | undefined,
): object {
  const allowed: readonly string[] =
    verb === 'create' ? ['at', 'pool', 'clients', 'description'] : verb === 'delete' ? ['at', 'keep'] : ['at'];
  const odd = administrationOptions.find((name) => has(name) && !allowed.includes(name));
  if (odd !== undefined) throw new UsageError(`--${odd} does not go with --${verb}`);
  const at = textOf('at');
  const place = typeof at === 'string' ? { at } : {};
  if (verb === 'pools') {
    if (volume !== undefined) throw new UsageError(`'${volume}' is one word too many`);
    return { asked: { action: verb }, ...place };
  }
  if (volume === undefined) throw new UsageError('a volume is expected');
  const [first, second] = volume.split(':');
  const name = second ?? first!;
  const where = second === undefined ? place : { ...place, namespace: first };
  return { asked: { name, ...askedOf(verb, textOf, has) }, ...where };
}

function askedOf(verb: Exclude<AdministrationVerb, 'pools'>, textOf: TextOf, has: (name: string) => boolean): object {
  switch (verb) {
    case 'create': {
      const text = textOf('create') ?? '';
      const [pool, clients, description] = [textOf('pool'), textOf('clients'), textOf('description')];
      return {
        action: verb,
        ...(text === 'existing' ? {} : { sizeBytes: readValue(text, size(512), text) }),
        ...(typeof pool === 'string' ? { pool } : {}),
        ...(typeof clients === 'string' ? { clients: clients.split(',').filter((one) => one !== '') } : {}),
        ...(typeof description === 'string' ? { description } : {}),
      };
    }
    case 'delete':
      return { action: verb, keep: has('keep') };
    case 'rename':
      return { action: verb, to: textOf('rename') };
    case 'limit':
      return { action: verb, limits: limitsOf(textOf('limit') ?? '') };
    default:
      return { action: verb };
  }
}

const rates = {
  'bytes-per-second': ['bytesPerSecond', size()],
  'operations-per-second': ['operationsPerSecond', whole(1, 1e9)],
  'client-bytes-per-second': ['clientBytesPerSecond', size()],
  'client-operations-per-second': ['clientOperationsPerSecond', whole(1, 1e9)],
} as const;

export function limitsOf(text: string): AskedLimits {
  const limits: AskedLimits = {};
  if (text === 'none') return limits;
  for (const part of text.split(',')) {
    const [key = '', value = '', ...more] = part.split('=');
    const found = Object.hasOwn(rates, key) ? rates[key as keyof typeof rates] : undefined;
    if (!found || more.length > 0)
      throw new UsageError(`'${part}': KEY=VALUE is expected, with one of ${Object.keys(rates).join(', ')}; or none`);
    limits[found[0]] = readValue(value, found[1], part);
  }
  return limits;
}

function readValue(text: string, read: ReturnType<typeof size>, shown: string): number {
  const result = read(text);
  if ('expected' in result) throw new UsageError(`'${shown}': ${result.expected} is expected`);
  return result.value;
}
