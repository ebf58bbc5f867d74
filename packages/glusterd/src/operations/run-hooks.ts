/** Hook scripts around an operation run on every node of the pool that is there, each its own. */
import type { Context } from '../context.ts';
import { onSite } from '../pool/sites.ts';

/** Resolves when all nodes are done; a node that fails or is away has no say in the operation. */
export async function runHooks(
  context: Context,
  event: string,
  when: 'pre' | 'post',
  words: readonly string[],
): Promise<void> {
  const { pool, hooks, log } = context;
  const others = (pool?.others() ?? []).filter(({ uuid }) => pool!.isConnected(uuid));
  const elsewhere = others.map(async ({ uuid }) => {
    try {
      await onSite(context, uuid, 'runHooks', { event, when, words: [...words] });
    } catch (error) {
      log.write(
        'WARNING',
        'management',
        `${event} ${when} hooks of ${pool!.nameOf(uuid)}: ${(error as Error).message}`,
      );
    }
  });
  await Promise.all([hooks.run(event, when, words), ...elsewhere]);
}
