import { describe, expect, it } from 'vitest';
import type { HistoryEntry, WaitingMessage } from '../../src/engine/ports.ts';
import { viewOfRoom, viewOfSettled, viewOfWaiting } from '../../src/http/views.ts';
import { newRoomRow, OUTCOMES, type Room } from '../../src/room/room.ts';

const NOW = 1_000_000;
const address = { shard: 3, id: 9 };
const key = { tenant: 'default', channel: 'support', room: 'r1' };
const attempt = {
  number: 1,
  worker: 'w1',
  generation: 1,
  begunAt: NOW,
  endedAt: NOW + 5,
  result: 'unknown',
  code: 'timeout',
} as const;

const settled: HistoryEntry = {
  address,
  key,
  sequence: 4,
  messageId: 'm-4',
  body: new Uint8Array(),
  acceptedAt: NOW,
  settledAt: NOW + 50,
  outcome: 'acked',
  reason: 'ack',
  code: null,
  level: 'delivered',
  levelAt: NOW + 40,
  lateNackCode: null,
  possiblyDelivered: false,
  platformId: 'gw-4',
  platformAt: null,
  attempts: [attempt],
  firstClaimVersion: 1,
  settleVersion: 2,
  revision: 0,
};

const waiting: WaitingMessage = {
  address,
  key,
  sequence: 5,
  messageId: 'm-5',
  body: new Uint8Array(),
  acceptedAt: NOW,
  notBefore: null,
  expiresAt: NOW + 999,
  ackTimeoutMs: null,
  failurePolicy: null,
  cancelledBy: null,
};

const row: Room = {
  ...newRoomRow(address, key, NOW),
  phase: 'unknown',
  settled: 4,
  tail: 6,
  until: NOW + 2_000,
  attempt: 1,
  level: 'sent',
  levelAt: NOW + 3,
  platformId: 'gw-5',
  attempts: [attempt],
  envelopes: [],
};

describe('a settled message', () => {
  it.each(OUTCOMES)('that was %s says how sure its order is', (outcome) => {
    const expected = { acked: 'proven', assumed: 'assumed' } as Partial<Record<string, string>>;
    const view = viewOfSettled('ref', { ...settled, outcome }, NOW);
    expect(view).toMatchObject({ id: 'ref', room: 'r1', state: 'settled', outcome, order: expected[outcome] ?? null });
    expect(view.cancelled).toBe(outcome === 'cancelled');
    expect(view.cancelledBy).toBe(outcome === 'cancelled' ? 'operator' : null);
  });

  it('that was superseded says so', () => {
    const view = viewOfSettled('ref', { ...settled, outcome: 'cancelled', reason: 'superseded' }, NOW);
    expect(view).toMatchObject({ cancelled: true, cancelledBy: 'superseded', reason: 'superseded' });
  });

  it('shows the code of a failure that came late', () => {
    expect(viewOfSettled('ref', { ...settled, code: 'a', lateNackCode: 'b' }, NOW).code).toBe('b');
    expect(viewOfSettled('ref', { ...settled, code: 'a' }, NOW).code).toBe('a');
  });
});

describe('a waiting message', () => {
  it('that is the head shows what the room knows of it', () => {
    expect(viewOfWaiting('ref', waiting, row, NOW)).toMatchObject({
      state: 'waiting',
      outcome: null,
      order: null,
      level: 'sent',
      platformId: 'gw-5',
      code: 'timeout',
      attempts: [attempt],
      possiblyDelivered: true,
      expiresAt: NOW + 999,
      cancelled: false,
      cancelledBy: null,
    });
    const ordered = viewOfWaiting('ref', waiting, { ...row, mark: 'cancel' }, NOW);
    expect(ordered).toMatchObject({ cancelled: true, cancelledBy: 'operator' });
    expect(viewOfWaiting('ref', waiting, { ...row, mark: 'skip' }, NOW).cancelledBy).toBeNull();
  });

  it('that stands behind the head shows nothing of the head', () => {
    expect(viewOfWaiting('ref', { ...waiting, sequence: 6, cancelledBy: 'superseded' }, row, NOW)).toMatchObject({
      level: 'none',
      levelAt: null,
      platformId: null,
      code: null,
      attempts: [],
      possiblyDelivered: false,
      cancelled: true,
      cancelledBy: 'superseded',
    });
  });
});

describe('a room', () => {
  const open = { state: 'open', reason: null, until: null } as const;

  it('shows its head, its counts and why it waits', () => {
    expect(viewOfRoom(row, open, true, NOW)).toEqual({
      ...key,
      asOf: NOW,
      phase: 'unknown',
      reason: null,
      explanation:
        'the outcome of message 5 is unknown (timeout); evidence is waited for 2.0 s (1 more wait behind it)',
      paused: false,
      since: NOW,
      until: NOW + 2_000,
      head: 5,
      tail: 6,
      counts: { accepted: 6, settled: 4, waiting: 2, parked: 0 },
    });
  });

  it('has no head while nothing waits', () => {
    const idle: Room = { ...newRoomRow(address, key, NOW), settled: 2, tail: 2, envelopes: [] };
    expect(viewOfRoom(idle, open, true, NOW)).toMatchObject({ head: null, counts: { waiting: 0 } });
  });
});
