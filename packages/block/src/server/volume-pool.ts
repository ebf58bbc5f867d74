/** Volumes that devices are on: one graph for all devices of a volume, as long as any of them is open. */
import { DeviceError } from '../device/host-file.ts';
import type { VolumeGraph } from '../volume/graph.ts';
import { connectGraph, type VolumePlace, type VolumePorts } from '../volume/volume-graph.ts';

type Connected = Awaited<ReturnType<typeof connectGraph>>;
interface Shared {
  readonly connected: Promise<Connected>;
  users: number;
}

export class VolumePool {
  readonly #ports: VolumePorts;
  readonly #volumes = new Map<string, Shared>();

  constructor(ports: VolumePorts) {
    this.#ports = ports;
  }

  /** Throws DeviceError. */
  async open({ volume, servers }: VolumePlace): Promise<{ graph: VolumeGraph; release: () => Promise<void> }> {
    const key = JSON.stringify([volume, servers]);
    const shared = this.#volumes.get(key) ?? { connected: connectGraph({ volume, servers }, this.#ports), users: 0 };
    this.#volumes.set(key, shared);
    shared.users++;
    const leave = () => {
      if (--shared.users === 0 && this.#volumes.get(key) === shared) this.#volumes.delete(key);
      return shared.users === 0;
    };
    try {
      const { graph, close } = await shared.connected;
      const release = async () => {
        if (leave()) await close();
      };
      return { graph, release };
    } catch (error) {
      leave();
      throw new DeviceError(`volume ${volume}: ${(error as Error).message}`, 'EVOLUME', { cause: error });
    }
  }
}
