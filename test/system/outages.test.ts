import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../../simulators/free-port.ts';
import type { Verdict } from '../../simulators/oracle/types.ts';
import type { OutagePlan } from '../../simulators/platform/outages.ts';
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
  lost_subscription: ACK_OUTAGE,
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

  const withoutAcks = (channel: Name) =>
    system.eventually(`${channel} says that there are no acks`, async () => {
      return (await system.channel(channel)).state === 'ack_outage';
    });

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

  /** The runner goes through five tests at a time; so many are here, each with an outage or two of its own. */
  describe('of one channel', { concurrent: true }, () => {
    test('leaves the others alone', async () => {
      const verdict = await expectNothingFailed(await surviving('healthy', async () => undefined));
      expect(verdict.messages.outcomes).toEqual({ acked: verdict.messages.published });
      expect(verdict.duplicates.extraReceipts).toBe(0);
    });

    async function surviveOutage(channel: Name, plan: Omit<OutagePlan, 'channel' | 'forMs'>): Promise<void> {
      const traffic = await surviving(channel, async () => {
        await system.rig.platform.scheduleOutage({ ...plan, channel, forMs: OUTAGE_MS });
        await Promise.all([stopped(channel), delay(OUTAGE_MS)]);
      });
      await open(channel);
      await expectNothingFailed(traffic);
    }

    test('that swallows or resets requests fails nothing', async () => {
      await Promise.all([
        surviveOutage('black_hole', { kind: 'black_hole' }),
        surviveOutage('resets', { kind: 'reset' }),
      ]);
    });

    test('that answers 503, whether or not it says that it did nothing, fails nothing', async () => {
      await Promise.all([
        surviveOutage('errors', { kind: 'server_error' }),
        surviveOutage('definite_errors', { kind: 'server_error', definite: true }),
      ]);
    });

    /** What it refused was not accepted: nothing is sent twice. */
    async function surviveRefusals(channel: Name, knobs: object, remedy: object): Promise<void> {
      const traffic = await surviving(channel, async () => {
        await system.channelKnobs(channel, knobs);
        system.count(`refusals of ${channel}`);
        await Promise.all([stopped(channel), delay(OUTAGE_MS)]);
        await system.channelKnobs(channel, remedy);
      });
      await open(channel);
      const verdict = await expectNothingFailed(traffic);
      expect(verdict.duplicates.extraReceipts).toBe(0);
    }

    test('that refuses a revoked token, or everything with 429, fails nothing', async () => {
      const faults = (fault: object | null) => ({ message: { send: { faults: { too_many: fault } } } });
      const storm = { kind: 'refuse', probability: 1, status: 429 };
      const scoped = { ...storm, scope: 'channel', retryAfterMs: 300, retryAfterIn: 'both' };
      const bare = { ...storm, bare: true, retryAfterIn: 'none' };
      await Promise.all([
        surviveRefusals('revoked', { revoked: true }, { revoked: false }),
        surviveRefusals('too_many', faults(scoped), faults(null)),
        surviveRefusals('too_many_bare', faults(bare), faults(null)),
      ]);
    });

    async function surviveRefusedWebhooks(channel: Name): Promise<void> {
      const nobody = `http://127.0.0.1:${await freePort()}/`;
      const traffic = await surviving(channel, async () => {
        await system.channelKnobs(channel, { webhook: { urls: [nobody] } });
        system.count('webhooks refused');
        await Promise.all([withoutAcks(channel), delay(OUTAGE_MS)]);
        await system.channelKnobs(channel, {
          webhook: { urls: [`${system.rig.engine.url}/v1/webhooks/default/${channel}`] },
        });
      });
      await open(channel);
      await traffic.expectClean({ ackTimeoutMs: GAP_MS });
      expect(await traffic.deadLetters()).toEqual([]);
      await everyAckArrives(traffic);
    }

    async function surviveHeldWebhooks(channel: Name): Promise<void> {
      const traffic = await surviving(channel, async () => {
        await controlled('webhooks/hold', { channel });
        system.count('webhooks held back');
        await delay(OUTAGE_MS);
        await controlled('webhooks/flush', { channel });
      });
      const verdict = await expectNothingFailed(traffic);
      expect(verdict.duplicates.extraReceipts).toBe(0);
      await everyAckArrives(traffic);
    }

    async function everyAckArrives(traffic: Traffic): Promise<void> {
      await system.eventually(`every message of ${traffic.channel} is known to be delivered`, async () => {
        const levels = await traffic.levels();
        return levels.length === traffic.size && levels.every((level) => level === 'delivered');
      });
    }

    test('whose platform has ended the subscription goes on, says so, and is open again with the next acks', async () => {
      const channel = 'lost_subscription';
      const traffic = await surviving(channel, async () => {
        await controlled('webhooks/unsubscribe', { channel });
        system.count('a subscription ended');
        await Promise.all([withoutAcks(channel), delay(OUTAGE_MS)]);
        await controlled('webhooks/subscribe', { channel });
      });
      const after = system.traffic('after', { rooms: 5, messages: 2, channel });
      await after.publish();
      await after.untilDone();
      await open(channel);
      for (const one of [traffic, after]) {
        await one.expectClean({ ackTimeoutMs: GAP_MS });
        expect(await one.deadLetters()).toEqual([]);
      }
      expect((await system.rig.platform.stats()).webhooks.unsubscribed).toBeGreaterThan(20);
    });

    test('whose webhooks are refused, or held back to come all at once, goes on, says so, and loses no ack', async () => {
      await Promise.all([surviveRefusedWebhooks('refused_webhooks'), surviveHeldWebhooks('held_webhooks')]);
    });
  });
});
