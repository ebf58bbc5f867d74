/** How failures are told; every family of commands has its own prefix. */
import type { CommandError } from '@mortar/glusterd/protocol/replies.ts';
import { errorLine } from './io.ts';
import type { Session } from './session.ts';
import { type Element, element, outcome, printDocument } from './xml.ts';

/** The failure on standard error, or as XML. With XML the exit status is 0: the document tells. */
export function fail(session: Session, prefix: string, error: CommandError, more: Element[] = []): number {
  if (session.flags.xml) {
    printDocument(session, [...outcome(-1, error.errno, error.text), ...more]);
    return 0;
  }
  errorLine(session.io, prefix + error.text);
  return error.exit ?? 1;
}

/** `<cliOp>` and `<output>`, which some commands add. */
export function operation(name: string, output: string): Element[] {
  return [element('cliOp', name), element('output', output)];
}

export function succeedXml(session: Session, children: Element[]): number {
  printDocument(session, [...outcome(0), ...children]);
  return 0;
}
