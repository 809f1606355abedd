import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, expectClean, LEASE_MS, type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

describe('Without Postgres', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({ channels: { main: {}, longer: {}, idle: {} } });
  });

  beforeEach(() => system.ensureRunning());
  afterAll(() => system?.stop());

  test('everything waits, and goes on after each of two kills and restarts under load', async () => {
    const traffic = system.traffic('killed', { rooms: 50, messages: 12 });
    const published = traffic.publish(3_000);
    for (const share of [0.1, 0.5]) {
      await traffic.untilSettled(traffic.size * share);
      await system.killPostgres(0);
    }
    await published;
    await traffic.untilDone();
    const verdict = await traffic.verdict();
    expectClean(verdict);
    expect(await traffic.deadLetters()).toEqual([]);
    expect(system.rig.engine.child?.running).toBe(true);
  });

  test('for longer than the lease, Roomline sends nothing, and takes its own rooms over afterwards', async () => {
    const traffic = system.traffic('longer', { rooms: 50, messages: 10, channel: 'longer' });
    const published = traffic.publish(2_000);
    await traffic.untilSettled(traffic.size * 0.3);
    const lives = () => system.logged('ownership.acquired').length;
    const before = lives();
    let sent = 0;
    await system.killPostgres(2 * LEASE_MS, async () => {
      await system.eventually('nothing is under way', async () => {
        const metrics = await system.rig.engine.metrics();
        return metrics.sum('roomline_open_sends', { channel: 'default/longer' }) === 0;
      });
      sent = (await system.rig.platform.stats()).requests;
    });
    expect((await system.rig.platform.stats()).requests - sent, 'requests without a store').toBe(0);
    await published;
    await traffic.untilDone();
    expect(lives()).toBeGreaterThan(before);
    const verdict = await traffic.verdict();
    expectClean(verdict);
    expect(await traffic.deadLetters()).toEqual([]);
  });

  test('/readyz names it, a message over HTTP waits for it or is asked for again, and both recover', async () => {
    await system.untilReady();
    const message = { channel: 'idle', room: 'r', messageId: 'm', content: { text: 't' } };
    let publishing = Promise.resolve<Answer>({ status: 0, body: null });
    await system.killPostgres(0, async () => {
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
