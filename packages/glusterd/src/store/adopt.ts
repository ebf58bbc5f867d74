/** Reads a store that GlusterFS (or an earlier run) left as text files, once, into documents. */
import type { Files } from '../ports.ts';
import type { VolumeInfo } from '../volume.ts';
import {
  type GlobalsDocument,
  maxOpVersion,
  nodeSchema,
  type PeerDocument,
  peerSchema,
  type State,
} from './documents.ts';
import { numberIn, parseLines } from './lines.ts';
import { parseVolume, StoreFormatError } from './volume-files.ts';

/** What peers' files are called: by their uuids. */
const peerFile = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The state in the files, or null if there is no `glusterd.info`. */
export async function adoptFiles(files: Files, work: string): Promise<State | null> {
  const info = await files.read(`${work}/glusterd.info`);
  if (info === null) return null;
  const lines = new Map(parseLines(info));
  const opVersion = numberIn(lines, 'operating-version', maxOpVersion);
  if (opVersion > maxOpVersion)
    throw new StoreFormatError(
      `glusterd.info: the pool runs at op-version ${opVersion}; this build knows up to ${maxOpVersion}`,
    );
  const node = nodeSchema.safeParse({ uuid: lines.get('UUID')?.toLowerCase(), opVersion });
  if (!node.success) throw new StoreFormatError(`glusterd.info: ${node.error.issues[0]!.message}`);
  return {
    node: node.data,
    globals: await adoptGlobals(files, work),
    volumes: await adoptVolumes(files, work),
    peers: await adoptPeers(files, work),
  };
}

async function adoptGlobals(files: Files, work: string): Promise<GlobalsDocument> {
  const lines = parseLines((await files.read(`${work}/options`)) ?? '');
  const version = numberIn(new Map(lines), 'global-option-version');
  return { version, options: Object.fromEntries(lines.filter(([key]) => key !== 'global-option-version')) };
}

async function adoptVolumes(files: Files, work: string): Promise<Map<string, VolumeInfo>> {
  const volumes = new Map<string, VolumeInfo>();
  for (const name of await files.list(`${work}/vols`)) {
    const folder = `${work}/vols/${name}`;
    if (!(await files.isDirectory(folder))) continue;
    const texts = new Map<string, string | null>([['info', await files.read(`${folder}/info`)]]);
    // A creation that failed half way leaves a folder without `info`; it was never a volume.
    if (texts.get('info') === null) continue;
    for (const brick of await files.list(`${folder}/bricks`))
      texts.set(`bricks/${brick}`, await files.read(`${folder}/bricks/${brick}`));
    volumes.set(
      name,
      parseVolume(name, (file) => texts.get(file) ?? null),
    );
  }
  return volumes;
}

async function adoptPeers(files: Files, work: string): Promise<Map<string, PeerDocument>> {
  const peers = new Map<string, PeerDocument>();
  for (const name of await files.list(`${work}/peers`)) {
    // A temporary file that a crash has left, an editor's copy: what is no peer's file is passed over, as GlusterFS does.
    if (!peerFile.test(name)) continue;
    const text = await files.read(`${work}/peers/${name}`);
    if (text === null) continue;
    const lines = parseLines(text);
    const map = new Map(lines);
    const hostnames = lines.filter(([key]) => /^hostname\d+$/.test(key)).map(([, value]) => value);
    const peer = peerSchema.safeParse({ uuid: map.get('uuid'), state: numberIn(map, 'state'), hostnames });
    if (!peer.success) throw new StoreFormatError(`peers/${name}: ${peer.error.issues[0]!.message}`);
    peers.set(peer.data.uuid, peer.data);
  }
  return peers;
}
