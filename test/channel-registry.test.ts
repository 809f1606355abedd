/** What processes make of the channels that operators configure: at once where it was said, and elsewhere soon. */
import { describe, expect, it } from 'vitest';
import type { ChannelSettingsStore } from '../src/engine/operator-ports.ts';
import {
  Fleet,
  IN_FILE,
  LoudSignals,
  OPERATOR,
  type RegistryOptions,
  SALES,
  settingsOf,
} from './support/channel-admin.ts';
import { settled } from './support/engine.ts';

const NO_CONDITION = { kind: 'none' } as const;
const POLL_MS = 2_000;

async function started(fleet: Fleet, options?: RegistryOptions) {
  const member = await fleet.start(options);
  const { following } = member.registry;
  await following.start();
  await settled();
  const put = (wishes?: Readonly<Record<string, unknown>>) =>
    member.registry.put(SALES, settingsOf(wishes), NO_CONDITION, OPERATOR);
  const tokenOf = () => member.made.findLast(({ client }) => client === member.registry.platform(SALES));
  const loggedOf = (event: string) => member.process.logged.filter((line) => line.event === event);
  return { ...member, following, put, token: () => tokenOf()?.config.accessToken.reveal() ?? null, loggedOf };
}

describe('a channel that is put', () => {
  it('works at once where it was put, and elsewhere after a poll', async () => {
    const fleet = new Fleet();
    const a = await started(fleet);
    const b = await started(fleet);
    await a.put();
    expect(a.token()).toBe('the-first-token');
    expect(a.process.engine.channels.get(SALES)?.condition).toEqual({ state: 'open' });
    expect(b.registry.platform(SALES)).toBeNull();
    await fleet.bed.time.advance(POLL_MS);
    expect(b.token()).toBe('the-first-token');
    await a.put({ accessToken: { env: 'CHANNEL_SECRET_OTHER_TOKEN' }, ackTimeoutMs: 777 });
    expect(a.token()).toBe('another-token');
    expect(b.token()).toBe('the-first-token');
    await fleet.bed.time.advance(POLL_MS);
    expect(b.token()).toBe('another-token');
    expect(b.process.engine.channels.get(SALES)?.settings.policy.ackTimeoutMs).toBe(777);
    await a.registry.remove(SALES, NO_CONDITION, { force: false }, OPERATOR);
    expect(a.process.engine.channels.get(SALES)).toBeNull();
    await fleet.bed.time.advance(POLL_MS);
    expect(b.registry.platform(SALES)).toBeNull();
    expect(b.process.engine.channels.get(SALES)).toBeNull();
  });

  it('works elsewhere at once where signals travel', async () => {
    const fleet = new Fleet();
    const signals = new LoudSignals();
    const a = await started(fleet, { signals });
    const b = await started(fleet, { signals });
    await a.put();
    await settled();
    expect(b.token()).toBe('the-first-token');
  });

  it('is there after a restart', async () => {
    const fleet = new Fleet();
    const a = await started(fleet);
    await a.put();
    const b = await fleet.start();
    expect(b.registry.platform(SALES)).not.toBeNull();
    expect(b.process.engine.channels.get(SALES)).not.toBeNull();
  });

  it('can have an X that adapts, which is shown, as it is at present', async () => {
    const fleet = new Fleet();
    const a = await started(fleet);
    await a.put({ ackTimeoutMs: 7_000 });
    const settings = () => a.process.engine.channels.get(SALES)?.settings.adaptiveAckTimeout;
    expect(settings()).toBeUndefined();
    await a.put({ ackTimeoutMs: 8_000, ackTimeout: { mode: 'adaptive', floorMs: 250, quantile: 0.95 } });
    expect(settings()).toMatchObject({ floorMs: 250, quantile: 0.95 });
    expect(await a.registry.find(SALES)).toMatchObject({
      ackTimeoutMs: 8_000,
      effective: { ackTimeout: { mode: 'adaptive', floorMs: 250, factor: 1.1 } },
    });
    await expect(a.put({ ackTimeoutMs: 249, ackTimeout: { mode: 'adaptive', floorMs: 250 } })).rejects.toMatchObject({
      code: 'channel_settings_invalid',
      faults: [{ path: 'ackTimeout.floorMs', code: 'rule_broken' }],
    });
  });

  it('is read at once by a process that is asked about it', async () => {
    const fleet = new Fleet();
    const a = await started(fleet);
    const b = await started(fleet);
    await a.put();
    expect(await b.registry.find(SALES)).toMatchObject({ source: 'api', revision: 1, updatedBy: 'operate' });
    expect(b.token()).toBe('the-first-token');
  });

  it('is sought in the store before anybody is told that there is none', async () => {
    const fleet = new Fleet();
    const a = await started(fleet);
    const b = await started(fleet);
    expect(await b.registry.seek(SALES)).toBe('absent');
    await a.put();
    expect(await b.registry.seek(SALES)).toBe('usable');
    expect(b.token()).toBe('the-first-token');
    await a.registry.remove(SALES, NO_CONDITION, { force: false }, OPERATOR);
    expect(await b.registry.seek(SALES)).toBe('absent');
  });

  it('does not wait for the store to look at it: what is known is shown while that is away', async () => {
    const fleet = new Fleet();
    const a = await started(fleet);
    await a.put();
    const store = fleet.stores.settings as { -readonly [K in keyof ChannelSettingsStore]: ChannelSettingsStore[K] };
    store.revision = () => Promise.reject(new Error('away'));
    expect((await a.registry.list()).map(({ channel }) => channel)).toEqual(['sales', 'support']);
    await fleet.bed.time.advance(10 * POLL_MS);
    expect(a.token()).toBe('the-first-token');
    await expect(a.put({ ackTimeoutMs: 1 })).rejects.toThrow('away');
    expect(a.process.failures).toEqual([]);
  });

  it('keeps the client that was replaced until nobody can have it in hand, and closes all in the end', async () => {
    const fleet = new Fleet();
    const a = await started(fleet);
    const { clients } = a.registry;
    await clients.start();
    await a.put();
    await a.put({ ackTimeoutMs: 1_234 });
    const [, first, second] = a.made;
    await fleet.bed.time.advance(600_000);
    expect(first?.closed).toBe(false);
    await fleet.bed.time.advance(60_000);
    expect([first?.closed, second?.closed]).toEqual([true, false]);
    await a.put({ ackTimeoutMs: 1_235 });
    await a.following.stop();
    await clients.stop();
    expect(a.made.map(({ closed }) => closed)).toEqual([true, true, true, true]);
  });
});

