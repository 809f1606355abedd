import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SETTINGS, type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

const ACK_TIMEOUT_MS = 1_500;
/**
 * Long enough for answers that are held back, on a machine that may be busy with other tests: of an attempt that was
 * given up no id is ever known, so that an ack of it finds nothing.
 */
const SEND_TIMEOUT_MS = 5_000;
const NO_ECHO = { echoesReference: 'never', ackTimeoutMs: ACK_TIMEOUT_MS };

const LOST_ANSWERS = {
  a_reset: { kind: 'reset', probability: 0.06, when: 'after_acceptance' },
  b_error: { kind: 'server_error', probability: 0.06, status: 502, when: 'after_acceptance' },
  c_truncated: { kind: 'truncate', probability: 0.06 },
};
const CONFUSED_ACKS = {
  delivered: { probability: 1, lossProbability: 0.08 },
  read: { probability: 0.3, delayMs: 100 },
  duplicate: { probability: 0.2, copies: 1, gapMs: 50, concurrent: true },
  outOfOrder: { probability: 0.2, gapMs: 20 },
  late: { probability: 0.05, delayMs: { kind: 'uniform', minMs: 500, maxMs: 2_500 } },
};

describe('On a channel that does not repeat our reference', { timeout: TEST_TIMEOUT_MS, concurrent: true }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({
      settings: {
        ownership: { ...SETTINGS.ownership, leaseMs: 2 * SEND_TIMEOUT_MS },
        channelDefaults: { sendTimeoutMs: SEND_TIMEOUT_MS },
      },
      channels: {
        early: NO_ECHO,
        // The platform has every message whose answer is lost: what it is asked need only be answered in time.
        lookups: { ...NO_ECHO, lookup: true, unknownGraceMs: SEND_TIMEOUT_MS },
        watermarks: NO_ECHO,
        cumulative: { ackTimeoutMs: ACK_TIMEOUT_MS },
      },
    });
  });

  beforeEach(() => system.ensureRunning());
  afterAll(() => system?.stop());

  const acks = async (channel: string, kind: string) =>
    (await system.rig.engine.metrics()).sum('roomline_acks_total', { kind, channel: `default/${channel}` });

  test('acks that come before the acceptance wait in the inbox and settle by the id', async () => {
    await system.channelKnobs('early', {
      message: {
        status: {
          ...CONFUSED_ACKS,
          named: 'id',
          early: { probability: 0.5, statuses: ['sent', 'delivered'], holdMs: 400 },
        },
      },
    });
    const traffic = system.traffic('early', { rooms: 30, messages: 10, channel: 'early' });
    await traffic.publish();
    await traffic.untilDone();
    const verdict = await traffic.expectClean({ ackTimeoutMs: ACK_TIMEOUT_MS });
    expect(verdict.duplicates.extraReceipts).toBe(0);
    expect((await system.rig.platform.stats()).faults.status_early).toBeGreaterThan(50);
    // Those that waited in the inbox were counted as unknown when they came.
    expect(await acks('early', 'unknown')).toBeGreaterThan(50);
  });

  test('an unknown outcome is looked up, and nothing is sent twice that the platform has', async () => {
    await system.channelKnobs('lookups', {
      message: { send: { faults: LOST_ANSWERS }, status: { ...CONFUSED_ACKS, named: 'id' } },
    });
    const traffic = system.traffic('lookups', { rooms: 30, messages: 10, channel: 'lookups' });
    await traffic.publish();
    await traffic.untilDone();
    const verdict = await traffic.expectClean({
      ackTimeoutMs: ACK_TIMEOUT_MS,
      expectedFaults: { a_reset: 1, b_error: 1 },
    });
    expect(verdict.receipts.unknownOutcomes).toBeGreaterThan(20);
    expect(verdict.duplicates.extraReceipts).toBe(0);
  });

  test('watermarks settle what the times of the platform prove', async () => {
    await system.channelKnobs('watermarks', {
      message: {
        status: {
          ...CONFUSED_ACKS,
          named: 'id',
          form: 'watermark',
          // One that comes before the acceptance is on disk proves nothing yet.
          delivered: { ...CONFUSED_ACKS.delivered, delayMs: 300 },
        },
      },
    });
    const traffic = system.traffic('watermarks', { rooms: 30, messages: 10, channel: 'watermarks' });
    await traffic.publish();
    await traffic.untilDone();
    const verdict = await traffic.expectClean({ ackTimeoutMs: ACK_TIMEOUT_MS });
    expect(verdict.duplicates.extraReceipts).toBe(0);
    expect(verdict.messages.outcomes.acked).toBeGreaterThan(traffic.size / 2);
  });

  test('or does, with cumulative acks: they settle the message in flight and raise the earlier ones', async () => {
    await system.channelKnobs('cumulative', {
      message: {
        send: { faults: LOST_ANSWERS },
        status: { ...CONFUSED_ACKS, named: 'reference', form: 'cumulative' },
      },
    });
    const traffic = system.traffic('cumulative', { rooms: 30, messages: 10, channel: 'cumulative' });
    await traffic.publish();
    await traffic.untilDone();
    const verdict = await traffic.expectClean({ ackTimeoutMs: ACK_TIMEOUT_MS });
    const { assumed = 0 } = verdict.messages.outcomes;
    expect(assumed).toBeGreaterThan(0);
    // A lost ack is made up for by the next message's.
    const unproven = (await traffic.levels()).filter((level) => level !== 'delivered' && level !== 'read').length;
    expect(unproven).toBeLessThan(assumed);
  });
});
