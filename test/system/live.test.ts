/** The live feed of a fleet of real processes: a reader at one hears of every message, whichever process settles it. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet } from '../../simulators/cluster/fleet.ts';
import { findRedis } from '../../simulators/rig/redis.ts';
import { type LiveSettlement, type LiveTotals, RoomlineClient } from '../../src/client/client.ts';
import { QUICK_PLATFORM, SETTINGS, TEST_TIMEOUT_MS } from '../support/system.ts';

const ROOMS = 40;
const MESSAGES = 5;

describe.each(findRedis() === null ? [] : ['over Redis'])('A fleet, %s', () => {
  let directory: string;
  let fleet: Fleet;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'roomline-live-'));
    // As root, Postgres runs under another account, which must be able to enter.
    chmodSync(directory, 0o755);
    fleet = await Fleet.start({
      directory,
      seed: 1,
      nodes: [
        { name: 'worker-1', roles: ['worker', 'webhook'] },
        { name: 'worker-2', roles: ['worker'] },
        { name: 'front-1', roles: ['intake', 'api'] },
      ],
      channels: { main: {}, other: {} },
      settings: SETTINGS,
      platform: [QUICK_PLATFORM],
    });
  }, TEST_TIMEOUT_MS);

  afterAll(async () => {
    await fleet?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const clientOf = (node: string): RoomlineClient =>
    new RoomlineClient({ url: fleet.node(node).process.url, key: fleet.rig.apiKey });

  test('tells of each message once, by its id, and counts all of them', { timeout: TEST_TIMEOUT_MS }, async () => {
    const client = clientOf('front-1');
    const deadline = AbortSignal.timeout(60_000);
    const messages = Array.from({ length: ROOMS * MESSAGES }, (_, index) => ({
      channel: 'main',
      room: `live-${index % ROOMS}`,
      content: { text: `number ${index}` },
    }));
    const ids = new Set<string>();
    const settled: LiveSettlement[] = [];
    const totals: LiveTotals[] = [];
    let published: Promise<void> | null = null;
    const publish = async (): Promise<void> => {
      await client.publish({ channel: 'other', room: 'elsewhere', content: { text: 'not asked for' } });
      for await (const result of client.publishAll(messages))
        if ('accepted' in result) ids.add(result.accepted.id ?? '');
    };
    let last: LiveTotals | null = null;
    for await (const event of client.live({ channel: 'main' }, { signal: deadline })) {
      if (event.event === 'ready') expect(event.data.reach).toBe('fleet');
      if (event.event === 'dropped') throw new Error(`events are missing: ${JSON.stringify(event.data)}`);
      if (event.event === 'settled' || event.event === 'failed') settled.push(event.data);
      if (event.event !== 'totals') continue;
      // Once everybody is heard.
      if (event.data.complete && event.data.processes === 3 && event.data.intervalMs !== null) published ??= publish();
      if (published !== null) totals.push(event.data);
      last = event.data;
      if (settled.length === messages.length && sum(totals, 'acked') === messages.length) break;
    }
    await published;
    expect(settled.map(({ id }) => id).toSorted()).toEqual([...ids].toSorted());
    expect(ids.size).toBe(messages.length);
    expect(
      settled.every(({ channel, outcome, order }) => channel === 'main' && outcome === 'acked' && order === 'proven'),
    ).toBe(true);
    const inRoom = settled.filter(({ room }) => room === 'live-7').map(({ sequence }) => sequence);
    expect(inRoom.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5]);
    expect(sum(totals, 'accepted')).toBe(messages.length);
    expect(totals.reduce((all, { gapMs }) => all + gapMs.count, 0)).toBeGreaterThan(0);
    expect(last).toMatchObject({
      channels: [{ channel: 'main', state: 'open' }],
      stages: { waiting: { messages: 0 } },
    });
  });

  test('tells a reader that its process stops', { timeout: TEST_TIMEOUT_MS }, async () => {
    const events: string[] = [];
    const abort = new AbortController();
    let stopped: Promise<unknown> | null = null;
    for await (const event of clientOf('front-1').live({ events: 'failed' }, { signal: abort.signal })) {
      events.push(event.event);
      if (event.event === 'ready') stopped = fleet.node('front-1').process.stop();
      if (event.event === 'closing') {
        expect(event.data.reason).toBe('stopping');
        abort.abort();
      }
    }
    await stopped;
    expect(events).toEqual(['ready', 'closing']);
  });
});

function sum(totals: readonly LiveTotals[], total: keyof LiveTotals['counts']): number {
  return totals.reduce((all, { counts }) => all + counts[total], 0);
}
