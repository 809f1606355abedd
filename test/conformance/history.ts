import { describe, expect, it } from 'vitest';
import type { HistoryEntry, LateFact, Stores } from '../../src/engine/ports.ts';
import { judgeLate } from '../../src/room/ack.ts';
import type { AckLevel, Room } from '../../src/room/room.ts';
import { accepted, ack, deadline, nackOf, operator, START } from '../support/rooms.ts';
import { claimBy, World } from './world.ts';

/** A room whose first `count` messages have settled as assumed, accepted by the platform at 1000 × their sequence. */
async function settledRoom(world: World, count: number): Promise<Room> {
  const proof = await world.worker();
  let room = await world.roomWith(count + 1, 'room', { ackTimeoutMs: 0 });
  for (let sequence = 1; sequence <= count; sequence++) {
    room = await world.apply(
      room,
      proof,
      claimBy(proof),
      { ...accepted(sequence, 1, `gw-${sequence}`), platformAt: 1_000 * sequence } as ReturnType<typeof accepted>,
      deadline(),
    );
  }
  return room;
}

async function entryOf(world: World, room: Room, sequence: number): Promise<HistoryEntry> {
  const entry = await world.stores.history.readSettled(room, sequence);
  if (entry === null) throw new Error(`message ${sequence} has not settled`);
  return entry;
}

async function levelsOf(world: World, room: Room, count: number): Promise<AckLevel[]> {
  const levels: AckLevel[] = [];
  for (let sequence = 1; sequence <= count; sequence++) levels.push((await entryOf(world, room, sequence)).level);
  return levels;
}

