import { describe, expect, test } from 'vitest';
import type { SettingsPatch } from '../../../simulators/platform/settings.ts';
import { nextRecord, recordsOf, type Send, sendTo, startPlatform } from './support.ts';

/** Sends one after the other; gives the positions of the messages in the order in which the phone showed them. */
const shownOrder = async (settings: SettingsPatch, sends: Send[]) => {
  const platform = await startPlatform(settings);
  const send = sendTo(platform);
  for (const each of sends) expect((await send(each)).status).toBe(200);
  await platform.control.whenIdle();
  const shown = recordsOf(platform, 'shown');
  expect(shown.map(({ order }) => order)).toEqual(shown.map((_, index) => index + 1));
  return { platform, order: shown.map(({ m }) => m) };
};

describe('the phone', () => {
  test('shows messages as they arrive, so that close ones swap, and delivered follows the arrival (D1)', async () => {
    const settings: SettingsPatch = {
      message: { phone: { delayMs: 10 } },
      rules: [{ match: { nth: 1 }, message: { phone: { delayMs: 400 } } }],
    };
    const { platform, order } = await shownOrder(settings, [{}, {}]);
    expect(order).toEqual([2, 1]);
    const statuses = recordsOf(platform, 'status').filter(({ status }) => status === 'delivered');
    expect(statuses.map(({ m }) => m)).toEqual([2, 1]);
  });

  test('a message of its own delay: several seeds give several orders', async () => {
    const orders = new Set<string>();
    for (const seed of [1, 2, 3, 4]) {
      const platform = await startPlatform(
        { message: { phone: { delayMs: { kind: 'uniform', minMs: 20, maxMs: 150 } } } },
        { seed },
      );
      const send = sendTo(platform);
      await Promise.all(['a', 'b', 'c', 'd'].map((reference) => send({ reference })));
      await platform.control.whenIdle();
      const names = new Map(recordsOf(platform, 'receipt').map(({ m, reference }) => [m, reference]));
      orders.add(
        recordsOf(platform, 'shown')
          .map(({ m }) => names.get(m))
          .join(),
      );
    }
    expect(orders.size).toBeGreaterThan(1);
  });

  test.each<[string, unknown]>([
    ['media', { text: 'see', media: { url: 'x' } }],
    ['another type', { type: 'image' }],
    ['a long text', { text: 'x'.repeat(1_001) }],
  ])('%s arrives after a short text that followed it (D2)', async (_name, content) => {
    const settings: SettingsPatch = { message: { phone: { media: { extraDelayMs: 300 } } } };
    const { order } = await shownOrder(settings, [{ content }, { content: { text: 'short' } }]);
    expect(order).toEqual([2, 1]);
  });

  test('offline, it shows nothing until it is online again, then all in order (D3)', async () => {
    const platform = await startPlatform({ recipients: { '+1': { phone: { online: false } } } });
    const send = sendTo(platform);
    for (const _ of [1, 2]) await send({ to: '+1' });
    await send({ to: '+2' });
    const online = await nextRecordOrNow(platform, () => recordsOf(platform, 'shown').length === 1);
    expect(online).toBe(true);
    platform.control.change({ recipients: { '+1': { phone: { online: true } } } });
    expect(recordsOf(platform, 'shown').map(({ m, order }) => [m, order])).toEqual([
      [3, 1],
      [1, 1],
      [2, 2],
    ]);
  });

  test.each(['drop', 'fail'] as const)('offline for too long: %s', async (onExpiry) => {
    const platform = await startPlatform({ message: { phone: { online: false, offlineTtlMs: 30, onExpiry } } });
    await sendTo(platform)();
    await platform.control.whenIdle();
    const statuses = recordsOf(platform, 'status').map(({ status }) => status);
    expect(statuses).toEqual(onExpiry === 'drop' ? ['sent'] : ['sent', 'failed']);
    expect(recordsOf(platform, 'dropped')).toHaveLength(onExpiry === 'drop' ? 1 : 0);
    expect(recordsOf(platform, 'shown')).toHaveLength(0);
  });

  test('flapping, it shows everything in the end, in order', async () => {
    const settings: SettingsPatch = { message: { phone: { flapping: { onlineMs: 20, offlineMs: 30 } } } };
    const platform = await startPlatform(settings);
    const send = sendTo(platform);
    for (let n = 0; n < 20; n++) await send();
    const all = nextRecord(platform, (record) => record.t === 'shown' && record.m === 20);
    if (recordsOf(platform, 'shown').length < 20) await all;
    expect(recordsOf(platform, 'shown').map(({ m }) => m)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
    expect(platform.control.stats().faults.phone_offline).toBeGreaterThan(0);
  });

  test('a failure after acceptance is told and never shown (S11)', async () => {
    const settings: SettingsPatch = {
      message: { status: { failure: { probability: 1, delayMs: 0, code: 'blocked' } } },
    };
    const { platform, order } = await shownOrder(settings, [{}]);
    expect(order).toEqual([]);
    expect(recordsOf(platform, 'status').map(({ status }) => status)).toContain('failed');
    expect(platform.control.stats().faults.async_failure).toBe(1);
  });
});

const nextRecordOrNow = async (platform: Parameters<typeof nextRecord>[0], condition: () => boolean) => {
  if (!condition()) await nextRecord(platform, condition);
  return condition();
};
