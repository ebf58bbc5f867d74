import { readdirSync, readFileSync } from 'node:fs';
import { parseVolfile, printVolfile, type Volfile } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import type { VolumeInfo } from '../volume.ts';
import { volumeFromStore } from './golden.ts';
import {
  allTranslators,
  bitRotVolfile,
  brickClientVolfile,
  brickVolfile,
  clientVolfile,
  existingTranslators,
  healDaemonVolfile,
  quotaDaemonVolfile,
  rebalanceVolfile,
  snapshotDaemonVolfile,
  type VolgenContext,
  VolgenError,
} from './index.ts';

const fixtures = new URL('../../../../test/fixtures/', import.meta.url);
const stores = JSON.parse(readFileSync(new URL('vectors/glusterd-store.json', fixtures), 'utf8')).stores as Record<
  string,
  Record<string, string>
>;
const files = readdirSync(new URL('volfiles/', fixtures)).filter((file) => file.endsWith('.vol'));

/** The fixtures' quota daemon was restarted for another volume: it has the credentials of that one. */
const quotaCredentials = {
  username: '552efd44-d26f-4ebb-b89d-4553f0fc3c50',
  password: '96de64c8-8eae-47d2-a4bc-34a14eca0290',
};

function generate(volume: VolumeInfo, file: string, context: VolgenContext): Volfile {
  const brick = volume.bricks.find((each) =>
    file.endsWith(`${each.host}.${each.path.slice(1).replaceAll('/', '-')}.vol`),
  );
  if (file.startsWith(`${volume.name}.client.`)) return brickClientVolfile(volume, brick!, context);
  if (brick) return brickVolfile(volume, brick, context);
  const trusted = file.startsWith('trusted-');
  switch (file.replace('trusted-', '').replace('vol1', 'V')) {
    case 'V.tcp-fuse.vol':
      return clientVolfile(volume, { ...context, trusted });
    case 'V.tcp-gfproxy-fuse.vol':
      return clientVolfile(volume, { ...context, trusted, gfproxy: 'client' });
    case 'V.gfproxyd.vol':
      return clientVolfile(volume, { ...context, trusted: true, gfproxy: 'server' });
    case 'V-shd.vol':
      return healDaemonVolfile([volume], context);
    case 'V-rebalance.vol':
      return rebalanceVolfile(volume, context);
    case 'V-snapd.vol':
      return snapshotDaemonVolfile(volume, context);
    case 'bitd-server.vol':
      return bitRotVolfile('bitd', [volume], context);
    case 'scrub-server.vol':
      return bitRotVolfile('scrub', [volume], context);
    case 'quotad-server.vol':
      return quotaDaemonVolfile([{ ...volume, ...quotaCredentials }], context);
    default:
      throw new Error(`no generator for ${file}`);
  }
}

/** The golden text without volumes of missing types, line by line; written apart from the generator's own way. */
function prune(text: string, keep: ReadonlySet<string>): string | undefined {
  let blocks = text.trimEnd().split('\n\n');
  const nameOf = (block: string) => /^volume (\S+)/.exec(block)![1]!;
  for (;;) {
    const missing = blocks.find((block) => !keep.has(/\n {4}type (\S+)/.exec(block)![1]!));
    if (missing === undefined) break;
    const below = /\n {4}subvolumes (\S+)/.exec(missing)?.[1];
    if (below === undefined) return undefined;
    const name = nameOf(missing);
    blocks = blocks
      .filter((block) => block !== missing)
      .map((block) =>
        block.replace(/\n {4}subvolumes (.*)/, (line, names: string) =>
          names.split(' ').includes(name)
            ? `\n    subvolumes ${names
                .split(' ')
                .map((each) => (each === name ? below : each))
                .join(' ')}`
            : line,
        ),
      );
  }
  return `${blocks.join('\n\n')}\n`;
}

describe('the generator makes the volfiles of glusterd', () => {
  for (const file of files) {
    const [name, volfile] = file.split('--') as [string, string];
    const store = stores[name];
    if (!store && name !== 'thin-arbiter') throw new Error(`no store for ${name}`);
    const volume = volumeFromStore(name, store);
    const golden = readFileSync(new URL(`volfiles/${file}`, fixtures), 'utf8');

    it(`${file} with all translators`, () => {
      expect(printVolfile(generate(volume, volfile, { translators: allTranslators }))).toBe(golden);
    });

    it(`${file} with the translators that exist`, () => {
      const expected = prune(golden, existingTranslators);
      let made: string;
      try {
        made = printVolfile(generate(volume, volfile, {}));
      } catch (error) {
        // Refused because the volume cannot do without what is missing; said in so many words.
        expect(error).toBeInstanceOf(VolgenError);
        expect((error as Error).message).toMatch(/this build has no \S+\/\S+ translator, which /);
        expect(mayBeRefused(name)).toBe(true);
        return;
      }
      expect(mayBeRefused(name)).toBe(false);
      expect(made).toBe(expected);
      expect(() => parseVolfile(made, file)).not.toThrow();
    });
  }
});

/** Cases that need what this build does not have. */
function mayBeRefused(name: string): boolean {
  const cases = [
    'disperse-4+2',
    'dist-disperse-2x2+1',
    'thin-arbiter',
    'sharded-virt',
    'everything-on',
    'quota-bitrot-uss',
  ];
  return cases.includes(name);
}
