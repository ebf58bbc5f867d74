/** Programs that use a volume again and again, each time in a directory of their own that is gone afterwards. */
import { type Cluster, hasProgram } from './cluster.ts';

export interface BusyProgram {
  readonly name: string;
  readonly needs: string;
  /** What is in place before the first run. */
  prepare?(cluster: Cluster): Promise<unknown>;
  /** In the directory `at`, which is there and empty; fails with what it found. */
  script(cluster: Cluster, at: string): string;
}

const fio =
  'fio --name=verify --nrfiles=6 --filesize=512k --bs=16k --rw=randwrite --verify=crc32c --verify_fatal=1 --do_verify=1 ' +
  '--verify_state_save=0 --ioengine=psync --fallocate=none --openfiles=3 --thinktime=2000 --minimal';

const programs: readonly BusyProgram[] = [
  {
    /** Trees come, are as they were packed, and go. */
    name: 'tree',
    needs: 'tar',
    prepare: (cluster) => {
      const from = cluster.at('tree');
      return cluster.sh(`rm -rf ${from}; mkdir -p ${from}/d{0..3}/e{0..1}
        for i in {0..79}; do head -c $((i * 97)) /dev/urandom > ${from}/d$((i % 4))/e$((i / 4 % 2))/f$i; done
        ln -s f0 ${from}/d0/e0/link; ln ${from}/d1/e0/f1 ${from}/d1/again
        tar cf ${from}.tar -C ${from} .`);
    },
    script: (cluster, at) => `tar xf ${cluster.at('tree')}.tar -C ${at}; diff -r ${cluster.at('tree')} ${at}`,
  },
  { name: 'fio', needs: 'fio', script: (_, at) => `${fio} --directory=${at} >/dev/null` },
  { name: 'dbench', needs: 'dbench', script: (_, at) => `dbench -t 2 -D ${at} 2` },
];

/** Those that this machine has. */
export const busyPrograms = (): BusyProgram[] => programs.filter(({ needs }) => hasProgram(needs));
