import { request as plain } from 'node:http';
import { request as secure } from 'node:https';
import type { Post } from '../events/sender.ts';

/** Redirections are not followed; of the answer only the status counts. */
export const nodePost: Post = (url, body, headers, timeoutMs) =>
  new Promise((resolve, reject) => {
    const send = url.startsWith('https:') ? secure : plain;
    const length = { 'Content-Length': String(Buffer.byteLength(body)) };
    const signal = AbortSignal.timeout(timeoutMs);
    const request = send(
      url,
      { method: 'POST', headers: { ...headers, ...length }, signal, agent: false },
      (response) => {
        response.resume();
        response.on('error', () => undefined);
        resolve(response.statusCode ?? 0);
      },
    );
    request.on('error', (error: NodeJS.ErrnoException) =>
      reject(signal.aborted ? new Error(`no answer in ${timeoutMs / 1000} s`) : new Error(error.code ?? error.message)),
    );
    request.end(body);
  });
