import type { GraphEvent } from '@mortar/core';

/** After these a cache cannot rely on having been told of what others have changed. */
export function losesUpcalls({ type }: GraphEvent): boolean {
  return type === 'child-down' || type === 'child-up' || type === 'session-lost' || type === 'upcalls-lost';
}
