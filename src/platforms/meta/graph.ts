/** Sending through the Graph API: `POST /{version}/{node}/messages` with a token in the header. */
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
  const { origin, pathname } = new URL(config.baseUrl);
  const path = `${pathname.replace(/\/+$/, '')}/${apiVersion}/${node}/messages`;
  const headers = { authorization: bearerOf(config.accessToken.reveal()), 'content-type': 'application/json' };
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
