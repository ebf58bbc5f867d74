/** Volfiles: made from the volumes, shown as files, handed out by id, and whoever has one hears when it changes. */
import { printVolfile } from '@mortar/core';
import type { ManagementCaller } from '@mortar/rpc';
import { OperationError } from '../errors.ts';
import {
  brickVolfile,
  clientVolfile,
  type FoundVolfile,
  healDaemonVolfile,
  isHealable,
  rebalanceVolfile,
  type VolfileName,
  VolgenError,
  volfileName,
  volfileOfId,
} from '../volgen/index.ts';
import type { VolumeInfo } from '../volume.ts';

export interface VolfileListener {
  /** Who it is. */
  readonly caller?: ManagementCaller;
  /** Tells the client that the volfile of this id changed. */
  changed(id: string): void;
  /** Tells the client that a brick of this volume was started. */
  brickStarted(volume: string): void;
}

export interface VolgenSettings {
  workdir: string;
  localUuid?: string;
}

export class VolfileService {
  readonly #settings: () => VolgenSettings;
  readonly #volumes: () => readonly VolumeInfo[];
  /** Per listener the volfiles it has: id to text. */
  readonly #watched = new Map<VolfileListener, Map<string, { trusted: boolean; text: string }>>();

  constructor(settings: () => VolgenSettings, volumes: () => readonly VolumeInfo[]) {
    this.#settings = settings;
    this.#volumes = volumes;
  }

  /** The files below `vols/VOLUME`, by name. */
  filesOf(volume: VolumeInfo, localUuid = this.#settings().localUuid): Map<string, string> {
    const names: VolfileName[] = [
      { kind: 'client', volume: volume.name, trusted: false },
      { kind: 'client', volume: volume.name, trusted: true },
      ...volume.bricks.map((brick): VolfileName => ({ kind: 'brick', volume: volume.name, brick })),
    ];
    if (isHealable(volume)) names.push({ kind: 'shd', volume: volume.name });
    if (volume.bricks.length > setBricks(volume)) names.push({ kind: 'rebalance', volume: volume.name });
    const prefix = `vols/${volume.name}/`;
    const context = { ...this.#settings(), ...(localUuid !== undefined && { localUuid }) };
    return new Map(names.map((name) => [volfileName(name).slice(prefix.length), print(name, volume, context)]));
  }

  /** Throws OperationError if the volume's graphs cannot be made by this build. */
  check(volume: VolumeInfo): void {
    try {
      this.filesOf(volume);
    } catch (error) {
      if (error instanceof VolgenError) throw new OperationError(error.message.replace(/^volume [^:]+: /, ''));
      throw error;
    }
  }

  /** The text, or null if no volume of this node has that volfile. */
  text(id: string, trusted: boolean): string | null {
    const found = volfileOfId(plainId(id), this.#volumes(), trusted);
    if (!found) return null;
    return this.#printFound(found);
  }

  /** The file below the working directory that shows what an id gets, or null if there is none. */
  fileOf(id: string, trusted: boolean): string | null {
    const found = volfileOfId(plainId(id), this.#volumes(), trusted);
    return found?.volume ? volfileName(found.name) : null;
  }

  /** Id and version of the volume that a volfile is for. */
  volumeOf(id: string): { volumeId?: string; volumeVersion?: number } {
    const volume = volfileOfId(plainId(id), this.#volumes(), false)?.volume;
    return volume ? { volumeId: volume.id, volumeVersion: volume.version } : {};
  }

  /** Whether an id asks for the graph of a mount, which anyone may have. */
  isClientId(id: string): boolean {
    return volfileOfId(plainId(id), this.#volumes(), false)?.name.kind === 'client';
  }

  /** `text`: what is made for the listener now, whatever somebody made of it. */
  watch(listener: VolfileListener, id: string, trusted: boolean, text: string): void {
    const ids = this.#watched.get(listener) ?? new Map<string, { trusted: boolean; text: string }>();
    this.#watched.set(listener, ids.set(id, { trusted, text }));
  }

  /** Of one id, or of all. */
  unwatch(listener: VolfileListener, id?: string): void {
    if (id === undefined) this.#watched.delete(listener);
    else this.#watched.get(listener)?.delete(id);
  }

  /** After a commit: tells whoever has a volfile that differs now. */
  publish(): void {
    const made = new Map<string, string>();
    for (const [listener, ids] of this.#watched)
      for (const [id, entry] of ids) {
        const text = this.#textNow(id, entry.trusted, made);
        if (text === '' || text === entry.text) continue;
        entry.text = text;
        listener.changed(id);
      }
  }

  /** Tells whoever has a volfile by which the volume's bricks are reached. */
  brickStarted(volume: string): void {
    for (const [listener, ids] of this.#watched)
      if ([...ids.keys()].some((id) => this.#reachesBricksOf(id, volume))) listener.brickStarted(volume);
  }

  /** Who has the volfile of a client of the volume. */
  clientsOf(volume: string): ManagementCaller[] {
    return [...this.#watched].flatMap(([{ caller }, ids]) =>
      caller && [...ids.keys()].some((id) => this.#isClientOf(id, volume)) ? [caller] : [],
    );
  }

  #isClientOf(id: string, volume: string): boolean {
    const found = volfileOfId(plainId(id), this.#volumes(), false);
    return found?.volume?.name === volume && found.name.kind === 'client';
  }

  #reachesBricksOf(id: string, volume: string): boolean {
    const found = volfileOfId(plainId(id), this.#volumes(), false);
    return found?.volume?.name === volume && found.name.kind !== 'brick';
  }

  /** Thousands of clients have the same volfile: it is made once. Empty: there is none, or it cannot be made any more. */
  #textNow(id: string, trusted: boolean, made: Map<string, string>): string {
    const key = `${trusted} ${id}`;
    const known = made.get(key);
    if (known !== undefined) return known;
    let text = '';
    try {
      text = this.text(id, trusted) ?? '';
    } catch (error) {
      if (!(error instanceof VolgenError)) throw error;
    }
    made.set(key, text);
    return text;
  }

  #printFound({ name, volume }: FoundVolfile): string | null {
    return volume ? print(name, volume, this.#settings()) : null;
  }
}

function print(name: VolfileName, volume: VolumeInfo, context: VolgenSettings): string {
  switch (name.kind) {
    case 'client':
      return printVolfile(clientVolfile(volume, { ...context, trusted: name.trusted }));
    case 'brick': {
      const brick = volume.bricks.find(({ host, path }) => host === name.brick.host && path === name.brick.path)!;
      return printVolfile(brickVolfile(volume, brick, context));
    }
    case 'shd':
      return printVolfile(healDaemonVolfile([volume], context));
    case 'rebalance':
      return printVolfile(rebalanceVolfile(volume, context));
    default:
      throw new OperationError(`volfiles of kind ${name.kind} are not available in this build`);
  }
}

/** Mounts may write `/VOLUME`. */
function plainId(id: string): string {
  return id.replace(/^\/+/, '').replace(/\/+$/, '');
}

function setBricks(volume: VolumeInfo): number {
  return volume.type === 'replicate' ? volume.replicaCount : volume.type === 'disperse' ? volume.disperseCount : 1;
}
