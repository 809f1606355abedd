/** What teams do without an ordered delivery engine, done honestly: directly to the platform, over kept connections. */
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import type { Published } from '../oracle/types.ts';
import { contentHash } from '../platform/content-hash.ts';
import type { LoadMessage } from '../rig/publisher.ts';
import { DEMO_CHANNELS, type DemoChannel } from './channels.ts';

export interface BaselineOptions {
  /** Of the platform. */
  readonly url: string;
  readonly token: string;
  /** The generic one by default. */
  readonly channel?: DemoChannel;
  /** Between a message's answer and the next message of its room; null sends all of a room's messages at once. */
  readonly pauseMs: number | null;
  readonly signal: AbortSignal;
}

/** Sends the load, all rooms in parallel. Resolves with what was sent, in order per room. @throws where a send fails. */
export async function sendDirectly(load: Iterable<LoadMessage>, options: BaselineOptions): Promise<Published[]> {
  const { url, token, channel = DEMO_CHANNELS.generic, pauseMs, signal } = options;
  const rooms = Map.groupBy(load, ({ room }) => room);
  const pool = new Pool(url, { connections: channel.connections, pipelining: 1 });
  // Not handed to each request: thousands of listeners on one signal cost more than the requests.
  const giveUp = (): void => void pool.destroy(signal.reason as Error);
  signal.addEventListener('abort', giveUp);
  const send = async (message: LoadMessage, number: number, index: number): Promise<void> => {
    const { to = message.room, content } = channel.form(message);
    const reference = `${message.content.run}-${number}-${index}`;
    const request = channel.direct({ token, reference, to, content });
    const { statusCode, body } = await pool.request({ method: 'POST', ...request });
    const answer = await body.text();
    if (statusCode < 200 || statusCode > 299) throw new Error(`the platform answered ${statusCode}: ${answer}`);
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
  return [...rooms.values()].flat().map((message) => {
    const { messageId, room, content } = message;
    return { key: messageId, run: content.run, room, hash: contentHash(channel.form(message).content) };
  });
}
