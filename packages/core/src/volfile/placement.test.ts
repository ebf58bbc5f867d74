import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseVolfile } from './parse.ts';
import { type PlacedSubvolume, placementDigest, placementOf, withPlacement } from './placement.ts';

interface Shape {
  readonly bricks?: readonly (readonly string[])[];
  readonly leaving?: string;
  /** Lines of every client, and of distribute. */
  readonly client?: string;
  readonly distribute?: string;
  /** Stands above all. */
  readonly above?: boolean;
}

/** Replica sets of bricks `HOST:PATH`, one brick of a set without a replica. */
function volfile({
  bricks = [['h:/a'], ['h:/b']],
  leaving,
  client = '',
  distribute = '',
  above = false,
}: Shape): string {
  const lines: string[] = [];
  const tops = bricks.map((set, i) => {
    const names = set.map((brick, j) => {
      const [host, path] = brick.split(':');
      lines.push(
        `volume client-${i}-${j}\ntype protocol/client\noption remote-host ${host}\noption remote-subvolume ${path}\n${client}end-volume`,
      );
      return `client-${i}-${j}`;
    });
    if (names.length === 1) return names[0]!;
    lines.push(`volume set-${i}\ntype cluster/replicate\nsubvolumes ${names.join(' ')}\nend-volume`);
    return `set-${i}`;
  });
  const leaves = leaving === undefined ? '' : `option decommissioned-bricks ${leaving}\n`;
  lines.push(`volume dht\ntype cluster/distribute\n${leaves}${distribute}subvolumes ${tops.join(' ')}\nend-volume`);
  if (above) lines.push('volume io\ntype performance/io-cache\nsubvolumes dht\nend-volume');
  return `${lines.join('\n')}\n`;
}

const digest = (shape: Shape) => placementOf(parseVolfile(volfile(shape), 'v.vol'));

describe('the digest of where files are', () => {
  it('is the same whatever else is in the graph', () => {
    const plain = digest({});
    expect(plain).toMatch(/^[0-9a-f]{32}$/);
    expect(digest({ above: true })).toBe(plain);
    expect(digest({ client: 'option ping-timeout 7\noption username u\n' })).toBe(plain);
    expect(digest({ distribute: 'option lookup-optimize off\noption rebal-throttle lazy\n' })).toBe(plain);
  });

  it.each<[string, Shape]>([
    ['one more brick', { bricks: [['h:/a'], ['h:/b'], ['h:/c']] }],
    ['another order', { bricks: [['h:/b'], ['h:/a']] }],
    ['another path', { bricks: [['h:/a'], ['h:/c']] }],
    ['another host', { bricks: [['h:/a'], ['i:/b']] }],
    ['one set of both', { bricks: [['h:/a', 'h:/b']] }],
    ['a brick that leaves', { leaving: 'client-1-0' }],
  ])('is another one for %s', (_, shape) => {
    expect(digest(shape)).not.toBe(digest({}));
  });

  it('knows what leaves in whatever order it is written', () => {
    const bricks = [['h:/a'], ['h:/b'], ['h:/c', 'h:/d']];
    expect(digest({ bricks, leaving: 'set-2,client-0-0' })).toBe(digest({ bricks, leaving: '"client-0-0 set-2"' }));
    expect(digest({ bricks, leaving: 'nobody' })).toBe(digest({ bricks }));
  });

  it('is not there for a graph that distributes nothing', () => {
    const client = 'volume c\ntype protocol/client\noption remote-host h\nend-volume\n';
    expect(placementOf(parseVolfile(client, 'v.vol'))).toBeUndefined();
    const parsed = parseVolfile(client, 'v.vol');
    expect(withPlacement(parsed, 3)).toBe(parsed);
  });

  it('is on every client of a brick, with the version if that is known', () => {
    const parsed = parseVolfile(volfile({ bricks: [['h:/a'], ['h:/b', 'h:/c']] }), 'v.vol');
    const told = withPlacement(parsed, 7);
    const clients = told.volumes.filter(({ type }) => type === 'protocol/client');
    expect(clients).toHaveLength(3);
    for (const { options } of clients) {
      expect(options.get('placement')).toBe(placementOf(parsed));
      expect(options.get('placement-version')).toBe('7');
    }
    expect(placementOf(told)).toBe(placementOf(parsed));
    expect(withPlacement(parsed, 0).volumes.some(({ options }) => options.has('placement-version'))).toBe(false);
  });

  it('differs for any two lists of subvolumes that differ', () => {
    const subvolume = fc.record({
      bricks: fc.array(fc.constantFrom('a', 'b', 'a,b', '"', 'true'), { maxLength: 3 }),
      leaves: fc.boolean(),
    });
    const list = fc.array(subvolume, { maxLength: 3 });
    const same = (one: PlacedSubvolume[], other: PlacedSubvolume[]) => JSON.stringify(one) === JSON.stringify(other);
    fc.assert(
      fc.property(list, list, (one, other) => (placementDigest(one) === placementDigest(other)) === same(one, other)),
    );
  });
});
