/** What every stack of translators must do, whatever it is made of: POSIX, as fops have it. */
import { afterEach, beforeEach, describe } from 'vitest';
import { dataSuite } from './data.ts';
import { linkSuite } from './links.ts';
import { listingSuite } from './listing.ts';
import { nameSuite } from './names.ts';
import { type MakeStack, Session, type Stack } from './session.ts';
import { xattrSuite } from './xattrs.ts';

export type { MakeStack, Stack } from './session.ts';

/** Runs the suite over stacks that `make` makes, an empty one for each test. */
export function fopConformance(make: MakeStack): void {
  describe('POSIX', () => {
    let stack: Stack;
    let session: Session;
    beforeEach(async () => {
      stack = await make();
      session = new Session(stack);
    });
    afterEach(() => stack.close());
    const current = () => session;
    nameSuite(current);
    linkSuite(current);
    dataSuite(current);
    xattrSuite(current);
    listingSuite(current);
  });
}
