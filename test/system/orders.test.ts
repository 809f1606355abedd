/** A publisher's own order through a whole system: shuffled, with numbers that come late or never, and a killed holder. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

const ROOMS = 12;
/** Longer than it takes to park a few messages and to kill their holder, on a busy machine. */
const GAP_MS = 15_000;
/** Clocks of a worker and of the database. */
const MARGIN_MS = 100;

describe("A publisher's own order", { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({
      channels: { closed: { orderGapTimeoutMs: 3_600_000 }, given: { orderGapTimeoutMs: GAP_MS } },
    });
  });

  afterAll(() => system?.stop());

  test('is kept whatever comes first, and gaps end as they should although their holder is killed', async () => {
    const closed = system.traffic('closed', { rooms: ROOMS, messages: 6, channel: 'closed', ordered: true });
    const given = system.traffic('given', { rooms: ROOMS, messages: 4, channel: 'given', ordered: true });
    for (const index of [2, 4, 1, 3]) await closed.publishWave(index);
    await given.publishWave(1);
    await closed.untilSettled(4 * ROOMS);
    for (const index of [3, 4]) await given.publishWave(index);
    await closed.publishWave(6);
    await system.eventually('one of each room is parked', async () => (await parked('closed')) === ROOMS);
    await system.killEngine();
    await system.rig.engine.start();

    // What the killed process parked goes on with what closes its gap at the next one.
    await closed.publishWave(5);
    await closed.untilDone();
    await closed.expectClean();

    await given.untilSettled(3 * ROOMS);
    expect(await parked('given')).toBe(0);
    expect(await shortestWait()).toBeGreaterThanOrEqual(GAP_MS - MARGIN_MS);
    await given.publishWave(2, true);
    await given.untilDone();
    await given.expectClean();
    const late = await system.query<{ sequence: number }>('SELECT sequence FROM history WHERE late_order');
    expect(late.map(({ sequence }) => Number(sequence))).toEqual(Array(ROOMS).fill(4));
    expect(await system.query('SELECT FROM skipped_orders')).toHaveLength(ROOMS);
  });

  async function parked(channel: string): Promise<number> {
    const [row] = await system.query<{ count: number }>(
      `SELECT count(*)::integer AS count
       FROM parked p JOIN rooms r ON r.shard = p.shard AND r.id = p.room_id WHERE r.channel = $1`,
      [channel],
    );
    return row?.count ?? 0;
  }

  /** How long the first message behind a gap that was given up waited for its first attempt, in ms. */
  async function shortestWait(): Promise<number> {
    const [row] = await system.query<{ ms: number }>(
      `SELECT min((h.attempts -> 0 ->> 'begunAt')::double precision - h.accepted_at) AS ms
       FROM history h JOIN skipped_orders s
         ON s.shard = h.shard AND s.room_id = h.room_id AND s.last = h.order_number - 1`,
    );
    return row?.ms ?? 0;
  }
});
