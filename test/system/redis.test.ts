/** Roomline with a Redis that comes and goes: it is told of in the log, and nothing else depends on it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../simulators/free-port.ts';
import { findRedis, RedisServer } from '../support/redis.ts';
import { type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

const LIMIT = { perSecond: 100, burst: 10 };
const PASSWORD = 'redis-passw0rd';

describe('With a Redis configured', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;
  let port: number;

  beforeAll(async () => {
    port = await freePort();
    system = await startSystem({
      settings: {
        redis: { url: `redis://:${PASSWORD}@127.0.0.1:${port}` },
        channelDefaults: { channelLimit: LIMIT },
      },
      channels: { main: {}, killed: {} },
    });
  });

  afterAll(() => system?.stop());

  const told = (event: string) => system.logged(event).filter(({ dependency }) => dependency === 'redis');

  test('that is not there, it starts, is ready, keeps the limit and says so once', async () => {
    await system.untilReady();
    const traffic = system.traffic('away', { rooms: 50, messages: 4 });
    const begun = performance.now();
    await traffic.publish();
    await traffic.untilDone();
    expect(performance.now() - begun).toBeGreaterThan(((traffic.size - LIMIT.burst) * 1_000) / LIMIT.perSecond);
    await traffic.expectClean();
    expect(await system.readiness()).toEqual({ ready: true, away: [] });
    expect(told('dependency.lost')).toMatchObject([{ level: 'warn', code: 'ECONNREFUSED' }]);
    const metrics = await system.rig.engine.metrics();
    expect(metrics.sum('roomline_dependency_up', { dependency: 'redis' })).toBe(0);
    expect(metrics.sum('roomline_dependency_errors_total', { dependency: 'redis' })).toBeGreaterThan(1);
    expect(system.log()).not.toContain(PASSWORD);
  });

  const program = findRedis();
  test.each(program === null ? [] : [program])('that is killed under load, nobody stops', async (installed) => {
    const server = new RedisServer(installed, { requirepass: PASSWORD }, port);
    try {
      const backBefore = told('dependency.back').length;
      await server.start();
      await system.eventually('Redis is back', () => told('dependency.back').length > backBefore);
      const traffic = system.traffic('killed', { rooms: 50, messages: 12, channel: 'killed' });
      const published = traffic.publish(2_000);
      for (const share of [0.2, 0.5]) {
        await traffic.untilSettled(traffic.size * share);
        const lostBefore = told('dependency.lost').length;
        await server.kill();
        system.count('Redis killed');
        await system.eventually('the log says so', () => told('dependency.lost').length > lostBefore);
        await server.start();
      }
      await published;
      await traffic.untilDone();
      await traffic.expectClean();
      expect(await traffic.deadLetters()).toEqual([]);
      expect((await system.readiness()).ready).toBe(true);
    } finally {
      await server.stop();
    }
  });
});
