/** Development mode on real parts: a reset under load, after which everything works as on an empty database. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DATABASE } from '../../simulators/rig/database.ts';
import { type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

const ROOMS = 50;
/** No lease ends here but by the reset. */
const OWNERSHIP = { leaseMs: 10_000, renewEveryMs: 1_000, sweepEveryMs: 1_000, stallLimitMs: 600_000 };

describe('Development mode', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({ development: true, settings: { ownership: OWNERSHIP } });
  });
  afterAll(() => system?.stop());

  const publish = async (name: string, each: number) => {
    const messages = Array.from({ length: ROOMS * each }, (_, index) => ({
      channel: 'main',
      room: `room-${index % ROOMS}`,
      messageId: `${name}-${index}`,
      content: { text: name },
    }));
    const { status, body } = await system.call('POST', '/v1/messages:batch', { messages });
    expect({ status, refused: body.refused }).toEqual({ status: 202, refused: 0 });
    return (body.results as { sequence: number }[]).map(({ sequence }) => sequence);
  };
  const count = async (table: string, where = 'true'): Promise<number> => {
    const [row] = await system.query<{ rows: number }>(`SELECT count(*)::integer AS rows FROM ${table} WHERE ${where}`);
    return row?.rows ?? 0;
  };

  test('is on, with the platform at hand', async () => {
    expect((await system.call('GET', '/v1/development')).body).toEqual({
      enabled: true,
      database: DATABASE,
      platform: true,
    });
    const { status, body } = await system.call('PATCH', '/v1/development/platform', { knobs: { ackLoss: 0.01 } });
    expect(status).toBe(200);
    expect(body.channels).toContainEqual({ channel: 'main', knobs: expect.objectContaining({ ackLoss: 0.01 }) });
  });

  test('empties the database while messages are on their way, and goes on', async () => {
    await publish('before', 20);
    await system.eventually('some are settled', async () => (await count('history')) > ROOMS);
    expect((await system.call('POST', '/v1/development/reset', { database: 'another' })).status).toBe(409);
    expect((await system.call('POST', '/v1/development/reset', { database: DATABASE })).status).toBe(200);
    expect((await count('messages')) + (await count('history'))).toBe(0);

    // Rooms of the same names begin anew.
    const sequences = await publish('after', 2);
    expect(new Set(sequences)).toEqual(new Set([1, 2]));
    await system.eventually('all of these are settled', async () => {
      const settled = await count('history', `message_id LIKE 'after-%'`);
      return settled === 2 * ROOMS;
    });
    expect(await count('messages')).toBe(0);
    expect(await count('history', `message_id LIKE 'before-%'`)).toBe(0);
    expect((await system.call('GET', '/v1/ops/audit')).body.entries).toMatchObject([{ action: 'database.reset' }]);
    await system.untilReady();
  });
});
