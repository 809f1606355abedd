import { describe, expect, test } from 'vitest';
import { assertInvariants, brokenInvariants, INVARIANTS, type InvariantId } from '../../src/room/invariants.ts';
import type { Room } from '../../src/room/room.ts';
import {
  accepted,
  after,
  append,
  emptyRoom,
  envelopeOf,
  nackOf,
  pause,
  permit,
  START,
  unknown,
} from '../support/rooms.ts';

const idle = after(emptyRoom(), START, append(envelopeOf(1), envelopeOf(2)));
const sending = after(idle, START, permit);
const awaiting = after(sending, START, accepted(1));
const uncertain = after(sending, START, unknown(1));
const paused = after(idle, START, pause);
const [first] = sending.attempts;

/** For each invariant, rooms that break it and nothing else. */
const BROKEN: Readonly<Record<InvariantId, readonly Room[]>> = {
  I1: [
    { ...idle, version: -1 },
    { ...idle, version: 0.5 },
    { ...idle, version: 2 ** 53 },
  ],
  I2: [{ ...emptyRoom(), settled: 1 }],
  I3: [
    { ...paused, reason: 'refused' },
    { ...paused, reason: null },
    { ...idle, reason: 'paused' },
    { ...idle, phase: 'held', reason: 'limit' },
  ],
  I4: [
    { ...awaiting, until: null },
    { ...sending, until: START },
    { ...paused, until: START },
    { ...paused, reason: 'limit' },
    { ...idle, until: START },
    { ...idle, phase: 'ready', until: START },
    { ...sending, phase: 'held', reason: 'refused', attempts: awaiting.attempts, until: START },
    { ...awaiting, phase: 'backing_off', until: null },
    { ...uncertain, until: null },
  ],
  I5: [
    { ...idle, phase: 'sending' },
    { ...idle, phase: 'awaiting_ack', until: START },
    { ...idle, phase: 'backing_off', until: START },
    { ...idle, phase: 'unknown', until: START },
  ],
  I6: [
    { ...idle, level: 'sent' },
    { ...idle, platformId: 'gw-1' },
    { ...idle, attempt: 1, firstClaimVersion: 1 },
    { ...idle, attempts: awaiting.attempts },
  ],
  I7: [
    { ...awaiting, mark: 'skip' },
    { ...awaiting, nack: { ...nackOf(), platformId: null } },
    { ...sending, bytesLeft: true },
  ],
  I8: [
    { ...sending, firstClaimVersion: 0 },
    { ...uncertain, spent: 2 },
  ],
  I9: [
    { ...idle, envelopes: [envelopeOf(2)] },
    { ...idle, envelopes: [envelopeOf(1), envelopeOf(2), envelopeOf(3)] },
    { ...emptyRoom(), envelopes: [envelopeOf(1)] },
  ],
  I10: [
    { ...awaiting, attempts: sending.attempts },
    { ...sending, attempt: 2, attempts: first === undefined ? [] : [first, { ...first, number: 2 }] },
  ],
  I11: [
    { ...idle, paused: true },
    { ...idle, phase: 'ready', paused: true },
  ],
};

describe('invariants', () => {
  test('hold of ordinary rooms', () => {
    for (const room of [emptyRoom(), idle, sending, awaiting, uncertain, paused]) {
      expect(brokenInvariants(room)).toEqual([]);
      expect(() => assertInvariants(room)).not.toThrow();
    }
  });

  test.each(Object.keys(INVARIANTS) as InvariantId[])('%s is noticed', (id) => {
    for (const room of BROKEN[id]) {
      expect(brokenInvariants(room)).toEqual([id]);
      expect(() => assertInvariants(room)).toThrow(`${id}: ${INVARIANTS[id]}`);
    }
  });

  test('that are broken together are all named', () => {
    expect(brokenInvariants({ ...idle, spent: 1 })).toEqual(['I6', 'I8']);
    const room: Room = { ...emptyRoom(), settled: 1, version: -1 };
    expect(() => assertInvariants(room)).toThrow(`I1: ${INVARIANTS.I1}; I2: ${INVARIANTS.I2}`);
  });
});
