import { buildGraph, InodeTable, startGraph, stopGraph, type VolumeNode, type XlatorType } from '@mortar/core';
import { fopConformance } from '@mortar/testing/conformance/index.ts';
import { describe } from 'vitest';
import { rigServices } from '../../lib/translator-rig.ts';
import { xlator as memory } from '../../storage/memory/index.ts';
import { xlator as ioCache } from '../io-cache/index.ts';
import { xlator as mdCache } from './index.ts';

const types = [memory, ioCache, mdCache] as XlatorType[];

function node(name: string, type: string, subvolumes: string[]): VolumeNode {
  return { name, type, subvolumes, options: new Map(), at: { file: 'test.vol', line: 1, column: 1 } };
}

describe('md-cache over two io-caches', () => {
  fopConformance(async () => {
    const services = { ...rigServices(), inodes: new InodeTable(1024) };
    const volumes = [
      node('brick', 'storage/memory', []),
      node('lower', 'performance/io-cache', ['brick']),
      node('upper', 'performance/io-cache', ['lower']),
      node('md', 'performance/md-cache', ['upper']),
    ];
    const graph = buildGraph({ volumes }, new Map(types.map((type) => [type.type, type])), services);
    await startGraph(graph);
    return { ops: graph.top.ops, services, close: () => stopGraph(graph) };
  });
});
