/** Prometheus text over HTTP, for `--metrics-port`: GET /metrics on 127.0.0.1. */
import { createServer } from 'node:http';
import type { Host } from '../host.ts';
import { StartError } from '../start-error.ts';

export async function serveMetrics(host: Host, port: number): Promise<void> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(host.services.metrics.text());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new StartError(`metrics port ${port} cannot be opened: ${error.message}`)));
    server.listen({ host: '127.0.0.1', port }, resolve);
  });
  host.atEnd('metrics port', () => void server.close());
}
