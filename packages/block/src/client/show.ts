/** What rsconfig prints. Pure. */
import type { AttachReply, LocalReply, QueryReply, StatusReply } from './protocol.ts';

const blockBytes = 512;
const blocks = (sizeBytes: number) => String(Math.floor(sizeBytes / blockBytes)).padStart(12);
const id = (number: number) => String(number).padStart(3, '0');

/** `detail`: how many v there were. */
export function showQuery({ namespaces }: QueryReply, detail: number): string {
  const lines: string[] = [];
  for (const [i, { name, client, servers }] of namespaces.entries()) {
    lines.push(`${id(i)} ${name}`, `  clt: ${client}`);
    for (const server of servers) {
      lines.push(`  srv: ${id(server.id)} ${server.name}${server.isUp ? '' : ` (not connected: ${server.why})`}`);
      for (const { name: device, sizeBytes, users, readOnly, description } of server.devices) {
        lines.push(
          `    ${String(users).padStart(3)}  ${device.padEnd(20)} disk ${blocks(sizeBytes)} blocks of  512 bytes`,
        );
        if (detail > 0) lines.push(`         ${readOnly ? 'read only' : 'read, write'}, ${sizeBytes} bytes`);
        if (detail > 1 && description !== '') lines.push(`         ${description}`);
      }
    }
  }
  return lines.map((line) => `${line}\n`).join('');
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
