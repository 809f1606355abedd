import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { CERTIFICATE_FILE } from '../../simulators/platform/tls.ts';

/** That which the fake platform has, too. */
export const CERTIFICATE = {
  key: readFileSync(join(dirname(CERTIFICATE_FILE), 'trusted-key.pem')),
  cert: readFileSync(CERTIFICATE_FILE),
};

export type Serve = (request: IncomingMessage, response: ServerResponse) => void;

export interface FileServer {
  /** `127.0.0.1:port`. */
  readonly host: string;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  link(path?: string): string;
  close(): Promise<void>;
}

/** A file server on a loopback port; with a key and a certificate it speaks https. */
export async function startFiles(serve: Serve, tls?: { key: Buffer; cert: Buffer }): Promise<FileServer> {
  const asked: string[] = [];
  const handle: Serve = (request, response) => {
    asked.push(request.url ?? '');
    serve(request, response);
  };
  const server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  let closing: Promise<void> | undefined;
  return {
    host,
    asked,
    link: (path = '/picture.jpg') => `${tls === undefined ? 'http' : 'https'}://${host}${path}`,
    close: () => {
      closing ??= new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      return closing;
    },
  };
}

export const PICTURE = Buffer.from('\xff\xd8\xff a picture, as far as anybody here can tell', 'latin1');

export function file(body: Buffer = PICTURE, headers: Record<string, string> = {}): Serve {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': String(body.length), ...headers });
    response.end(body);
  };
}
