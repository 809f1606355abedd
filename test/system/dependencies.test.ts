import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, LEASE_MS, type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

describe('When what it depends on goes away', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({ channels: { main: {}, longer: {}, idle: {}, intake: {}, streams: {}, storm: {} } });
  });

  beforeEach(() => system.ensureRunning());
  afterAll(() => system?.stop());

  describe('without Postgres', () => {
    test('everything waits, and goes on after each of two kills and restarts under load', async () => {
      const traffic = system.traffic('killed', { rooms: 50, messages: 12 });
      const published = traffic.publish(3_000);
      for (const share of [0.1, 0.5]) {
        await traffic.untilSettled(traffic.size * share);
        await system.killPostgres();
      }
      await published;
      await traffic.untilDone();
      await traffic.expectClean();
      expect(await traffic.deadLetters()).toEqual([]);
      expect(system.rig.engine.child?.running).toBe(true);
    });

    test('for longer than the lease, Roomline sends nothing, and takes its own rooms over afterwards', async () => {
      const traffic = system.traffic('longer', { rooms: 50, messages: 10, channel: 'longer' });
      const published = traffic.publish(2_000);
      await traffic.untilSettled(traffic.size * 0.3);
      const lives = () => system.logged('ownership.acquired').length;
      const before = lives();
      await system.killPostgres(async () => {
        await system.eventually('nothing is under way', async () => {
          const metrics = await system.rig.engine.metrics();
          return metrics.sum('roomline_open_sends', { channel: 'default/longer' }) === 0;
        });
        const sent = (await system.rig.platform.stats()).requests;
        await delay(2 * LEASE_MS);
        expect((await system.rig.platform.stats()).requests - sent, 'requests without a store').toBe(0);
      });
      await published;
      await traffic.untilDone();
      expect(lives()).toBeGreaterThan(before);
      await traffic.expectClean();
      expect(await traffic.deadLetters()).toEqual([]);
    });

    test('/readyz names it, a message over HTTP waits for it or is asked for again, and both recover', async () => {
      await system.untilReady();
      const message = { channel: 'idle', room: 'r', messageId: 'm', content: { text: 't' } };
      let publishing = Promise.resolve<Answer>({ status: 0, body: null });
      await system.killPostgres(async () => {
        await system.eventually('/readyz says so', async () => (await system.readiness()).away.includes('postgres'));
        expect((await system.call('GET', '/healthz')).status).toBe(200);
        const room = await system.call('GET', '/v1/rooms/idle/r');
        expect(room.body).toMatchObject({ retryable: true });
        expect(room.status).toBeGreaterThanOrEqual(500);
        publishing = system.call('POST', '/v1/messages', message);
      });
      await system.untilReady();
      expect(await publishing).toMatchObject({ status: 202, body: { duplicate: false, sequence: 1 } });
      const again = await system.call('POST', '/v1/messages', message);
      expect(again).toMatchObject({ status: 202, body: { duplicate: true, sequence: 1 } });
    });
  });

  describe('with a Pub/Sub that goes away and repeats itself', () => {
    const redelivered = async () => {
      const { subscriptions } = await system.rig.pubsub.stats();
      return subscriptions.reduce((sum, { redelivered: count }) => sum + count, 0);
    };

    test('intake goes on after kills, with what was not acknowledged, and /readyz names what is away', async () => {
      const traffic = system.traffic('intake', { rooms: 50, messages: 12, channel: 'intake' });
      const published = traffic.publish(3_000);
      await traffic.untilSettled(traffic.size * 0.1);
      await system.killPubSub();
      await traffic.untilSettled(traffic.size * 0.5);
      await system.killPubSub(async () => {
        await system.eventually('/readyz names it', async () => (await system.readiness()).away.includes('pubsub'));
      });
      await published;
      await system.untilReady();
      await traffic.untilDone();
      const verdict = await traffic.expectClean();
      expect(verdict.duplicates.extraReceipts).toBe(0);
      expect(await traffic.deadLetters()).toEqual([]);
    });

    test('lost streams delay messages, and change nothing else', async () => {
      const traffic = system.traffic('streams', { rooms: 50, messages: 10, channel: 'streams' });
      await system.rig.pubsub.setFaults({ redeliverOnStreamEnd: true, streamLossProbability: 0.05 });
      const published = traffic.publish(3_000);
      for (const share of [0.2, 0.4, 0.6, 0.8]) {
        await traffic.untilSettled(traffic.size * share);
        await system.rig.pubsub.loseStreams();
        system.count('Pub/Sub streams lost');
      }
      await published;
      await traffic.untilDone();
      await system.rig.pubsub.setFaults({ redeliverOnStreamEnd: false, streamLossProbability: 0 });
      const verdict = await traffic.expectClean();
      expect(verdict.duplicates.extraReceipts).toBe(0);
    });

    test('a storm of repeated messages adds none', async () => {
      const before = await redelivered();
      await system.rig.pubsub.setFaults({
        duplicateProbability: 0.5,
        publishAnswerLossProbability: 0.3,
        publishRefusalProbability: 0.2,
        deliveryDelayMaxMs: 200,
      });
      const traffic = system.traffic('storm', { rooms: 50, messages: 10, channel: 'storm' });
      await traffic.publish();
      await system.rig.untilDrained({ deadlineMs: TEST_TIMEOUT_MS });
      await traffic.untilDone();
      await system.rig.pubsub.setFaults({
        duplicateProbability: 0,
        publishAnswerLossProbability: 0,
        publishRefusalProbability: 0,
        deliveryDelayMaxMs: 0,
      });
      const repeated = (await redelivered()) - before;
      system.count('messages repeated by Pub/Sub', repeated);
      expect(repeated).toBeGreaterThan(traffic.size / 4);
      const verdict = await traffic.expectClean();
      expect(verdict.duplicates.extraReceipts).toBe(0);
      const metrics = await system.rig.engine.metrics();
      expect(metrics.sum('roomline_intake_duplicates_total', { source: 'pubsub' })).toBeGreaterThan(traffic.size / 4);
    });
  });
});
