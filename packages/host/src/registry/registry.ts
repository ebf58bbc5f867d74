/** Which translators there are, and the loading of those that a volfile names: a process pays only for what it runs. */
import { type Registry, unknownType, type Volfile, type XlatorType } from '@mortar/core';
import { xlatorLoaders } from './loaders.ts';
import type { XlatorLoader } from './types.ts';

export class LazyRegistry {
  readonly #loaders: Readonly<Record<string, XlatorLoader>>;
  readonly #loaded = new Map<string, XlatorType>();

  constructor(loaders: Readonly<Record<string, XlatorLoader>> = xlatorLoaders) {
    this.#loaders = loaders;
  }

  get types(): readonly string[] {
    return Object.keys(this.#loaders);
  }

  /** Loads what the volfile names. Throws GraphError with the place of a type that does not exist. */
  async loadTypes(volfile: Volfile): Promise<Registry> {
    const missing = volfile.volumes.find((node) => !Object.hasOwn(this.#loaders, node.type));
    if (missing) throw unknownType(missing, this.types);
    const wanted = new Set(volfile.volumes.map((node) => node.type));
    await Promise.all([...wanted].map((type) => this.#load(type)));
    return this.#loaded;
  }

  async #load(type: string): Promise<void> {
    if (!this.#loaded.has(type)) this.#loaded.set(type, (await this.#loaders[type]!()) as unknown as XlatorType);
  }
}
