import type { EffectiveOptions, GraphBuilder } from './builder.ts';

const debugTypes = [
  ['debug.trace', 'debug/trace'],
  ['debug.error-gen', 'debug/error-gen'],
  ['debug.delay-gen', 'debug/delay-gen'],
] as const;

/**
 * Debugging translators above `place`. As with GlusterFS a place named by one of the options gets all that are on.
 * A graph gets each only once, since its name must be unique.
 */
export function addDebug(builder: GraphBuilder, volumeName: string, options: EffectiveOptions, place: string): void {
  if (!debugTypes.some(([key]) => options.explicit(key) === place)) return;
  for (const [key, type] of debugTypes) {
    const value = options.explicit(key) ?? 'off';
    const name = `${volumeName}-${type.split('/')[1]}`;
    if (debugIsOn(value) && !builder.has(name)) builder.add(type, name);
  }
}

/** The value is a place: `client`, or a translator of the brick. */
export function debugIsOn(value: string): boolean {
  return !['off', 'no', 'false', 'disable', '0'].includes(value.toLowerCase());
}
