/** Volfiles that are kept for long share the volumes that they have in common: from one graph to the next most are the same. */
import type { Volfile, VolumeNode } from '@mortar/core';

/** What is shown of it. */
type Content = [name: string, type: string, options: [string, string][], subvolumes: readonly string[]];

/** Added by the process itself, another one for each version of the volume (core's `withPlacement`). */
const ownOption = 'placement-version';
const nowhere = { file: '', line: 1, column: 1 };

export class SharedVolfiles {
  readonly #nodes = new Map<string, VolumeNode>();

  /** The same volumes, without the places where they stood and the version that they were made of. */
  share({ volumes }: Volfile): Volfile {
    return { volumes: volumes.map((node) => this.#share(node)) };
  }

  #share({ name, type, options, subvolumes }: VolumeNode): VolumeNode {
    const pairs = [...options].filter(([option]) => option !== ownOption);
    const key = JSON.stringify([name, type, pairs, subvolumes] satisfies Content);
    const known = this.#nodes.get(key);
    if (known) return known;
    // Texts of their own: a piece of a string holds all of it.
    const [ownName, ownType, ownPairs, ownSubvolumes] = JSON.parse(key) as Content;
    const node = { name: ownName, type: ownType, options: new Map(ownPairs), subvolumes: ownSubvolumes, at: nowhere };
    this.#nodes.set(key, node);
    return node;
  }

  /** Of others nothing is kept. */
  keepOnly(volfiles: Iterable<Volfile>): void {
    const used = new Set<VolumeNode>();
    for (const { volumes } of volfiles) for (const node of volumes) used.add(node);
    for (const [key, node] of this.#nodes) if (!used.has(node)) this.#nodes.delete(key);
  }

  get size(): number {
    return this.#nodes.size;
  }
}
