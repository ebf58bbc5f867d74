/**
 * Agreement's state in the database of the documents: one batch has both, so that version and documents never part. Beside
 * each document stands the version that changed it last; one without a document is a tombstone.
 */
import { type Change, globalsSchema } from '../store/documents.ts';
import type { Store } from '../store/store.ts';
import { memberStateSchema } from './schemas.ts';
import { newMemberState, type PoolBatch, type PoolStorage, type StoredDocument } from './storage.ts';

const stateKey = 'state';
const stampPrefix = 'stamp/';

export function storeStorage(store: Store): PoolStorage {
  return {
    async load() {
      await store.reload();
      const state = store.agreement.get(stateKey);
      return {
        state: state === undefined ? newMemberState : memberStateSchema.parse(state),
        documents: storedDocuments(store),
      };
    },
    async save(batch) {
      const stamps = new Map<string, unknown>([[stateKey, batch.state]]);
      if (batch.isWhole) for (const key of store.agreement.keys()) if (key !== stateKey) stamps.set(key, null);
      for (const { key, version } of batch.documents) stamps.set(`${stampPrefix}${key}`, version);
      await store.commit(changeOf(store, batch), stamps);
    },
  };
}

/** Documents that no version made yet have version 0. */
function storedDocuments({ state, agreement }: Store): StoredDocument[] {
  const found = new Map<string, StoredDocument>();
  for (const [key, version] of agreement)
    if (key.startsWith(stampPrefix)) {
      const own = key.slice(stampPrefix.length);
      found.set(own, { key: own, value: null, version: Number(version) });
    }
  const put = (key: string, value: unknown) => found.set(key, { key, value, version: found.get(key)?.version ?? 0 });
  put('globals', state.globals);
  for (const [name, volume] of state.volumes) put(`volume/${name}`, volume);
  // Peers of an adopted GlusterFS pool are no members of any pool of ours.
  const isMember = agreement.has(stateKey) && state.peers.has(state.node.uuid);
  if (isMember) for (const [uuid, peer] of state.peers) put(`peer/${uuid}`, peer);
  return [...found.values()];
}

function changeOf({ state }: Store, { documents, isWhole }: PoolBatch): Change {
  const volumes = new Map();
  const peers = new Map();
  let globals: Change['globals'];
  if (isWhole) {
    for (const name of state.volumes.keys()) volumes.set(name, null);
    for (const uuid of state.peers.keys()) peers.set(uuid, null);
    if (Object.keys(state.globals.options).length > 0 || state.globals.opVersion !== undefined)
      globals = { version: state.globals.version + 1, options: {} };
  }
  for (const { key, value } of documents) {
    const name = key.slice(key.indexOf('/') + 1);
    if (key === 'globals') globals = globalsSchema.parse(value);
    else if (key.startsWith('volume/')) volumes.set(name, value);
    else peers.set(name, value);
  }
  return { ...(globals && { globals }), volumes, peers };
}
