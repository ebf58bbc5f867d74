/** Puts the tree over the operations of a graph. What is not about `.meta` goes straight on. */
import {
  type Args,
  Errno,
  type Fd,
  type Fop,
  type FopName,
  type Fops,
  fail,
  fopNames,
  fops,
  type Loc,
  rootGfid,
  runSteps,
  type Subvolume,
} from '@mortar/core';
import { type MetaFops, metaFops } from './fops.ts';
import { type MetaVolume, metaName } from './volume.ts';

/** Names of the arguments that say which file an operation is about. */
type Places = readonly { readonly key: string; readonly kind: 'loc' | 'fd' }[];

const placesOf: ReadonlyMap<string, Places> = new Map(
  fopNames.map((name) => [
    name,
    Object.entries(fops[name].args)
      .filter(([, field]) => field.kind === 'loc' || field.kind === 'fd')
      .map(([key, field]) => ({ key, kind: field.kind as 'loc' | 'fd' })),
  ]),
);

type Bag = Record<string, unknown>;

/** `volume` may be shared by the graphs of a mount: files of it that are open go on when the graph is switched. */
export class MetaOverlay {
  readonly #volume: MetaVolume;
  readonly #own: MetaFops;

  constructor(volume: MetaVolume) {
    this.#volume = volume;
    this.#own = metaFops(volume);
  }

  over(below: Subvolume): Subvolume {
    const bound: Record<string, unknown> = { xlator: below.xlator };
    const self = bound as unknown as Subvolume;
    const bindOne = <N extends FopName>(name: N) => this.fop<N>(name, below[name] as Fops[N], () => self);
    for (const name of fopNames) bound[name] = bindOne(name);
    return self;
  }

  /** `self`: the operations of which this is one, for the steps of a compound. */
  fop<N extends FopName>(name: N, next: Fops[N], self: () => Fops): Fops[N] {
    if (name === 'compound') return this.#compound(next as unknown as Fops['compound'], self) as unknown as Fops[N];
    const concerns = this.#question(placesOf.get(name)!);
    if (!concerns) return next;
    const run = next as Fop<FopName>;
    const own = (this.#own[name] ?? refuse) as Fop<FopName>;
    const chosen: Fop<FopName> = (call, args) => (concerns(args as object as Bag) ? own(call, args) : run(call, args));
    return (name === 'setxattr' ? this.#commanding(chosen as Fop<'setxattr'>) : chosen) as unknown as Fops[N];
  }

  /** Xattrs that are set to tell the process something: no file gets them. */
  #commanding(next: Fop<'setxattr'>): Fop<'setxattr'> {
    return async (call, args) => {
      for (const [name, value] of Object.entries(args.xattrs)) {
        if (!name.startsWith('trusted.') || call.internal) continue;
        const done = call.uid === 0 ? this.#volume.command(name, value) : undefined;
        if (done !== undefined) return done === 0 ? { ok: true } : fail(done);
      }
      return next(call, args);
    };
  }

  /** Whether arguments are about the tree; the usual fop names one file, and has no loop for it. */
  #question(places: Places): ((args: Bag) => boolean) | undefined {
    const [first] = places;
    if (!first) return undefined;
    const { key, kind } = first;
    if (places.length > 1) return (args) => this.#concerns(places, args);
    if (kind === 'fd') return (args) => this.#volume.knows((args[key] as Fd).gfid);
    return (args) => this.#isOurs(args[key] as Loc);
  }

  #compound(next: Fops['compound'], self: () => Fops): Fops['compound'] {
    return (call, args: Args<'compound'>) => {
      const ours = args.steps.some((step) => this.#concerns(placesOf.get(step.fop) ?? [], step.args as Bag));
      return ours ? runSteps(self(), call, args.steps) : next(call, args);
    };
  }

  #concerns(places: Places, args: Bag): boolean {
    return places.some(({ key, kind }) => {
      const value = args[key];
      return kind === 'fd' ? this.#volume.knows((value as Fd).gfid) : this.#isOurs(value as Loc);
    });
  }

  #isOurs({ gfid, parent, name }: Loc): boolean {
    if (parent !== null) {
      if (parent === rootGfid) return name === metaName;
      if (this.#volume.knows(parent)) return true;
    }
    return gfid !== null && this.#volume.knows(gfid);
  }
}

const refusal = fail(Errno.EPERM);
const refuse = async () => refusal;
