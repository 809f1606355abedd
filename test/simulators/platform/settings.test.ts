import { describe, expect, test } from 'vitest';
import { obeyMarker, Resolver } from '../../../simulators/platform/resolve.ts';
import {
  changeSettings,
  defaultSettings,
  SettingsError,
  type SettingsPatch,
} from '../../../simulators/platform/settings.ts';

const change = (patch: unknown) => changeSettings(defaultSettings, patch as SettingsPatch);

describe('settings', () => {
  test.each<[string, unknown, RegExp]>([
    ['an unknown knob', { message: { send: { latency: 3 } } }, /message\/send: unknown knob "latency"/],
    ['an unknown group', { phones: {} }, /settings: unknown knob "phones"/],
    ['a negative delay', { message: { phone: { delayMs: -1 } } }, /message\/phone\/delayMs/],
    ['an unknown distribution', { message: { phone: { delayMs: { kind: 'gauss' } } } }, /message\/phone\/delayMs/],
    [
      'a p99 below the median',
      { message: { phone: { delayMs: { kind: 'lognormal', medianMs: 5, p99Ms: 1 } } } },
      /message\/phone\/delayMs: p99Ms must be >= medianMs/,
    ],
    [
      'a probability above 1',
      { message: { status: { late: { probability: 2 } } } },
      /status\/late\/probability: .*<= 1/,
    ],
    [
      'an unknown kind of fault',
      { message: { send: { faults: { x: { kind: 'explode', probability: 1 } } } } },
      /faults\/x.*unknown kind "explode"/,
    ],
    [
      'an unknown knob of a fault',
      { message: { send: { faults: { x: { kind: 'truncate', probability: 1, when: 'now' } } } } },
      /faults\/x: unknown knob "when"/,
    ],
    ['a bad overlay of a recipient', { recipients: { '+1': { phone: { on: true } } } }, /recipients\/\+1.*"on"/],
    ['a bad overlay of a rule', { rules: [{ match: {}, message: { send: 1 } }] }, /rules\/0\/message\/send/],
    ['an unknown match', { rules: [{ match: { room: 'a' }, message: {} }] }, /rules\/0\/match: unknown knob "room"/],
    ['a bad overlay of a channel', { channels: { a: { knobs: { limits: {} } } } }, /channels\/a\/knobs: .*"limits"/],
    ['a batch from large to small', { channel: { webhooks: { batch: { minSize: 9, maxSize: 3 } } } }, /maxSize/],
    ['no object', 7, /must be an object/],
  ])('refuse %s', (_name, patch, message) => {
    expect(() => change(patch)).toThrow(SettingsError);
    expect(() => change(patch)).toThrow(message);
  });

  test('a change leaves the former settings as they were, and null removes an entry', () => {
    const before = structuredClone(defaultSettings);
    const once = change({ channels: { a: { token: 't' } }, message: { phone: { online: false } } });
    expect(defaultSettings).toEqual(before);
    expect(once.message.phone.online).toBe(false);
    expect(once.message.phone.offlineTtlMs).toBe(defaultSettings.message.phone.offlineTtlMs);
    expect(changeSettings(once, { channels: { a: null } }).channels).toEqual({ default: {} });
  });

  test('a delay is replaced as a whole', () => {
    const settings = change({ message: { phone: { delayMs: { kind: 'uniform', minMs: 1, maxMs: 2 } } } });
    expect(settings.message.phone.delayMs).toEqual({ kind: 'uniform', minMs: 1, maxMs: 2 });
  });

  test('two channels without a token, or with the same one, are refused', () => {
    expect(() => new Resolver(change({ channels: { b: {} } }))).toThrow(/only one can go without a token/);
    expect(() => new Resolver(change({ channels: { a: { token: 't' }, b: { token: 't' } } }))).toThrow(/already used/);
  });
});

describe('markers', () => {
  test('lay their knobs over the others', () => {
    const text = 'Hello @@{"send":{"acceptedAt":false}}@@ world';
    expect(obeyMarker(defaultSettings.message, text).send.acceptedAt).toBe(false);
    expect(obeyMarker(defaultSettings.message, 'Hello')).toBe(defaultSettings.message);
  });

  test.each(['@@{"send":{"nope":1}}@@', '@@{"send":}@@', '@@{"send":{}}'])('%s is refused', (text) => {
    expect(() => obeyMarker(defaultSettings.message, text)).toThrow(SettingsError);
  });
});
