/** What rsiod and rsconfig say to each other (docs/block.md). */
export interface QueryReply {
  namespaces: {
    name: string;
    client: string;
    servers: {
      id: number;
      name: string;
      isUp: boolean;
      why: string;
      devices: {
        name: string;
        description: string;
        sizeBytes: number;
        readOnly: boolean;
        users: number;
        isPaused: boolean;
      }[];
    }[];
  }[];
}

export interface StatusReply {
  paths: {
    namespace: string;
    serverId: number;
    server: string;
    index: number;
    name: string;
    state: string;
    underBytes: number;
    rttMs: number;
    why: string;
  }[];
}

export interface LocalReply {
  volumes: {
    namespace: string;
    name: string;
    sizeBytes: number;
    readOnly: boolean;
    isLost: boolean;
    server: number;
    users: number;
    uri: string;
    /** Servers that offer it. */
    servers: number;
    /** The local device; null: the endpoint only. */
    node: { kind: string; target: string; block: string; raw: string } | null;
  }[];
}

export interface AttachReply {
  results: { namespace: string; name: string; error: string | null }[];
}

/** What was done, or not, at which server. */
export interface AdministerReply {
  results: {
    namespace: string;
    server: string;
    /** Of the device; empty: of none. */
    name: string;
    error: string | null;
    pools: { name: string; type: string; devices: number; usedBytes: number; capacityBytes?: number | undefined }[];
  }[];
}
