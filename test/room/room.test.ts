import { describe, expect, test } from 'vitest';
import { ENVELOPE_WINDOW, headEnvelope, possiblyDelivered, type Room, withEnvelopes } from '../../src/room/room.ts';
import { after, append, emptyRoom, envelopeOf, permit, refused, START, takeOver } from '../support/rooms.ts';

function sequences(room: Room): number[] {
  return room.envelopes.map((envelope) => envelope.sequence);
}

describe('withEnvelopes', () => {
  const room: Room = { ...emptyRoom(), settled: 2, tail: 40 };

  test('keeps the run that begins at the head', () => {
    expect(
      sequences(
        withEnvelopes(
          room,
          [1, 2, 3, 4, 6].map((n) => envelopeOf(n)),
        ),
      ),
    ).toEqual([3, 4]);
    expect(sequences(withEnvelopes(room, [envelopeOf(4)]))).toEqual([]);
  });

  test('joins what it has with what comes', () => {
    const known = withEnvelopes(room, [envelopeOf(3), envelopeOf(4)]);
    expect(sequences(withEnvelopes(known, [envelopeOf(5), envelopeOf(7)]))).toEqual([3, 4, 5]);
  });

  test('is bounded by the window and by the tail', () => {
    const many = Array.from({ length: 60 }, (_, n) => envelopeOf(n + 1));
    expect(sequences(withEnvelopes(room, many))).toHaveLength(ENVELOPE_WINDOW + 1);
    expect(sequences(withEnvelopes({ ...room, tail: 4 }, many))).toEqual([3, 4]);
  });

  test('a cancel mark outlives an older read, and a newer read brings it', () => {
    const marked = withEnvelopes(room, [envelopeOf(3, { cancelledBy: 'superseded' })]);
    expect(headEnvelope(withEnvelopes(marked, [envelopeOf(3)]))?.cancelledBy).toBe('superseded');
    const unmarked = withEnvelopes(room, [envelopeOf(3)]);
    const read = withEnvelopes(unmarked, [envelopeOf(3, { cancelledBy: 'operator' })]);
    expect(headEnvelope(read)?.cancelledBy).toBe('operator');
    // What the store says of who came first is the truth.
    expect(headEnvelope(withEnvelopes(read, [envelopeOf(3, { cancelledBy: 'superseded' })]))?.cancelledBy).toBe(
      'superseded',
    );
  });
});

test('a message may be at the platform unless every attempt was refused', () => {
  const sending = after(emptyRoom(), START, append(envelopeOf(1)), permit);
  expect(possiblyDelivered(emptyRoom())).toBe(false);
  expect(possiblyDelivered(sending)).toBe(true);
  expect(possiblyDelivered(after(sending, START, refused(1)))).toBe(false);
  expect(possiblyDelivered(after(sending, START, takeOver))).toBe(true);
});
