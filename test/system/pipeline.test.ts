/** Where messages are, as a running Roomline answers: every answer about one room is of the same story. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

const ACK_TIMEOUT_MS = 4_000;

interface Point {
  readonly totals: Readonly<Record<string, number>>;
  readonly latencies: { readonly acceptToSettled: { readonly p99: number | null } };
}

describe('Where messages are', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({ channels: { main: { ackTimeoutMs: ACK_TIMEOUT_MS } } });
  });

  afterAll(() => system?.stop());

  const get = async (path: string) => (await system.call('GET', path)).body;

  test('a room that waits for an ack shows in all answers, each of its moment', async () => {
    await system.channelKnobs('main', { message: { status: { loseAllProbability: 1 } } });
    const traffic = system.traffic('pipeline', { rooms: 1, messages: 2 });
    const { body: first } = await system.call('POST', '/v1/messages', traffic.message(1, 1));
    await system.call('POST', '/v1/messages', traffic.message(1, 2));
    const url = `/v1/rooms/main/${traffic.room(1)}`;
    const room = await system.eventually('the room waits for its ack', async () => {
      const view = await get(url);
      return view.phase === 'awaiting_ack' && view.head === 1 && view;
    });
    expect(room.explanation).toMatch(/^message 1 was accepted and waits up to .* for its ack/);

    const message = await get(first.status);
    expect(message).toMatchObject({ sequence: 1, state: 'waiting', attempts: [{ result: 'accepted' }] });
    const { messages } = await get(`${url}/timeline?order=oldest`);
    expect(messages).toMatchObject([
      {
        sequence: 1,
        outcome: null,
        events: [{ event: 'accepted' }, { event: 'attempt_begun' }, { event: 'attempt_ended', result: 'accepted' }],
      },
      { sequence: 2, outcome: null, events: [{ event: 'accepted' }] },
    ]);

    const counted = await system.eventually('it is counted', async () => {
      const view = await get('/v1/pipeline');
      return view.complete && view.asOf > room.asOf && view;
    });
    expect(counted).toMatchObject({
      complete: true,
      stages: { awaitingAck: { rooms: 1, messages: 1 }, waiting: { rooms: 0, messages: 1 } },
      lastMinute: { accepted: 2, settled: 0 },
      channels: [{ channel: 'main', stages: { awaitingAck: { rooms: 1 } } }],
    });
    const listed = await system.eventually('it is listed', async () => {
      const view = await get('/v1/rooms?channel=main&phase=awaiting_ack');
      return view.rooms.length === 1 && view;
    });
    expect(listed.rooms[0]).toMatchObject({ room: traffic.room(1), since: room.since, head: 1, tail: 2 });
    expect(listed.asOf - room.since).toBeGreaterThan(2_000);
    expect(listed.asOf - room.since).toBeLessThan(ACK_TIMEOUT_MS);

    // In the order in which they were asked for.
    const times = [message.acceptedAt, room.since, room.asOf, message.asOf, counted.asOf, listed.asOf];
    expect(times.toSorted((a, b) => a - b)).toEqual(times);
  });

  test('what has settled leaves them, and stays in the timeline and, after a stop at the latest, in the charts', async () => {
    await system.eventually('everything has settled', async () => {
      const view = await get('/v1/pipeline');
      return view.lastMinute.settled === 2 && view.stages.awaitingAck.rooms === 0;
    });
    await system.eventually('nothing is listed', async () => (await get('/v1/rooms?channel=main')).rooms.length === 0);
    const traffic = system.traffic('pipeline', { rooms: 1, messages: 2 });
    const { messages } = await get(`/v1/rooms/main/${traffic.room(1)}/timeline`);
    expect(messages.map(({ sequence }: { sequence: number }) => sequence)).toEqual([2, 1]);
    for (const { id, outcome, events } of messages) {
      const { settledAt: at } = await get(`/v1/messages/${id}`);
      expect(outcome).toBe('assumed');
      expect(events.at(-1)).toEqual({ at, event: 'settled', outcome, reason: 'ack_timeout' });
    }
    await system.rig.engine.stop();
    await system.rig.engine.start();
    await system.untilReady();
    const { points } = await get('/v1/charts?channel=main');
    const sum = (total: string): number =>
      points.reduce((all: number, point: Point) => all + (point.totals[total] ?? 0), 0);
    expect(['accepted', 'attempts', 'assumed', 'timeouts', 'acked'].map(sum)).toEqual([2, 2, 2, 2, 0]);
    const slowest = Math.max(...points.map((point: Point) => point.latencies.acceptToSettled.p99 ?? 0));
    expect(slowest).toBeGreaterThan(ACK_TIMEOUT_MS);
    expect(slowest).toBeLessThan(4 * ACK_TIMEOUT_MS);
  });
});
