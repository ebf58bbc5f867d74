/**
 * The memory of this process in the words of mallinfo(3), which `volume status V mem` shows: the arena is what the
 * process has, blocks are in use or free. What a garbage-collected process has no counterpart for is 0.
 */
export function memoryNumbers(): Record<string, number> {
  const { rss, heapTotal, heapUsed, external } = process.memoryUsage();
  return {
    arena: rss,
    ordblks: 0,
    smblks: 0,
    hblks: 0,
    hblkhd: external,
    usmblks: 0,
    fsmblks: 0,
    uordblks: heapUsed,
    fordblks: Math.max(0, heapTotal - heapUsed),
    keepcost: 0,
  };
}
