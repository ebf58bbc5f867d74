/** Prometheus text over HTTP, for `--metrics-port`: GET /metrics. There is no authentication, hence 127.0.0.1 unless told. */
import { createServer, type Server } from 'node:http';
import type { Host } from '../host.ts';
import { StartError } from '../start-error.ts';

export interface MetricsPlace {
  readonly port: number;
  readonly address?: string;
}

export async function serveMetrics(host: Host, port: number): Promise<void> {
  const server = await listenForMetrics({ port }, () => host.services.metrics.text());
  host.atEnd('metrics port', () => void server.close());
}

/** `text` is asked for at each request; if it rejects, the answer is 500 with the reason. */
export async function listenForMetrics(
  { port, address = '127.0.0.1' }: MetricsPlace,
  text: () => string | Promise<string>,
): Promise<Server> {
  const server = createServer(async (request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    try {
      const body = await text();
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(body);
    } catch (error) {
      response.writeHead(500, { 'content-type': 'text/plain' }).end(`${(error as Error).message}\n`);
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new StartError(`metrics port ${port} cannot be opened: ${error.message}`)));
    server.listen({ host: address, port }, resolve);
  });
  return server;
}