export function describeHistory(stores: () => Stores): void {
  describe('history', () => {
    it('reads a message where it is: waiting, settled, or nowhere', async () => {
      const world = new World(stores());
      const { history } = world.stores;
      const room = await settledRoom(world, 1);

      expect(await history.readSettled(room, 1)).toMatchObject({ sequence: 1, outcome: 'assumed' });
      expect(await history.readWaiting(room, 1)).toBeNull();
      expect(await history.readSettled(room, 2)).toBeNull();
      expect(await history.readWaiting(room, 2)).toMatchObject({ sequence: 2, messageId: 'm-2', key: world.key() });
      expect(await history.readWaiting(room, 3)).toBeNull();
      expect(await history.readSettled({ ...room, id: room.id + 1_000_000 }, 1)).toBeNull();
    });

    it('lists a room newest first, waiting and settled alike', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 3);
      const listed = await world.stores.history.listRoom(room, null, 10);

      expect(listed.map((one) => one.sequence)).toEqual([4, 3, 2, 1]);
      expect(listed[0]).toEqual(await world.stores.history.readWaiting(room, 4));
      expect(listed[1]).toEqual(await entryOf(world, room, 3));
      const page = await world.stores.history.listRoom(room, 4, 2);
      expect(page.map((one) => one.sequence)).toEqual([3, 2]);
      expect(await world.stores.history.listRoom({ ...room, id: room.id + 1_000_000 }, null, 10)).toEqual([]);
    });

    it('changes a settled message only from the revision that was read', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 1);
      const entry = await entryOf(world, room, 1);
      const verdict = judgeLate(entry, { type: 'ack', level: 'read', at: START + 7 });
      if (verdict.kind === 'ignored') throw new Error('the ack was ignored');

      expect(await world.stores.history.updateSettled(entry, verdict, START)).toBe(true);
      expect(await world.stores.history.updateSettled(entry, verdict, START)).toBe(false);
      expect(await entryOf(world, room, 1)).toEqual({ ...entry, level: 'read', levelAt: START + 7, revision: 2 });
    });

    it('makes a dead letter of a failure after assumed, with the change and only with it', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 1);
      const entry = await entryOf(world, room, 1);
      const verdict = judgeLate(entry, { type: 'nack', nack: nackOf({ code: 'undelivered' }), at: START });
      if (verdict.kind === 'ignored') throw new Error('the nack was ignored');
      const { history, deadLetters } = world.stores;
      await history.updateSettled(entry, verdict, START + 3);
      const [letter] = await deadLetters.list(null, 1);

      const { shard, id } = room;
      expect(letter).toEqual({
        id: letter?.id,
        at: START + 3,
        kind: 'message',
        reason: 'failed_after_assumed',
        tenant: 'default',
        channel: world.channel,
        address: { shard, id },
        sequence: 1,
        detail: 'undelivered',
      });
      expect(await entryOf(world, room, 1)).toMatchObject({ lateNackCode: 'undelivered', outcome: 'assumed' });
      expect(await history.updateSettled(entry, verdict, START)).toBe(false);
      expect((await deadLetters.list(null, 1))[0]?.id).toBe(letter?.id);
    });

    it('raises levels up to a sequence, never lowers one, and is idempotent', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 4);
      const { history } = world.stores;

      expect(await history.raiseLevels(room, 2, 'read', START, null)).toBe(2);
      expect(await history.raiseLevels(room, 3, 'delivered', START + 5, null)).toBe(1);
      expect(await history.raiseLevels(room, 3, 'delivered', START + 6, null)).toBe(0);
      expect(await levelsOf(world, room, 4)).toEqual(['read', 'read', 'delivered', 'accepted']);
      expect(await entryOf(world, room, 3)).toMatchObject({ levelAt: START + 5, revision: 2 });
      expect((await world.stored()).envelopes).toHaveLength(1);
    });

    it('raises levels up to a watermark of the platform', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 4);

      expect(await world.stores.history.raiseLevels(room, 4, 'read', START, 2_500)).toBe(2);
      expect(await levelsOf(world, room, 4)).toEqual(['read', 'read', 'accepted', 'accepted']);
    });

    it('raises nothing of a message that was never sent', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const room = await world.roomWith(3);
      const after = await world.apply(room, proof, operator('cancel', 2), claimBy(proof), ack(1));

      expect(after.settled).toBe(2);
      expect(await world.stores.history.raiseLevels(room, 2, 'read', START, null)).toBe(1);
      expect(await levelsOf(world, room, 2)).toEqual(['read', 'none']);
    });

    it('ends an attempt that is answered after its message had settled', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const room = await world.apply(await world.roomWith(1), proof, claimBy(proof), ack(1));
      const late: LateFact = {
        address: room,
        fact: {
          kind: 'answered_late',
          sequence: 1,
          attempt: 1,
          result: 'accepted',
          code: null,
          platformId: 'gw-1',
          at: START + 5,
        },
      };
      const again: LateFact = { address: room, fact: { ...late.fact, result: 'refused', platformId: 'gw-2' } as never };
      await world.stores.history.recordLate([late, again]);

      const entry = await entryOf(world, room, 1);
      expect(entry.attempts).toMatchObject([{ number: 1, result: 'accepted', endedAt: START + 5 }]);
      expect(entry.platformId).toBe('gw-1');
      expect(entry.revision).toBeGreaterThan(1);
    });

    it('records late names of platforms, and passes over messages that are gone', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 1);
      const gone = { ...room, id: room.id + 1_000_000 };
      await world.stores.history.recordLate([
        { address: room, fact: { kind: 'accepted_as', sequence: 1, platformId: 'gw-late' } },
        { address: room, fact: { kind: 'accepted_as', sequence: 1, platformId: 'gw-late' } },
        {
          address: gone,
          fact: {
            kind: 'answered_late',
            sequence: 1,
            attempt: 1,
            result: 'unknown',
            code: 'timeout',
            platformId: null,
            at: START,
          },
        },
      ]);

      const about = { platformId: 'gw-late', level: 'sent', nack: null, at: START } as const;
      const { shard, id } = room;
      expect(await world.stores.inbox.matchOrKeep(world.key(), [about], START)).toEqual([
        { kind: 'matched', address: { shard, id }, sequence: 1 },
      ]);
    });
  });
}
