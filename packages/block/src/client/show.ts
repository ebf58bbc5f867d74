/** What rsconfig prints. Pure. */
import type { Explored, FoundWay } from '../rsio/explorer/explorer.ts';
import type { AdministerReply, AttachReply, LocalReply, QueryReply, StatusReply } from './protocol.ts';

const blockBytes = 512;
const blocks = (sizeBytes: number) => String(Math.floor(sizeBytes / blockBytes)).padStart(12);
const id = (number: number) => String(number).padStart(3, '0');

/** `detail`: how many v there were. */
export function showQuery({ namespaces }: QueryReply, detail: number, explored: Explored | null = null): string {
  const lines: string[] = [];
  for (const [i, { name, client, servers }] of namespaces.entries()) {
    lines.push(`${id(i)} ${name}`, `  clt: ${client}`);
    for (const server of servers) {
      lines.push(`  srv: ${id(server.id)} ${server.name}${server.isUp ? '' : ` (not connected: ${server.why})`}`);
      for (const { name: device, sizeBytes, users, readOnly, description, isPaused } of server.devices) {
        lines.push(
          `    ${String(users).padStart(3)}  ${device.padEnd(20)} disk ${blocks(sizeBytes)} blocks of  512 bytes`,
        );
        if (detail > 0)
          lines.push(
            `         ${readOnly ? 'read only' : 'read, write'}, ${sizeBytes} bytes${isPaused ? ', paused' : ''}`,
          );
        if (detail > 1 && description !== '') lines.push(`         ${description}`);
      }
      const found = explored?.servers.find((one) => one.namespace === name && one.server === server.name);
      if (found) lines.push(...found.ways.map(wayLine));
    }
  }
  if (explored) lines.push(...exploredLines(explored, namespaces));
  return lines.map((line) => `${line}\n`).join('');
}

function wayLine({ interface: face, from, address, port, problem, rttMs, mtu, bandwidth }: FoundWay): string {
  const way = `      way ${face}${from === null ? '' : ` ${from}`} > ${address}/${port}`;
  if (problem !== null) return `${way}: ${problem}`;
  const megabytes = (rate: number) => `${(rate / 1e6).toFixed(0)} MB/s`;
  const speed = bandwidth ? `, tx ${megabytes(bandwidth.sent)}, rx ${megabytes(bandwidth.received)}` : '';
  return `${way}: ${(rttMs ?? 0).toFixed(2)} ms, packets of ${mtu ?? '?'} bytes${speed}`;
}

/** What is there beside what the configuration says. */
function exploredLines({ servers, interfaces, problems }: Explored, known: QueryReply['namespaces']): string[] {
  const isKnown = ({ namespace, server }: Explored['servers'][number]) =>
    known.some(({ name, servers: own }) => name === namespace && own.some((one) => one.name === server));
  const lines = servers
    .filter((one) => !isKnown(one))
    .flatMap((one) => [
      `new ${one.namespace} (${one.namespaceId})`,
      `  srv: ${id(one.serverId)} ${one.server} at ${one.addresses.map(({ address, port }) => `${address}/${port}`).join(', ')}`,
      ...one.ways.map(wayLine),
    ]);
  const faces = interfaces.map(({ name, address, mtu }) => `if  ${name} ${address}: packets of ${mtu ?? '?'} bytes`);
  return [...lines, ...faces, ...problems.map((problem) => `??  ${problem}`)];
}

export function showStatus({ paths }: StatusReply): string {
  const lines = paths.flatMap(({ namespace, server, serverId, index, name, state, underBytes, rttMs, why }) => {
    const isUp = state === 'connected';
    const health = isUp
      ? 'tx: ok rx: ok'
      : state === 'suspect'
        ? 'tx: ok rx: no answer'
        : `tx: down rx: down${why && ` (${why})`}`;
    const more = isUp ? `, ${underBytes} bytes under way, ${rttMs.toFixed(1)} ms` : '';
    const what = isUp || state === 'suspect' ? 'connected' : 'not connected';
    return [`${index} ${namespace}:${server}`, `    rep: ${id(serverId)} ${name} ${what} ${health}${more}`];
  });
  return lines.map((line) => `${line}\n`).join('');
}

/** `-lv` tells how it is reached, `-lvv` has the published form, `-lvvv` has both and what the device is made of. */
export function showLocal({ volumes }: LocalReply, detail: number): string {
  const lines = volumes.flatMap(({ namespace, name, sizeBytes, users, uri, isLost, servers, node }) => {
    const published = node && [
      `    c: ${node.raw}${blocks(sizeBytes).padStart(34 - node.raw.length)} blocks,  ${servers} server(s)`,
      `    b: ${node.block}`,
    ];
    const endpoint = `    n: ${uri} ${blocks(sizeBytes)} blocks, ${users} user(s)`;
    const short = node ? [`    b: ${node.block} ${blocks(sizeBytes)} blocks`, endpoint] : [endpoint];
    const made = node ? [`    ${node.kind}: ${node.target}`] : [];
    return [
      `${namespace}:${name}@0${isLost ? '  taken by another client' : ''}`,
      ...(detail === 1 ? short : []),
      ...(detail > 1 ? (published ?? [endpoint]) : []),
      ...(detail > 2 && published ? [endpoint, ...made] : []),
    ];
  });
  return lines.map((line) => `${line}\n`).join('');
}

export function showResults({ results }: AttachReply): { text: string; failed: boolean } {
  const lines = results.map(
    ({ namespace, name, error }) => `${namespace}:${name}${error === null ? '' : `: ${error}`}\n`,
  );
  return { text: lines.join(''), failed: results.some(({ error }) => error !== null) };
}

/** What servers did, or did not do, with their devices. */
export function showAdministered({ results }: AdministerReply): { text: string; failed: boolean } {
  const lines = results.flatMap(({ namespace, server, name, error, pools }) => [
    ...(name === '' && error === null ? [] : [`${namespace}:${name}@${server}${error === null ? '' : `: ${error}`}`]),
    ...pools.map((pool) => {
      const left = pool.capacityBytes === undefined ? '' : ` of ${pool.capacityBytes}`;
      return `${namespace}:@${server} pool ${pool.name.padEnd(16)} ${pool.type.padEnd(6)} ${pool.devices} device(s), ${pool.usedBytes}${left} bytes`;
    }),
  ]);
  return { text: lines.map((line) => `${line}\n`).join(''), failed: results.some(({ error }) => error !== null) };
}
