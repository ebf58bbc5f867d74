/** Arguments with other xdata. */
import type { Xdata } from './fields.ts';

/**
 * The arguments with more in their xdata. Not by a spread with a new property behind it: V8 takes most of a
 * microsecond for each of those, and this is done for each request several times.
 */
export function withXdata<A extends { xdata?: Xdata }>(args: A, more: Xdata): A {
  const xdata = args.xdata ? Object.assign({}, args.xdata, more) : more;
  return Object.assign({ xdata }, args, { xdata });
}
