/** Content that never gets the acks that its channel waits for: the answer says which is its highest. */
import { describe, expect, it } from 'vitest';
import type { RoomEvent, Settled } from '../../src/room/events.ts';
import type { Room } from '../../src/room/room.ts';
import { transition } from '../../src/room/transition.ts';
import {
  accepted,
  ack,
  append,
  emptyRoom,
  envelopeOf,
  permit,
  policyOf,
  after as roomAfter,
  START,
} from '../support/rooms.ts';

const acceptedUpTo = (highestLevel: 'accepted' | 'sent' | 'read', attempt = 1): RoomEvent =>
  ({ ...accepted(1, attempt), highestLevel }) as RoomEvent;

const sending = (unlockedBy: 'sent' | 'delivered' = 'delivered'): Room => {
  const policy = policyOf({ unlockedBy });
  return roomAfter(emptyRoom(), START, append(envelopeOf(1, { policy }), envelopeOf(2, { policy })), permit);
};

function settledBy(room: Room, event: RoomEvent): Settled | undefined {
  return transition(room, event, START + 1).facts.find((fact) => fact.kind === 'settled');
}

describe('a message whose highest level is below the channel’s', () => {
  it('is acked by that one, and the next may go', () => {
    const waiting = roomAfter(sending(), START, acceptedUpTo('sent'));
    expect(waiting.phase).toBe('awaiting_ack');
    expect(settledBy(waiting, ack(1, 'sent'))).toMatchObject({ outcome: 'acked', reason: 'ack', level: 'sent' });
    expect(roomAfter(waiting, START + 1, ack(1, 'sent'))).toMatchObject({ phase: 'ready', settled: 1 });
  });

  it('is acked at its acceptance where the ack came before, or where nothing else ever comes', () => {
    const early = roomAfter(sending(), START, ack(1, 'sent'));
    expect(early.phase).toBe('sending');
    expect(settledBy(early, acceptedUpTo('sent'))).toMatchObject({ outcome: 'acked', level: 'sent' });
    expect(settledBy(sending(), acceptedUpTo('accepted'))).toMatchObject({ outcome: 'acked', reason: 'accepted' });
  });

  it('is known as such from the stored row alone', () => {
    const { envelopes, ...row } = roomAfter(sending(), START, acceptedUpTo('sent'));
    const loaded: Room = { ...(JSON.parse(JSON.stringify(row)) as typeof row), envelopes };
    expect(settledBy(loaded, ack(1, 'sent'))).toMatchObject({ outcome: 'acked' });
  });

  it('never waits for more than the channel does', () => {
    const waiting = roomAfter(sending('sent'), START, acceptedUpTo('read'));
    expect(settledBy(waiting, ack(1, 'sent'))).toMatchObject({ outcome: 'acked', level: 'sent' });
  });

  it('leaves the message after it to the channel’s level', () => {
    const next = roomAfter(sending(), START, acceptedUpTo('sent'), ack(1, 'sent'), permit, accepted(2));
    expect(transition(next, ack(2, 'sent'), START + 1).room).toMatchObject({ phase: 'awaiting_ack', settled: 1 });
  });
});
