// Two network namespaces with links between them, each of a rate, as a server and a client with many network cards have; for
// benchmarks and tests. Needs root, ip, tc and nsenter. Namespaces of processes that are gone are taken away first.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';

const prefix = 'mortar-net';
const folder = '/run/netns';

function run(program, ...words) {
  const { status, stderr, error } = spawnSync(program, words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${error?.message ?? stderr.trim()}`);
}

function removeStale() {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const owner = new RegExp(`^${prefix}-(\\d+)-`).exec(name)?.[1];
    if (owner !== undefined && !existsSync(`/proc/${owner}`)) spawnSync('ip', ['netns', 'del', name]);
  }
}

/** Whether this machine lets us make namespaces and links. */
export function canMakeNetworks() {
  const name = `${prefix}-${process.pid}-try`;
  if (process.getuid?.() !== 0 || spawnSync('ip', ['netns', 'add', name]).status !== 0) return false;
  const made = spawnSync('ip', ['-n', name, 'link', 'add', 's0', 'type', 'veth', 'peer', 'name', 'c0']).status === 0;
  const limited =
    made && spawnSync('tc', ['-n', name, 'qdisc', 'add', 'dev', 's0', 'root', ...shape('1gbit')]).status === 0;
  spawnSync('ip', ['netns', 'del', name]);
  return limited;
}

// A bucket holds what the rate gives between two ticks of the kernel's clock, and a segment of 64 KiB.
const shape = (rate) => ['tbf', 'rate', rate, 'burst', '512kb', 'limit', '1mb'];
/** No packet fits into the bucket: all are dropped, and nobody is told. */
const hole = ['tbf', 'rate', '1kbit', 'burst', '10b', 'limit', '100b'];

export class Networks {
  #rate;
  #isEnded = false;
  #end = () => this.end();

  constructor(links, rate = '1gbit') {
    removeStale();
    this.#rate = rate;
    this.links = links;
    this.server = `${prefix}-${process.pid}-s`;
    this.client = `${prefix}-${process.pid}-c`;
    process.once('exit', this.#end);
    try {
      for (const name of [this.server, this.client]) {
        run('ip', 'netns', 'add', name);
        run('ip', '-n', name, 'link', 'set', 'lo', 'up');
      }
      for (let link = 0; link < links; link++) this.#make(link);
    } catch (error) {
      this.end();
      throw error;
    }
  }

  serverAddress(link) {
    return `10.99.${link}.1`;
  }

  clientAddress(link) {
    return `10.99.${link}.2`;
  }

  #make(link) {
    const [near, far] = [`s${link}`, `c${link}`];
    run('ip', 'link', 'add', near, 'netns', this.server, 'type', 'veth', 'peer', 'name', far, 'netns', this.client);
    for (const [space, device, address] of [
      [this.server, near, this.serverAddress(link)],
      [this.client, far, this.clientAddress(link)],
    ]) {
      run('ip', '-n', space, 'addr', 'add', `${address}/24`, 'brd', '+', 'dev', device);
      run('ip', '-n', space, 'link', 'set', device, 'up');
    }
    this.speak(link);
  }

  #both(link, words) {
    for (const [space, device] of [
      [this.server, `s${link}`],
      [this.client, `c${link}`],
    ])
      run('tc', '-n', space, 'qdisc', 'replace', 'dev', device, 'root', ...words);
  }

  /** Both ends see that the link is gone. */
  cut(link) {
    run('ip', '-n', this.server, 'link', 'set', `s${link}`, 'down');
  }

  mend(link) {
    run('ip', '-n', this.server, 'link', 'set', `s${link}`, 'up');
  }

  /** Nothing arrives any more, in either direction, and nobody is told. */
  silence(link) {
    this.#both(link, hole);
  }

  speak(link) {
    this.#both(link, shape(this.#rate));
  }

  /** A command, with its words, as it runs in one of the namespaces. */
  inside(space, program, words) {
    return ['nsenter', `--net=${folder}/${space}`, program, ...words];
  }

  /** Takes all of it away; whoever runs in there has ended before. */
  end() {
    if (this.#isEnded) return;
    this.#isEnded = true;
    process.removeListener('exit', this.#end);
    for (const name of [this.server, this.client])
      if (existsSync(`${folder}/${name}`)) spawnSync('ip', ['netns', 'del', name]);
  }
}
