import { describe, expect, it } from 'vitest';
import {
  ACK_REACH,
  type HistoryEntry,
  type LateFact,
  type LowerLevels,
  type SettledChange,
  type SettledState,
  type Stores,
} from '../../src/engine/ports.ts';
import { judgeLate, type LateEvent } from '../../src/room/ack.ts';
import type { AckLevel, Room, RoomAddress } from '../../src/room/room.ts';
import { accepted, ack, deadline, nackOf, operator, START } from '../support/rooms.ts';
import { claimBy, World } from './world.ts';

/** A room whose first `count` messages have settled as assumed, accepted by the platform at 1000 × their sequence. */
async function settledRoom(world: World, count: number, name = 'room'): Promise<Room> {
  const proof = await world.worker(`${name}-${world.channel}`);
  let room = await world.roomWith(count + 1, name, { ackTimeoutMs: 0 });
  for (let sequence = 1; sequence <= count; sequence++) {
    room = await world.apply(
      room,
      proof,
      claimBy(proof),
      { ...accepted(sequence, 1, `gw-${name}-${sequence}`), platformAt: 1_000 * sequence } as ReturnType<
        typeof accepted
      >,
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

function changeOf(world: World, state: SettledState, event: LateEvent): SettledChange {
  const verdict = judgeLate(state, event);
  if (verdict.kind === 'ignored') throw new Error(`the ${event.type} was ignored`);
  const fingerprint = verdict.deadLetter === null ? null : 'c0ffee00'.repeat(4);
  return { state, verdict, key: world.key(), fingerprint, at: START };
}

/** States of messages 1 to `count`. */
async function statesOf(world: World, { shard, id }: Room, count: number): Promise<SettledState[]> {
  const wanted = Array.from({ length: count }, (_, index) => ({ shard, id, sequence: index + 1 }));
  const states = await world.stores.history.readSettledStates(wanted);
  return states.filter((state) => state !== null);
}

async function levelsOf(world: World, room: Room, count: number): Promise<AckLevel[]> {
  const levels: AckLevel[] = [];
  for (let sequence = 1; sequence <= count; sequence++) levels.push((await entryOf(world, room, sequence)).level);
  return levels;
}

type Ack = Pick<LowerLevels, 'upTo' | 'level'> & { readonly at?: number; readonly watermark?: number };

/** Raises what is lower among the last ten, until nothing is. @returns the sequences that were raised */
async function raise(world: World, { shard, id }: Room, ack: Ack): Promise<number[]> {
  const { upTo, level, at = START, watermark = null } = ack;
  const { history } = world.stores;
  const raised: number[] = [];
  for (;;) {
    const [lower = []] = await history.readLowerLevels([{ shard, id, upTo, level, watermark }], 10);
    if (lower.length === 0) return raised.sort((a, b) => a - b);
    const changed = await history.updateSettled(
      lower.map((state) => changeOf(world, state, { type: 'ack', level, at })),
    );
    raised.push(...lower.filter((_, index) => changed[index]).map(({ sequence }) => sequence));
  }
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
      const change = changeOf(world, entry, { type: 'ack', level: 'read', at: START + 7 });

      expect(await world.stores.history.updateSettled([change])).toEqual([true]);
      expect(await world.stores.history.updateSettled([change])).toEqual([false]);
      expect(await entryOf(world, room, 1)).toEqual({ ...entry, level: 'read', levelAt: START + 7, revision: 2 });
    });

    it('makes a dead letter of a failure after assumed, with the change and only with it', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 1);
      const entry = await entryOf(world, room, 1);
      const change = changeOf(world, entry, { type: 'nack', nack: nackOf({ code: 'undelivered' }), at: START });
      const { history, deadLetters } = world.stores;
      await history.updateSettled([{ ...change, at: START + 3 }]);
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
        fingerprint: change.fingerprint,
      });
      expect(await entryOf(world, room, 1)).toMatchObject({ lateNackCode: 'undelivered', outcome: 'assumed' });
      expect(await history.updateSettled([change])).toEqual([false]);
      expect((await deadLetters.list(null, 1))[0]?.id).toBe(letter?.id);
    });

    it('tells the states of many settled messages in the order asked for, twice where asked twice', async () => {
      const world = new World(stores());
      const { shard, id } = await settledRoom(world, 3);
      const wanted = [3, 1, 4, 3].map((sequence) => ({ shard, id, sequence }));
      const states = await world.stores.history.readSettledStates([
        ...wanted,
        { shard, id: id + 1_000_000, sequence: 1 },
      ]);

      expect(states.map((state) => state?.sequence ?? null)).toEqual([3, 1, null, 3, null]);
      expect(await entryOf(world, { shard, id } as Room, 3)).toMatchObject({ ...states[0] });
    });

    it('changes many settled messages at once, each by itself, and answers in their order', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 3);
      const other = await settledRoom(world, 3, 'other');
      const [first, second, third] = await statesOf(world, room, 3);
      const [, , ofOther] = await statesOf(world, other, 3);
      const read = (state: SettledState | undefined, at: number) =>
        changeOf(world, state as SettledState, { type: 'ack', level: 'read', at });
      const { history } = world.stores;
      expect(await history.updateSettled([read(second, START)])).toEqual([true]);

      const changes = [read(ofOther, START), read(third, START + 1), read(second, START + 2), read(first, START + 3)];
      expect(await history.updateSettled(changes)).toEqual([true, true, false, true]);
      expect((await statesOf(world, other, 3)).map(({ revision }) => revision)).toEqual([1, 1, 2]);
      const after = await statesOf(world, room, 3);
      expect(after.map(({ levelAt, revision }) => [levelAt, revision])).toEqual([
        [START + 3, 2],
        [START, 2],
        [START + 1, 2],
      ]);
    });

    it('has only the first of two changes of one message in a batch take effect', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 2);
      const [first, second] = (await statesOf(world, room, 2)) as [SettledState, SettledState];
      const ackOf = (level: 'sent' | 'read'): SettledChange =>
        changeOf(world, second, { type: 'ack', level, at: START });
      const other = changeOf(world, first, { type: 'ack', level: 'delivered', at: START });
      const { history } = world.stores;

      expect(await history.updateSettled([ackOf('sent'), other, ackOf('read')])).toEqual([true, true, false]);
      expect(await levelsOf(world, room, 2)).toEqual(['delivered', 'sent']);
      expect((await statesOf(world, room, 2)).map(({ revision }) => revision)).toEqual([2, 2]);
    });

    it('makes one dead letter of two failures of one message in a batch, and none of what is not dead', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 3);
      const [first, second, third] = (await statesOf(world, room, 3)) as [SettledState, SettledState, SettledState];
      const failed = (state: SettledState, code: string): SettledChange =>
        changeOf(world, state, { type: 'nack', nack: nackOf({ code }), at: START });
      const acked = changeOf(world, second, { type: 'ack', level: 'delivered', at: START });
      const changes = [failed(third, 'c'), acked, failed(first, 'a'), failed(first, 'again')];
      const { history, deadLetters } = world.stores;

      expect(await history.updateSettled(changes)).toEqual([true, true, true, false]);
      const letters = (await deadLetters.list(null, 10)).filter(({ channel }) => channel === world.channel);
      expect(letters.map(({ sequence, detail, reason }) => [sequence, detail, reason]).sort()).toEqual([
        [1, 'a', 'failed_after_assumed'],
        [3, 'c', 'failed_after_assumed'],
      ]);
    });

    it('has one of two batches at once, in opposite orders, make each change', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 8);
      const { history, deadLetters } = world.stores;
      const states = await statesOf(world, room, 8);
      const batch = (code: string) =>
        states.map((state) => changeOf(world, state, { type: 'nack', nack: nackOf({ code }), at: START }));
      const [some, others] = await Promise.all([
        history.updateSettled(batch('one')),
        history.updateSettled(batch('other').reverse()),
      ]);

      const otherWay = others.toReversed();
      expect(some.map((changed, index) => changed !== otherWay[index])).toEqual(states.map(() => true));
      expect((await statesOf(world, room, 8)).map(({ lateNackCode }) => lateNackCode)).toEqual(
        some.map((changed) => (changed ? 'one' : 'other')),
      );
      const letters = (await deadLetters.list(null, 20)).filter(({ channel }) => channel === world.channel);
      expect(letters.map(({ sequence }) => sequence).sort()).toEqual(states.map(({ sequence }) => sequence));
    });

    it('finds what has a lower level up to a sequence, so that levels rise once and never fall', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 4);

      expect(await raise(world, room, { upTo: 2, level: 'read' })).toEqual([1, 2]);
      expect(await raise(world, room, { upTo: 3, level: 'delivered', at: START + 5 })).toEqual([3]);
      expect(await raise(world, room, { upTo: 3, level: 'delivered', at: START + 6 })).toEqual([]);
      expect(await levelsOf(world, room, 4)).toEqual(['read', 'read', 'delivered', 'accepted']);
      expect(await entryOf(world, room, 3)).toMatchObject({ levelAt: START + 5, revision: 2 });
      expect((await world.stored()).envelopes).toHaveLength(1);
    });

    it('finds what has a lower level up to a watermark of the platform', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 4);

      expect(await raise(world, room, { upTo: 4, level: 'read', watermark: 2_500 })).toEqual([1, 2]);
      expect(await levelsOf(world, room, 4)).toEqual(['read', 'read', 'accepted', 'accepted']);
    });

    it('finds what has a lower level in many rooms at once, among the last of each, in the order asked for', async () => {
      const world = new World(stores());
      const rooms = [await settledRoom(world, 3, 'one'), await settledRoom(world, 2, 'two')];
      const [one, two] = rooms.map(({ shard, id }) => ({ shard, id })) as [RoomAddress, RoomAddress];
      await raise(world, rooms[1] as Room, { upTo: 1, level: 'read' });
      const lower = await world.stores.history.readLowerLevels(
        [
          { ...two, upTo: 2, level: 'read', watermark: null },
          { ...one, upTo: 3, level: 'delivered', watermark: null },
          { ...two, upTo: 1, level: 'read', watermark: null },
          { ...one, upTo: 3, level: 'delivered', watermark: 1_000 },
          { ...two, upTo: 2, level: 'read', watermark: 1_000 },
          { ...one, upTo: 3, level: 'accepted', watermark: null },
        ],
        2,
      );

      const sequences = lower.map((states) => states.map(({ sequence }) => sequence));
      expect(sequences).toEqual([[2], [3, 2], [], [1], [], []]);
      expect(lower[0]).toEqual(
        [(await statesOf(world, rooms[1] as Room, 2))[1]].map((state) => expect.objectContaining(state)),
      );
      expect(lower[3]).toEqual([
        expect.objectContaining({ sequence: 1, address: one, level: 'accepted', revision: 1 }),
      ]);
    });

    it('finds nothing that lies further back than an ack tells of', async () => {
      const world = new World(stores());
      const { shard, id } = await settledRoom(world, 2);
      const reach = async (upTo: number) => {
        const wanted = { shard, id, upTo, level: 'read', watermark: null } as const;
        const [lower = []] = await world.stores.history.readLowerLevels([wanted], 10);
        return lower.map(({ sequence }) => sequence).sort((a, b) => a - b);
      };

      expect(await reach(ACK_REACH)).toEqual([1, 2]);
      expect(await reach(ACK_REACH + 1)).toEqual([2]);
    });

    it('finds no lower level of a message that was never sent', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const room = await world.roomWith(3);
      const after = await world.apply(room, proof, operator('cancel', 2), claimBy(proof), ack(1));

      expect(after.settled).toBe(2);
      expect(await raise(world, room, { upTo: 2, level: 'read' })).toEqual([1]);
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

    it('ends attempts of many messages at once, however many answers come at the same time', async () => {
      const world = new World(stores());
      const room = await settledRoom(world, 3);
      const proof = await world.worker(`other-${world.channel}`);
      const other = await world.apply(await world.roomWith(1, 'other'), proof, claimBy(proof), ack(1));
      const answer = (address: Room, sequence: number, code: string): LateFact => ({
        address,
        fact: {
          kind: 'answered_late',
          sequence,
          attempt: 1,
          result: 'accepted',
          code,
          platformId: code,
          at: START + 5,
        },
      });
      const { history } = world.stores;
      await Promise.all([
        history.recordLate([answer(other, 1, 'x'), answer(room, 1, 'y'), answer(room, 2, 'y')]),
        history.recordLate([answer(room, 1, 'y'), answer(other, 1, 'x')]),
        raise(world, other, { upTo: 1, level: 'read' }),
        raise(world, room, { upTo: 3, level: 'read' }),
      ]);

      const entry = await history.readSettled(other, 1);
      expect(entry).toMatchObject({ platformId: 'x', level: 'read' });
      expect(entry?.attempts).toMatchObject([{ number: 1, result: 'accepted', code: 'x', endedAt: START + 5 }]);
      expect((await statesOf(world, room, 3)).map(({ revision, level }) => [revision, level])).toEqual([
        [4, 'read'],
        [3, 'read'],
        [2, 'read'],
      ]);
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
