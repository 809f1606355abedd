import { describe, expect, test } from 'vitest';
import { recordsOf, sendTo, startPlatform } from './support.ts';

describe('outages (S14)', () => {
  test('refuse: the port is closed and open connections are cut, then it listens again', async () => {
    const platform = await startPlatform();
    const send = sendTo(platform);
    await send();
    platform.control.scheduleOutage({ kind: 'refuse' });
    expect((await send()).error).toMatch(/ECONNREFUSED|ECONNRESET|UND_ERR_SOCKET/);
    expect((await send()).error).toBe('ECONNREFUSED');
    platform.control.endOutages();
    expect((await send()).status).toBe(200);
    expect(platform.control.stats()).toMatchObject({ accepted: 2, faults: { outage_refuse: 1 } });
    expect(recordsOf(platform, 'event').map(({ event }) => event)).toEqual(['outage_started', 'outage_ended']);
  });

  test('reset and server_error of one channel leave the other alone', async () => {
    const platform = await startPlatform({ channels: { default: null, a: { token: 'a' }, b: { token: 'b' } } });
    const send = sendTo(platform);
    platform.control.scheduleOutage({ kind: 'reset', channel: 'a' });
    expect((await send({ token: 'a' })).error).toMatch(/ECONNRESET|UND_ERR_SOCKET/);
    expect((await send({ token: 'b' })).status).toBe(200);
    platform.control.endOutages();
    platform.control.scheduleOutage({ kind: 'server_error', channel: 'a', status: 502 });
    expect((await send({ token: 'a' })).status).toBe(502);
    platform.control.endOutages();
    platform.control.scheduleOutage({ kind: 'server_error', channel: 'a', definite: true });
    const definite = await send({ token: 'a' });
    expect(definite).toMatchObject({ status: 503, body: { error: { processed: false, scope: 'channel' } } });
    expect(recordsOf(platform, 'receipt').map(({ decision }) => decision)).toEqual([
      'dropped',
      'accepted',
      'refused',
      'refused',
    ]);
    expect(recordsOf(platform, 'answer').map(({ unknownOutcome }) => unknownOutcome)).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });

  test('black_hole: no answer, nothing received, and cut at the end', async () => {
    const platform = await startPlatform();
    const send = sendTo(platform);
    platform.control.scheduleOutage({ kind: 'black_hole', forMs: 80 });
    const answer = await send();
    expect(answer.error).toMatch(/ECONNRESET|UND_ERR_SOCKET/);
    expect(answer.tookMs).toBeGreaterThan(50);
    expect((await send()).status).toBe(200);
    expect(recordsOf(platform, 'receipt')).toHaveLength(1);
    expect(platform.control.stats().faults.swallowed).toBe(1);
  });

  test('crawl: everything works, slowly; a scheduled outage begins later', async () => {
    const platform = await startPlatform();
    const send = sendTo(platform);
    platform.control.scheduleOutage({ kind: 'crawl', crawlMs: 60, inMs: 50 });
    expect(platform.control.outages()).toEqual([]);
    await expect.poll(() => platform.control.outages()).toMatchObject([{ kind: 'crawl' }]);
    const slow = await send();
    expect(slow.status).toBe(200);
    expect(slow.tookMs).toBeGreaterThanOrEqual(58);
  });

  test.each<[object, RegExp]>([
    [{ kind: 'flood' }, /kind/],
    [{ kind: 'reset', until: 3 }, /"until"/],
    [{ kind: 'refuse', channel: 'default' }, /only the whole platform/],
    [{ kind: 'reset', channel: 'nobody' }, /unknown channel "nobody"/],
    [{ kind: 'reset', forMs: 0 }, /forMs/],
  ])('%j is refused', async (plan, message) => {
    const platform = await startPlatform();
    expect(() => platform.control.scheduleOutage(plan as never)).toThrow(message);
    expect(platform.control.outages()).toEqual([]);
  });
});

describe('connections (S16)', () => {
  test('are closed by the server when a share of answers says so', async () => {
    const platform = await startPlatform({ http: { closeProbability: 1 } });
    const send = sendTo(platform);
    const answers = [await send(), await send()];
    expect(answers.map(({ headers }) => headers.connection)).toEqual(['close', 'close']);
    expect(recordsOf(platform, 'receipt').map(({ conn }) => conn)).toEqual([1, 2]);
    expect(recordsOf(platform, 'doubt')).toEqual([]);
  });

  test('serve so many requests each', async () => {
    const platform = await startPlatform({ http: { maxRequestsPerConnection: 2 } });
    const send = sendTo(platform);
    for (let n = 0; n < 8; n++) expect((await send()).status).toBe(200);
    const connections = recordsOf(platform, 'receipt').map(({ conn }) => conn);
    for (const conn of connections) expect(connections.filter((each) => each === conn).length).toBeLessThanOrEqual(2);
  });

  test('above their greatest number are refused', async () => {
    const platform = await startPlatform({ http: { maxConnections: 1 }, message: { send: { responseDelayMs: 150 } } });
    const send = sendTo(platform);
    const answers = await Promise.all([send(), send()]);
    expect(answers.map(({ status }) => status).sort()).toEqual([0, 200]);
  });
});
