/** Whether enough replicas take part. Pure. */

export type QuorumType = 'none' | 'auto' | 'fixed';

export interface QuorumRule {
  readonly type: QuorumType;
  /** For `fixed`. */
  readonly count: number;
}

/** The rule in force: without an explicit type, three and more replicas have `auto`, two have none (as GlusterFS). */
export function quorumRule(type: QuorumType | undefined, count: number, children: number): QuorumRule {
  const effective = type ?? (children > 2 ? 'auto' : 'none');
  return { type: effective, count: effective === 'fixed' ? Math.min(Math.max(count, 1), children) : 0 };
}

/** Whether `present` (by child) is a quorum. In an even set exactly half suffices if the first child is among them. */
export function hasQuorum(rule: QuorumRule, present: readonly boolean[]): boolean {
  const up = present.filter(Boolean).length;
  switch (rule.type) {
    case 'none':
      return up > 0;
    case 'fixed':
      return up >= rule.count;
    case 'auto': {
      const half = present.length / 2;
      return up > half || (up === half && present[0] === true);
    }
  }
}

/** How many make a quorum at the least; used where a count decides (judging accusations). */
export function quorumCount(rule: QuorumRule, children: number): number {
  switch (rule.type) {
    case 'none':
      return 0;
    case 'fixed':
      return rule.count;
    case 'auto':
      return Math.floor(children / 2) + 1;
  }
}
