import type { GraphKeeper } from '../graph/keeper.ts';
import type { HostServices } from '../services.ts';
import { type DumpSection, type DumpValues, graphSections, inodeSection } from './sections.ts';

/** What a dump says of the graph that runs; nothing before it does. `more`: what tells it from the others of the process. */
export function sectionsOf(keeper: GraphKeeper, { inodes }: HostServices, more: DumpValues = {}): DumpSection[] {
  if (!keeper.isStarted) return [];
  const { graph, top } = keeper.current;
  return [
    { name: 'active graph', values: { ...more, id: graph.id, generations: keeper.generations, state: top.state } },
    ...graphSections(graph),
    inodeSection(inodes, 'inode table'),
  ];
}