describe('two processes that change one channel at once', () => {
  it('change it one after the other; of two that expect the same revision one is refused', async () => {
    const fleet = new Fleet();
    const a = await started(fleet);
    const b = await started(fleet);
    await a.put();
    const only = { kind: 'revision', revision: 1 } as const;
    const answers = await Promise.allSettled([
      a.registry.put(SALES, settingsOf({ ackTimeoutMs: 1_001 }), only, OPERATOR),
      b.registry.put(SALES, settingsOf({ ackTimeoutMs: 1_002 }), only, OPERATOR),
    ]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(answers.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'revision_mismatch' },
    });
    await Promise.all([a.put({ ackTimeoutMs: 1_003 }), b.put({ ackTimeoutMs: 1_004 })]);
    const { revision, channels } = await fleet.stores.settings.load();
    expect(revision).toBe(4);
    expect(channels).toHaveLength(1);
    expect(await fleet.stores.audit.list({ before: null, limit: 10, subject: null })).toHaveLength(4);
  });
});

describe('a process that cannot use what is stored', () => {
  it('goes on with what it had, tells why, and takes it as soon as it can', async () => {
    const fleet = new Fleet();
    const a = await started(fleet);
    const b = await started(fleet, { env: { CHANNEL_SECRET_OTHER_TOKEN: undefined } });
    await a.put();
    await fleet.bed.time.advance(POLL_MS);
    await a.put({ accessToken: { env: 'CHANNEL_SECRET_OTHER_TOKEN' } });
    await fleet.bed.time.advance(5 * POLL_MS);
    expect(b.token()).toBe('the-first-token');
    const told = { code: 'secret_unresolved', path: 'accessToken' };
    const shown = await b.registry.find(SALES);
    expect(shown).toMatchObject({ state: 'open', revision: 2, faults: [told], effective: { accessToken: '[secret]' } });
    expect(b.loggedOf('channel.settings_refused')).toMatchObject([
      { fields: { channel: 'default/sales', code: 'secret_unresolved', field: 'accessToken' } },
    ]);
    b.env.CHANNEL_SECRET_OTHER_TOKEN = 'it-has-come';
    await fleet.bed.time.advance(POLL_MS);
    expect(b.token()).toBe('it-has-come');
    expect(await b.registry.find(SALES)).toMatchObject({ faults: [] });
  });

  it('has no such channel where it had none: it is shown as not configured', async () => {
    const fleet = new Fleet();
    const a = await started(fleet);
    const b = await started(fleet, { env: { CHANNEL_SECRET_TOKEN: undefined } });
    await a.put();
    await fleet.bed.time.advance(POLL_MS);
    expect(b.registry.platform(SALES)).toBeNull();
    expect(await b.registry.find(SALES)).toMatchObject({
      state: 'stopped',
      reason: 'channel_not_configured',
      ackTimeoutMs: null,
      effective: null,
      faults: [{ path: 'accessToken', code: 'secret_unresolved' }],
    });
  });
});

describe('a file that names a channel of the store', () => {
  it('goes before it, which the log says once', async () => {
    const fleet = new Fleet();
    const a = await started(fleet, { channels: {} });
    await a.registry.put(IN_FILE, settingsOf(), NO_CONDITION, OPERATOR);
    const b = await started(fleet);
    await a.registry.put(IN_FILE, settingsOf({ ackTimeoutMs: 5 }), NO_CONDITION, OPERATOR);
    await fleet.bed.time.advance(2 * POLL_MS);
    expect(await b.registry.find(IN_FILE)).toMatchObject({ source: 'file', effective: { accessToken: '[secret]' } });
    expect(b.loggedOf('channel.shadowed')).toMatchObject([{ fields: { channel: 'default/support' } }]);
  });
});
