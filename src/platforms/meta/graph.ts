/** Sending and uploading through the Graph API: `POST /{version}/{node}/…` with a token in the header. */
import type { Readable } from 'node:stream';
import { bearerOf } from '../bearer.ts';
import { HttpClient, type HttpOutcome } from '../http-client.ts';
import type { PlatformChannelConfig } from '../platform.ts';

const MAX_ANSWER_BYTES = 65_536;

export interface GraphSender {
  /** Posts one message as JSON; `timeoutMs` is for the whole exchange. */
  post(message: unknown, timeoutMs: number): Promise<HttpOutcome>;
  close(): Promise<void>;
}

/**
 * @param node who sends: a business number's id, a page's, or `me`
 * @throws RoomlineError `config_invalid` where the token cannot stand in a header
 */
export function openGraphSender(config: PlatformChannelConfig, apiVersion: string, node: string): GraphSender {
  const { origin, root, authorization } = readGraph(config, apiVersion, node);
  const path = `${root}/messages`;
  const headers = { authorization, 'content-type': 'application/json' };
  const client = new HttpClient({
    origin,
    connections: config.maxConcurrentSends,
    connectTimeoutMs: config.sendTimeoutMs,
    maxAnswerBytes: MAX_ANSWER_BYTES,
  });
  return {
    post: (message, timeoutMs) =>
      client.exchange({ method: 'POST', path, headers, body: Buffer.from(JSON.stringify(message)), timeoutMs }),
    close: () => client.close(),
  };
}

export interface GraphUpload {
  /** Where it goes below the node, such as `media`. */
  readonly edge: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | Readable;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface GraphUploads {
  post(upload: GraphUpload): Promise<HttpOutcome>;
  close(): Promise<void>;
}

/**
 * Uploads have connections of their own: a large one keeps no message from leaving.
 * @throws RoomlineError `config_invalid` where the token cannot stand in a header
 */
export function openGraphUploads(
  config: PlatformChannelConfig,
  apiVersion: string,
  node: string,
  connections: number,
): GraphUploads {
  const { origin, root, authorization } = readGraph(config, apiVersion, node);
  const { sendTimeoutMs: connectTimeoutMs } = config;
  const client = new HttpClient({ origin, connections, connectTimeoutMs, maxAnswerBytes: MAX_ANSWER_BYTES });
  return {
    post: ({ edge, headers, ...upload }) =>
      client.exchange({ method: 'POST', path: `${root}/${edge}`, headers: { authorization, ...headers }, ...upload }),
    close: () => client.close(),
  };
}

function readGraph(config: PlatformChannelConfig, apiVersion: string, node: string) {
  const { origin, pathname } = new URL(config.baseUrl);
  const root = `${pathname.replace(/\/+$/, '')}/${apiVersion}/${node}`;
  return { origin, root, authorization: bearerOf(config.accessToken.reveal()) };
}
