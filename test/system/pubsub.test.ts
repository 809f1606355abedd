import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { expectClean, type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

describe('With a Pub/Sub that goes away and repeats itself', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({ channels: { main: {}, streams: {}, storm: {} } });
  });

  beforeEach(() => system.ensureRunning());
  afterAll(() => system?.stop());

  const redelivered = async () => {
    const { subscriptions } = await system.rig.pubsub.stats();
    return subscriptions.reduce((sum, { redelivered: count }) => sum + count, 0);
  };

  test('intake goes on after kills, with what was not acknowledged, and /readyz names what is away', async () => {
    const traffic = system.traffic('killed', { rooms: 50, messages: 12 });
    const published = traffic.publish(3_000);
    await traffic.untilSettled(traffic.size * 0.1);
    await system.killPubSub(500);
    await traffic.untilSettled(traffic.size * 0.5);
    await system.killPubSub(0, async () => {
      await system.eventually('/readyz names it', async () => (await system.readiness()).away.includes('pubsub'));
    });
    await published;
    await system.untilReady();
    await traffic.untilDone();
    const verdict = await traffic.verdict();
    expectClean(verdict);
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
    const verdict = await traffic.verdict();
    expectClean(verdict);
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
    const verdict = await traffic.verdict();
    expectClean(verdict);
    expect(verdict.duplicates.extraReceipts).toBe(0);
    const metrics = await system.rig.engine.metrics();
    expect(metrics.sum('roomline_intake_duplicates_total', { source: 'pubsub' })).toBeGreaterThan(traffic.size / 4);
  });
});
