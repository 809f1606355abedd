import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../../simulators/free-port.ts';
import type { Verdict } from '../../simulators/oracle/types.ts';
import { OUTAGE_MS, type System, startSystem, TEST_TIMEOUT_MS, type Traffic } from '../support/system.ts';

/** While a channel gets no acks it waits this long instead of its ack timeout. */
const GAP_MS = 500;
const ACK_OUTAGE = { ackOutage: { afterMs: 2_000, minTimeouts: 10, gapMs: GAP_MS } };

const CHANNELS = {
  main: {},
  healthy: { ackTimeoutMs: 30_000 },
  black_hole: {},
  resets: {},
  errors: {},
  definite_errors: {},
  revoked: {},
  too_many: {},
  too_many_bare: {},
  refused_webhooks: ACK_OUTAGE,
  held_webhooks: {},
};
type Name = keyof typeof CHANNELS;

describe('An outage', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({ channels: CHANNELS });
  });

  beforeEach(() => system.ensureRunning());
  afterAll(() => system?.stop());

  const controlled = (path: string, body: object) =>
    fetch(`${system.rig.platform.url}/control/${path}`, { method: 'POST', body: JSON.stringify(body) });

  /** Publishes before, in and after the outage, and waits until everything is settled and shown. */
  async function surviving(channel: Name, outage: (traffic: Traffic) => Promise<void>): Promise<Traffic> {
    const traffic = system.traffic(channel, { rooms: 20, messages: 10, channel });
    const published = traffic.publish(OUTAGE_MS + 2_000);
    await traffic.untilSettled(traffic.size * 0.1);
    await outage(traffic);
    await published;
    await traffic.untilDone();
    return traffic;
  }

  const stopped = (channel: Name) =>
    system.eventually(`${channel} is stopped`, async () => {
      const { state } = await system.channel(channel);
      return state === 'stopped' || state === 'slowed';
    });

  const open = (channel: Name) =>
    system.eventually(`${channel} is open`, async () => (await system.channel(channel)).state === 'open');

  async function expectNothingFailed(traffic: Traffic): Promise<Verdict> {
    const verdict = await traffic.expectClean();
    const { acked = 0, assumed = 0 } = verdict.messages.outcomes;
    expect(acked + assumed, 'settled as sent').toBe(traffic.size);
    expect(await traffic.deadLetters()).toEqual([]);
    expect(verdict.duplicates.extraReceipts).toBeLessThanOrEqual(verdict.receipts.unknownOutcomes);
    return verdict;
  }

  test('of the whole platform, which refuses connections, fails nothing', async () => {
    const traffic = await surviving('main', async () => {
      await system.rig.platform.scheduleOutage({ kind: 'refuse', forMs: OUTAGE_MS });
      await Promise.all([stopped('main'), delay(OUTAGE_MS)]);
    });
    await expectNothingFailed(traffic);
  });

  describe('of one channel', { concurrent: true }, () => {
    test('leaves the others alone', async () => {
      const traffic = await surviving('healthy', async () => undefined);
      const verdict = await expectNothingFailed(traffic);
      expect(verdict.messages.outcomes).toEqual({ acked: traffic.size });
      expect(verdict.duplicates.extraReceipts).toBe(0);
    });

    test.each([
      ['black_hole', 'that swallows requests', { kind: 'black_hole' }],
      ['resets', 'that resets requests', { kind: 'reset' }],
      ['errors', 'that answers 503', { kind: 'server_error', status: 503 }],
      ['definite_errors', 'that answers 503 and says that it did nothing', { kind: 'server_error', definite: true }],
    ] as const)('%s: one %s fails nothing', async (channel, _what, plan) => {
      const traffic = await surviving(channel, async () => {
        await system.rig.platform.scheduleOutage({ ...plan, channel, forMs: OUTAGE_MS });
        await Promise.all([stopped(channel), delay(OUTAGE_MS)]);
      });
      await open(channel);
      await expectNothingFailed(traffic);
    });

    test('whose token is revoked fails nothing, and goes on when it is valid again', async () => {
      const traffic = await surviving('revoked', async () => {
        await system.channelKnobs('revoked', { revoked: true });
        system.count('token revoked');
        await Promise.all([stopped('revoked'), delay(OUTAGE_MS)]);
        await system.channelKnobs('revoked', { revoked: false });
      });
      await open('revoked');
      const verdict = await expectNothingFailed(traffic);
      expect(verdict.duplicates.extraReceipts).toBe(0);
    });

    test.each([
      ['too_many', 'scope and a time', { status: 429, scope: 'channel', retryAfterMs: 300, retryAfterIn: 'both' }],
      ['too_many_bare', 'neither', { status: 429, bare: true, retryAfterIn: 'none' }],
    ] as const)('%s: a storm of 429s with %s fails nothing', async (channel, _what, refusal) => {
      const storm = { kind: 'refuse', probability: 1, ...refusal };
      const traffic = await surviving(channel, async () => {
        await system.channelKnobs(channel, { message: { send: { faults: { [channel]: storm } } } });
        await Promise.all([stopped(channel), delay(OUTAGE_MS)]);
        await system.channelKnobs(channel, { message: { send: { faults: { [channel]: null } } } });
      });
      await open(channel);
      const verdict = await expectNothingFailed(traffic);
      expect(verdict.duplicates.extraReceipts).toBe(0);
    });

    test('whose webhooks are refused goes on without acks, says so, and takes them up again', async () => {
      const channel = 'refused_webhooks';
      const nobody = `http://127.0.0.1:${await freePort()}/`;
      const traffic = await surviving(channel, async () => {
        await system.channelKnobs(channel, { webhook: { urls: [nobody] } });
        system.count('webhooks refused');
        const announced = system.eventually('it says that there are no acks', async () => {
          return (await system.channel(channel)).state === 'ack_outage';
        });
        await Promise.all([announced, delay(OUTAGE_MS)]);
        await system.channelKnobs(channel, {
          webhook: { urls: [`${system.rig.engine.url}/v1/webhooks/default/${channel}`] },
        });
      });
      await open(channel);
      await traffic.expectClean({ ackTimeoutMs: GAP_MS });
      expect(await traffic.deadLetters()).toEqual([]);
    });

    test('whose webhooks are held back and then come all at once loses no ack', async () => {
      const channel = 'held_webhooks';
      const traffic = await surviving(channel, async () => {
        await controlled('webhooks/hold', { channel });
        system.count('webhooks held back');
        await delay(OUTAGE_MS);
        await controlled('webhooks/flush', { channel });
      });
      const verdict = await expectNothingFailed(traffic);
      expect(verdict.duplicates.extraReceipts).toBe(0);
      await system.eventually('every message is known to be delivered', async () => {
        const levels = await traffic.levels();
        return levels.length === traffic.size && levels.every((level) => level === 'delivered');
      });
    });
  });
});
