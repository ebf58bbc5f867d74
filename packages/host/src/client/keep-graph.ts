import { transportPortName } from '@mortar/rpc';
import { GraphKeeper, type KeeperOptions } from '../graph/keeper.ts';
import type { SocketTransportPort } from '../transport/port.ts';

/** A graph whose clients and servers reach each other through `network`. The caller starts it. */
export function keepGraphOn(network: SocketTransportPort, options: KeeperOptions): GraphKeeper {
  const { prepare } = options;
  options.services.addPort(transportPortName, network);
  return new GraphKeeper({
    ...options,
    prepare: async (volfile) => {
      await network.learn(volfile);
      return prepare ? prepare(volfile) : volfile;
    },
  });
}
