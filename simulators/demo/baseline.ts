/** What teams do without an ordered delivery engine, done honestly: directly to the platform, over kept connections. */
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import type { Published } from '../oracle/types.ts';
import { contentHash } from '../platform/content-hash.ts';
import type { LoadMessage } from '../rig/publisher.ts';
import { CHANNEL, CHANNELS } from './scenario.ts';

export interface BaselineOptions {
  /** Of the platform. */
  readonly url: string;
  readonly token: string;
  /** Between a message's answer and the next message of its room; null sends all of a room's messages at once. */
  readonly pauseMs: number | null;
  readonly signal: AbortSignal;
}

/** As many as Roomline may use here. */
const CONNECTIONS = CHANNELS[CHANNEL].maxConcurrentSends;

/** Sends the load, all rooms in parallel. Resolves with what was sent, in order per room. @throws where a send fails. */
export async function sendDirectly(load: Iterable<LoadMessage>, options: BaselineOptions): Promise<Published[]> {
  const { url, token, pauseMs, signal } = options;
  const rooms = Map.groupBy(load, ({ room }) => room);
  const pool = new Pool(url, { connections: CONNECTIONS, pipelining: 1 });
  // Not handed to each request: thousands of listeners on one signal cost more than the requests.
  const giveUp = (): void => void pool.destroy(signal.reason as Error);
  signal.addEventListener('abort', giveUp);
  const send = async ({ room, content }: LoadMessage, number: number, index: number): Promise<void> => {
    const reference = `${content.run}-${number}-${index}`;
    const { statusCode, body } = await pool.request({
      method: 'POST',
      path: '/v1/messages',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'idempotency-key': reference,
      },
      body: JSON.stringify({ reference, to: room, content }),
    });
    const answer = await body.text();
    if (statusCode !== 200) throw new Error(`the platform answered ${statusCode}: ${answer}`);
  };
  try {
    signal.throwIfAborted();
    await Promise.all(
      [...rooms.values()].map(async (messages, number) => {
        if (pauseMs === null) await Promise.all(messages.map((message, index) => send(message, number, index)));
        else {
          for (const [index, message] of messages.entries()) {
            if (index > 0) await delay(pauseMs);
            await send(message, number, index);
          }
        }
      }),
    );
  } finally {
    signal.removeEventListener('abort', giveUp);
    await pool.destroy();
  }
  return [...rooms.values()]
    .flat()
    .map(({ messageId, room, content }) => ({ key: messageId, room, hash: contentHash(content) }));
}
