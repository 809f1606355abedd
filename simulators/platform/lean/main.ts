/**
 * The lean platform as a process of its own: prints one JSON line with its addresses, and ends on SIGTERM. Its ground
 * truth stays in memory and is to be asked for while it runs.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { LeanPlatform } from './lean-platform.ts';
import type { LeanPatch } from './settings.ts';

const LINES_AT_ONCE = 500;

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'control-port': { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    /** JSON: {"settings": {…}} */
    config: { type: 'string' },
  },
});
const config = values.config === undefined ? {} : (JSON.parse(readFileSync(values.config, 'utf8')) as ConfigFile);
const platform = new LeanPlatform(values.seed, config.settings ?? {});
const url = await platform.listen(Number(values.port));
const control = createServer((request, response) => {
  serve(request, response).catch((error: Error) => {
    response.writeHead(400, { 'content-type': 'text/plain' }).end(error.message);
  });
});
control.listen(Number(values['control-port']), '127.0.0.1', () => {
  const address = control.address();
  const controlUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  process.stdout.write(`${JSON.stringify({ url, controlUrl, pid: process.pid })}\n`);
});
process.once('SIGTERM', async () => {
  control.close();
  control.closeAllConnections();
  await platform.close();
});

interface ConfigFile {
  settings?: LeanPatch;
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  switch (`${request.method} ${request.url}`) {
    case 'GET /control/stats':
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(platform.stats()));
      return;
    case 'PATCH /control/settings': {
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(piece as Buffer);
      platform.change(JSON.parse(Buffer.concat(pieces).toString()) as LeanPatch);
      response.setHeader('content-type', 'application/json');
      response.end('{}');
      return;
    }
    case 'GET /control/ground-truth':
      response.setHeader('content-type', 'application/x-ndjson');
      await pipeline(Readable.from(lines()), response);
      return;
    default:
      response.writeHead(404).end();
  }
}

function* lines(): Generator<string> {
  let text = '';
  let count = 0;
  for (const record of platform.truth.records()) {
    text += `${JSON.stringify(record)}\n`;
    if (++count % LINES_AT_ONCE !== 0) continue;
    yield text;
    text = '';
  }
  if (text !== '') yield text;
}
