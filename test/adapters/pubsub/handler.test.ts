import type { Message } from '@google-cloud/pubsub';
import { describe, expect, it } from 'vitest';
import { parseMetrics } from '../../../simulators/rig/metrics.ts';
import type { DeadLetterLane } from '../../../src/adapters/pubsub/dead-letters.ts';
import { MessageHandler } from '../../../src/adapters/pubsub/handler.ts';
import { contentDigest } from '../../../src/engine/message.ts';
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
  digest: contentDigest(new Uint8Array()),
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

describe('a message with an order of its publisher', () => {
  it('is acknowledged once it is parked, and a dead letter where another one has its number', async () => {
    const acked = { parked: 0, refused: 0 };
    const letters: string[] = [];
    const results: IntakeResult[] = [
      {
        kind: 'parked',
        address: { shard: 0, id: 1 },
        sequence: null,
        messageId: 'm',
        order: 3,
        waitsFor: 1,
        duplicate: false,
      },
      { kind: 'order_conflict', sequence: null, order: 3 },
    ];
    const handler = new MessageHandler({
      parse: () => READ,
      accept: () => Promise.resolve(results.shift() as IntakeResult),
      clock: { now: () => NOW, monotonic: () => 0, after: () => () => undefined },
      instruments: {
        metrics: createMetrics({ version: 'test' }),
        log: { event: () => undefined, flush: () => undefined, writes: () => true },
        telemetry: new Telemetry(),
        hash: recipientHasher('test'),
      },
      letters: {
        put: async ({ reason }: { readonly reason: string }) => {
          letters.push(reason);
          return true;
        },
      } as unknown as DeadLetterLane,
      signal: new AbortController().signal,
    });
    handler.handle(messagePublished(0, () => acked.parked++));
    await handler.idle();
    expect([acked.parked, letters]).toEqual([1, []]);
    handler.handle(messagePublished(0, () => acked.refused++));
    await handler.idle();
    expect([acked.refused, letters]).toEqual([1, ['order_conflict']]);
  });
});
