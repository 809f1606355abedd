import type { Message } from '@google-cloud/pubsub';
import { describe, expect, it } from 'vitest';
import { parseMetrics } from '../../../simulators/rig/metrics.ts';
import type { DeadLetterLane } from '../../../src/adapters/pubsub/dead-letters.ts';
import { MessageHandler } from '../../../src/adapters/pubsub/handler.ts';
import { bodyDigest } from '../../../src/engine/intake.ts';
import type { IntakeResult, NewMessage } from '../../../src/engine/ports.ts';
import { createMetrics, recipientHasher, Telemetry } from '../../../src/telemetry.ts';

const NOW = 1_700_000_000_000;

function messagePublished(secondsAgo: number, ack: () => void): Message {
  const publishTime = new Date(NOW - secondsAgo * 1_000);
  return { id: '1', orderingKey: 'r', data: Buffer.from('{}'), attributes: {}, publishTime, ack } as unknown as Message;
}

const READ: NewMessage = {
  key: { tenant: 'default', channel: 'main', room: 'r' },
  shard: 0,
  messageId: 'm',
  body: new Uint8Array(),
  digest: bodyDigest(new Uint8Array()),
  acceptedAt: NOW,
  notBefore: null,
  expiresAt: null,
  ackTimeoutMs: null,
  failurePolicy: null,
  supersedes: null,
  source: 'pubsub',
};

describe('the lag of intake', () => {
  it('is told as the age of the oldest message in hand, and per message when it is committed', async () => {
    const metrics = createMetrics({ version: 'test' });
    const committed = Promise.withResolvers<IntakeResult>();
    const acked = Promise.withResolvers<void>();
    const stop = new AbortController();
    const handler = new MessageHandler({
      parse: () => READ,
      accept: () => committed.promise,
      clock: { now: () => NOW, monotonic: () => 0, after: () => () => undefined },
      instruments: {
        metrics,
        log: { event: () => undefined, flush: () => undefined, writes: () => true },
        telemetry: new Telemetry(),
        hash: recipientHasher('test'),
      },
      letters: {} as DeadLetterLane,
      signal: stop.signal,
    });
    const sample = async (name: string) => parseMetrics(await metrics.render()).sum(`roomline_intake_${name}`);

    expect(await sample('oldest_seconds')).toBe(0);
    handler.handle(messagePublished(7_200, acked.resolve));
    expect(await sample('oldest_seconds')).toBe(7_200);

    const address = { shard: 0, id: 1 };
    committed.resolve({ kind: 'accepted', address, sequence: 1, reference: 'x', duplicate: false });
    await acked.promise;
    await handler.idle();
    expect(await sample('oldest_seconds')).toBe(0);
    expect(await sample('lag_seconds_sum')).toBe(7_200);
    expect(await sample('lag_seconds_count')).toBe(1);
    stop.abort();
  });
});
