import { existingTranslators } from './translators.ts';

/** What the generator knows besides the volume. */
export interface VolgenContext {
  /** Management's directory; `/var/lib/glusterd`. */
  readonly workdir?: string;
  /** This node; bricks of other nodes get a shared-brick-count of 0. Without it every brick counts as local. */
  readonly localUuid?: string;
  /** Types of translators that exist; what is missing is left out. By default those of this build. */
  readonly translators?: ReadonlySet<string>;
}

export const defaultWorkdir = '/var/lib/glusterd';

export function translatorsOf(context: VolgenContext): ReadonlySet<string> {
  return context.translators ?? existingTranslators;
}
