/** Limits of callers on a real Redis: one account for all processes, owed and paid by its clock. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createSharedBudgets } from '../../../src/adapters/redis/shared-rates.ts';
import { Budget } from '../../../src/http/limits.ts';
import { describeRedis } from '../../support/describe-redis.ts';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import { Client } from './fixture.ts';

/** So slow that nothing is paid back while a test runs. */
const SLOW = { perSecond: 0.001, burst: 5 };

describeRedis('shared budgets', (program) => {
  let server: RedisServer;
  let one: Client;
  let two: Client;

  beforeAll(async () => {
    server = await startRedis(program);
    one = await new Client({ url: server.url }).untilUp();
    two = await new Client({ url: server.url }).untilUp();
  });
  afterAll(async () => {
    await one?.connection.close();
    await two?.connection.close();
    await server?.stop();
  });

  it('are one account for all processes', async () => {
    const [first, second] = [createSharedBudgets(one.connection), createSharedBudgets(two.connection)];
    expect(await first.spend('key/requests', SLOW, 4)).toMatchObject({ waitMs: 0 });
    expect(await second.spend('key/requests', SLOW, 1)).toMatchObject({ waitMs: 0 });
    const { waitMs, debt } = await first.spend('key/requests', SLOW, 1);
    expect(waitMs).toBeGreaterThan(900_000);
    expect(debt).toBeCloseTo(5, 1);
    expect(await first.spend('other/requests', SLOW, 1)).toMatchObject({ waitMs: 0 });
  });

  it('decide as a process by itself does', async () => {
    const shared = createSharedBudgets(one.connection);
    const own = new Budget(SLOW, () => 0);
    for (const cost of [1, 3, 20, 1, 1]) {
      const here = own.spend(cost);
      const there = await shared.spend('same', SLOW, cost);
      expect(there.waitMs > 0).toBe(here.waitMs > 0);
      expect(there.debt).toBeCloseTo(here.debt, 1);
    }
  });
});
