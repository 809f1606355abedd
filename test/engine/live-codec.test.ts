import { describe, expect, it } from 'vitest';
import { decodeBatch, decodeInterest, encodeBatch, encodeInterest } from '../../src/engine/live-codec.ts';
import type { Interest, LiveBatch, LivePart, Settlement } from '../../src/engine/live-ports.ts';
import { STAGES } from '../../src/engine/pipeline-ports.ts';

const zeros = STAGES.map(() => 0);
const PART: LivePart = {
  worker: 'w',
  asOf: 5,
  readAt: 6,
  shards: 4,
  intake: 1,
  openSends: 2,
  channels: [
    {
      tenant: 'default',
      channel: 'a',
      rooms: zeros,
      messages: zeros,
      permitQueue: 1,
      lastMinute: { accepted: 1, settled: 2, failed: 0 },
      totals: [1, 2],
      gaps: [3],
      condition: { state: 'slowed', reason: 'limit', until: 9, ackTimeoutMs: 5_000 },
    },
  ],
};
const SETTLEMENT: Settlement = {
  kind: 'failed',
  id: 'i',
  room: { tenant: 'default', channel: 'a', room: 'r "1"' },
  sequence: 3,
  messageId: null,
  outcome: 'failed',
  reason: 'refused',
  level: 'none',
  code: '5',
  attempts: 1,
  possiblyDelivered: false,
  late: false,
  at: 7,
};
const INTEREST: Interest = {
  totals: true,
  settlements: [{ kinds: ['failed'], tenants: ['t'], channel: 'c', room: null }],
};

describe('what processes tell each other of the live feed', () => {
  it.each([INTEREST, { totals: false, settlements: [] }, null])('reads as it was written: interest %#', (interest) => {
    expect(decodeInterest(encodeInterest('p', interest))).toEqual({ teller: 'p', interest });
  });

  it.each<LiveBatch>([
    { dropped: 0, settlements: [SETTLEMENT, { ...SETTLEMENT, kind: 'settled', outcome: 'acked' }] },
    { dropped: 3, settlements: [], part: null },
    { dropped: 0, settlements: [], part: PART },
    { dropped: 0, settlements: [], part: { ...PART, channels: [{ ...PART.channels[0], condition: null } as never] } },
  ])('reads as it was written: batch %#', (batch) => {
    expect(decodeBatch(encodeBatch('p', 8, batch))).toEqual({ teller: 'p', number: 8, batch });
  });

  const broken = (change: (value: Record<string, unknown>) => void, of: object): string => {
    const value = structuredClone(of) as Record<string, unknown>;
    change(value);
    return JSON.stringify(value);
  };

  it.each([
    ['no JSON', '{'],
    ['another form', JSON.stringify([2, 'p', INTEREST])],
    ['no process', JSON.stringify([1, 5, null])],
    ['no flag', JSON.stringify([1, 'p', { totals: 1, settlements: [] }])],
    [
      'an unknown kind',
      JSON.stringify([1, 'p', { totals: true, settlements: [{ ...INTEREST.settlements[0], kinds: ['x'] }] }]),
    ],
    [
      'no tenants',
      JSON.stringify([1, 'p', { totals: true, settlements: [{ ...INTEREST.settlements[0], tenants: 't' }] }]),
    ],
    ['an object', '{}'],
  ])('%s is no interest', (_name, text) => {
    expect(decodeInterest(text)).toBeNull();
  });

  it.each([
    ['no number', [1, 'p', -1, 0, []]],
    ['no count', [1, 'p', 1, 'x', []]],
    ['no list', [1, 'p', 1, 0, {}]],
    ...Object.keys(SETTLEMENT).map((field) => [
      `a settlement with a wrong ${field}`,
      [1, 'p', 1, 0, [JSON.parse(broken((value) => Object.assign(value, { [field]: [] }), SETTLEMENT))]],
    ]),
    ...Object.keys(PART).map((field) => [
      `a part with a wrong ${field}`,
      [1, 'p', 1, 0, [], JSON.parse(broken((value) => Object.assign(value, { [field]: {} }), PART))],
    ]),
    ...Object.keys(PART.channels[0] ?? {}).map((field) => [
      `a channel with a wrong ${field}`,
      [1, 'p', 1, 0, [], { ...PART, channels: [{ ...PART.channels[0], [field]: false }] }],
    ]),
  ] as [string, unknown][])('%s is no batch', (_name, value) => {
    expect(decodeBatch(JSON.stringify(value))).toBeNull();
  });
});
