import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

/** Shorter than the others', so that messages without an ack do not make the tests long. */
const ACK_TIMEOUT_MS = 1_000;

describe('A whole system', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({
      channels: {
        // No ack is lost on it: nothing there should ever wait for so long.
        main: { ackTimeoutMs: 30_000 },
        acks: { ackTimeoutMs: ACK_TIMEOUT_MS },
        outcomes: { ackTimeoutMs: ACK_TIMEOUT_MS },
        lookups: { ackTimeoutMs: ACK_TIMEOUT_MS, lookup: true },
      },
    });
  });

  afterAll(() => system?.stop());

  test('delivers what is published to Pub/Sub in order, each message once', async () => {
    const traffic = system.traffic('plain', { rooms: 60, messages: 10 });
    await traffic.publish();
    await traffic.untilDone();
    const verdict = await traffic.expectClean();
    expect(verdict.messages.outcomes).toEqual({ acked: traffic.size });
    expect(verdict.messages.orderProven).toBe(1);
    expect(verdict.duplicates.extraReceipts).toBe(0);
    expect(verdict.swaps.total).toBe(0);
  });

  test('says in /readyz, /metrics and the API what it does', async () => {
    expect(await system.call('GET', '/readyz')).toMatchObject({
      status: 200,
      body: {
        ready: true,
        dependencies: [
          { name: 'postgres', ok: true },
          { name: 'database', ok: true },
          { name: 'ownership', ok: true },
          { name: 'pubsub', ok: true },
        ],
      },
    });
    const channel = 'default/main';
    const read = () => system.rig.engine.metrics();
    const before = await read();
    const traffic = system.traffic('counted', { rooms: 5, messages: 2 });
    await traffic.publish();
    const { body } = await system.call('POST', '/v1/messages', traffic.message(1, 3));
    expect(body).toMatchObject({ sequence: 3, duplicate: false });
    await traffic.untilSettled(11);
    const after = await read();
    const raised = (name: string, labels: Record<string, string>) =>
      after.sum(`roomline_${name}`, labels) - before.sum(`roomline_${name}`, labels);
    expect(raised('messages_accepted_total', { source: 'pubsub' })).toBe(10);
    expect(raised('messages_accepted_total', { source: 'http' })).toBe(1);
    expect(raised('attempts_total', { result: 'accepted', channel })).toBe(11);
    expect(raised('messages_settled_total', { outcome: 'acked', channel })).toBe(11);
    expect(raised('acks_total', { kind: 'matched', channel })).toBeGreaterThanOrEqual(11);
    expect(after.sum('roomline_channel_state', { channel, state: 'open' })).toBe(1);
    expect(after.sum('roomline_liveness_violations')).toBe(0);
    const message = await system.call('GET', body.status);
    expect(message.body).toMatchObject({ sequence: 3, outcome: 'acked', order: 'proven' });
    const room = await system.call('GET', `/v1/rooms/main/${traffic.room(1)}`);
    expect(room.body).toMatchObject({ phase: 'idle', counts: { accepted: 3, settled: 3, waiting: 0 } });
  });

  test('keeps the order whatever the acks do', async () => {
    await system.channelKnobs('acks', {
      message: {
        status: {
          sent: { probability: 1, lossProbability: 0.1 },
          delivered: { probability: 1, lossProbability: 0.1 },
          read: { probability: 0.4, delayMs: 100 },
          loseAllProbability: 0.06,
          early: { probability: 0.15, statuses: ['sent', 'delivered'], holdMs: 300 },
          late: { probability: 0.08, delayMs: { kind: 'uniform', minMs: 500, maxMs: 2_500 } },
          duplicate: { probability: 0.2, copies: 2, gapMs: 50, concurrent: true },
          outOfOrder: { probability: 0.2, gapMs: 20 },
          regress: { probability: 0.1, gapMs: 20 },
          contradiction: { probability: 0.05, gapMs: 20 },
          failure: { probability: 0.03, delayMs: 100 },
        },
      },
      knobs: {
        webhooks: {
          batch: { minSize: 1, maxSize: 40, lingerMs: 30 },
          signature: { wrongKey: 0.05, tampered: 0.05, missing: 0.05, expired: 0.05 },
          junk: { unknownId: 0.1, unknownReference: 0.1, unknownStatus: 0.1, extraFields: 0.1, malformed: 0.1 },
        },
      },
    });
    const traffic = system.traffic('acks', { rooms: 50, messages: 12, channel: 'acks' });
    await traffic.publish();
    await traffic.untilDone();
    const verdict = await traffic.expectClean({
      ackTimeoutMs: ACK_TIMEOUT_MS,
      expectedFaults: {
        status_lost_delivered: 5,
        webhook_wrong_key: 1,
        webhook_tampered: 1,
        webhook_missing: 1,
        webhook_expired: 1,
      },
    });
    expect(verdict.webhooks.forgedAccepted).toBe(0);
    expect(verdict.messages.outcomes).toMatchObject({ acked: expect.any(Number), assumed: expect.any(Number) });
    const { faults } = await system.rig.platform.stats();
    for (const fault of ['early', 'late', 'duplicate', 'out_of_order', 'regress', 'contradiction']) {
      expect.soft(faults[`status_${fault}`], fault).toBeGreaterThan(0);
    }
    for (const kind of ['unknownId', 'unknownReference', 'unknownStatus', 'extraFields', 'malformed']) {
      expect.soft(faults[`webhook_junk_${kind}`], kind).toBeGreaterThan(0);
    }
    const metrics = await system.rig.engine.metrics();
    for (const kind of ['matched', 'late', 'unknown', 'ignored']) {
      expect.soft(metrics.sum('roomline_acks_total', { kind, channel: 'default/acks' }), kind).toBeGreaterThan(0);
    }
  });

  const UNKNOWN_OUTCOMES = {
    a_reset_after_acceptance: { kind: 'reset', probability: 0.04, when: 'after_acceptance' },
    b_reset_mid_response: { kind: 'reset', probability: 0.04, when: 'mid_response' },
    c_reset_after_read: { kind: 'reset', probability: 0.04, when: 'after_read' },
    d_error_after_acceptance: { kind: 'server_error', probability: 0.04, status: 502, when: 'after_acceptance' },
    e_error_before_acceptance: {
      kind: 'server_error',
      probability: 0.04,
      status: 500,
      when: 'before_acceptance',
      body: 'html',
    },
    f_truncated: { kind: 'truncate', probability: 0.04 },
    g_silence_after_acceptance: { kind: 'silence', probability: 0.02, when: 'after_acceptance' },
    h_silence_before_acceptance: { kind: 'silence', probability: 0.02, when: 'before_acceptance' },
    i_held: { kind: 'hold_request', probability: 0.02, delayMs: 2_000 },
  };
  const REFUSALS = {
    r_later: { kind: 'refuse', probability: 0.04, status: 409, scope: 'message', permanent: false, retryAfterMs: 100 },
    s_never: { kind: 'refuse', probability: 0.03, status: 400, code: 'recipient_unknown' },
    t_too_many: {
      kind: 'refuse',
      probability: 0.03,
      status: 429,
      scope: 'channel',
      retryAfterMs: 200,
      retryAfterIn: 'header',
    },
  };

  test('sends again only after unknown outcomes and refusals that ask for it', async () => {
    await system.channelKnobs('outcomes', { message: { send: { faults: { ...UNKNOWN_OUTCOMES, ...REFUSALS } } } });
    const traffic = system.traffic('outcomes', { rooms: 50, messages: 10, channel: 'outcomes' });
    await traffic.publish();
    await traffic.untilDone();
    const expectedFaults = Object.fromEntries(
      Object.keys({ ...UNKNOWN_OUTCOMES, ...REFUSALS }).map((name) => [name, 1]),
    );
    const verdict = await traffic.expectClean({ ackTimeoutMs: ACK_TIMEOUT_MS, expectedFaults });
    expect(verdict.duplicates.extraReceipts).toBeGreaterThan(0);
    expect(verdict.duplicates.extraReceipts).toBeLessThanOrEqual(verdict.receipts.unknownOutcomes);
    const metrics = await system.rig.engine.metrics();
    const possible = metrics.sum('roomline_possible_duplicates_total', { channel: 'default/outcomes' });
    expect(possible).toBeGreaterThanOrEqual(verdict.duplicates.extraReceipts);
  });

  test('asks what became of an unknown outcome, and sends nothing twice that the platform knows', async () => {
    await system.channelKnobs('lookups', {
      message: {
        send: {
          faults: {
            l_reset: { kind: 'reset', probability: 0.1, when: 'after_acceptance' },
            m_error: { kind: 'server_error', probability: 0.1, status: 502, when: 'after_acceptance' },
            n_truncated: { kind: 'truncate', probability: 0.1 },
          },
        },
        // The acks come too late to tell first.
        phone: { delayMs: 600 },
        status: { sent: { probability: 0 } },
      },
    });
    const traffic = system.traffic('lookups', { rooms: 40, messages: 6, channel: 'lookups' });
    await traffic.publish();
    await traffic.untilDone();
    const verdict = await traffic.expectClean({
      ackTimeoutMs: ACK_TIMEOUT_MS,
      expectedFaults: { l_reset: 1, m_error: 1, n_truncated: 1 },
    });
    expect(verdict.receipts.unknownOutcomes).toBeGreaterThan(10);
    expect(verdict.duplicates.extraReceipts).toBe(0);
    expect((await system.rig.platform.stats()).lookups).toBeGreaterThanOrEqual(verdict.receipts.unknownOutcomes);
  });
});
