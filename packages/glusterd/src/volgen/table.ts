/** The options of `volume set`, in GlusterFS's order. A key may have several entries, one a translator. */
import table from './volume-options.json' with { type: 'json' };

export type OptionType =
  | 'BOOL'
  | 'INT'
  | 'STR'
  | 'SIZET'
  | 'TIME'
  | 'PERCENT'
  | 'PERCENT_OR_SIZET'
  | 'PATH'
  | 'XLATOR'
  | 'PRIORITY_LIST'
  | 'INTERNET_ADDRESS_LIST';

export interface VolumeOption {
  /** As in `volume set`. */
  readonly key: string;
  /** Type of the translator that it is for. */
  readonly xlator: string;
  /** The translator's option. A name with `!` never reaches a volfile as it is: code decides what the option does. */
  readonly option: string;
  /** Given to the translator when the volume has no value. */
  readonly value?: string;
  /** The translator's own default. */
  readonly default?: string;
  /** The default that `volume set help` shows. */
  readonly help?: string;
  readonly type?: OptionType;
  readonly min?: number;
  readonly max?: number;
  readonly allowed?: readonly string[];
  /** `GLOBAL_*`: for `volume set all`, or for the whole node. `NO_DOC`: not in `volume set help`. */
  readonly doc: 'DOC' | 'NO_DOC' | 'GLOBAL_DOC' | 'GLOBAL_NO_DOC';
  readonly flags: readonly OptionFlag[];
  readonly opVersion: number;
}

/**
 * CLIENT_OPT counts for the volume's client op-version, XLATOR_OPT loads or unloads a translator, FORCE is only reset
 * with force, NEVER_RESET never.
 */
export type OptionFlag = 'CLIENT_OPT' | 'XLATOR_OPT' | 'FORCE' | 'NEVER_RESET';

export const volumeOptions = table.options as readonly VolumeOption[];

const byKey = new Map<string, VolumeOption[]>();
for (const entry of volumeOptions) byKey.set(entry.key, [...(byKey.get(entry.key) ?? []), entry]);

/** The entries of a full key; empty if there is no such option. */
export function entriesOf(key: string): readonly VolumeOption[] {
  return byKey.get(key) ?? [];
}

export function optionKeys(): Iterable<string> {
  return byKey.keys();
}
