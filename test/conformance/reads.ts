import { describe, expect, it } from 'vitest';
import type { RoomStore, StoredRoom, Stores } from '../../src/engine/ports.ts';
import { ENVELOPE_WINDOW, type Room, type RoomAddress } from '../../src/room/room.ts';
import { eventually } from '../support/events.ts';
import { ack, pause, START } from '../support/rooms.ts';
import { claimBy, decide, SHARDS, sweepFew, sweepMany, World } from './world.ts';

/** A look that leaves out what was written before it: whatever transactions were open on the server have ended. */
async function pastOpenTransactions(rooms: RoomStore, shards: readonly number[]): Promise<{ readonly now: string }> {
  return eventually(
    'what was open has ended',
    async () => {
      const { now } = await rooms.changedSince(shards, null);
      return (await rooms.changedSince(shards, now)).rooms.length === 0 && { now };
    },
    { deadlineMs: 15_000, everyMs: 20 },
  );
}

export function describeReads(stores: () => Stores): void {
  describe('readRooms', () => {
    it('answers in the order asked for, null where there is no such room', async () => {
      const world = new World(stores());
      const one = await world.roomWith(1, 'one');
      const two = await world.roomWith(2, 'two');
      const nowhere = { shard: world.shard, id: two.id + 1_000_000 };
      const found = await world.stores.rooms.readRooms([two, nowhere, one, { shard: SHARDS - 1, id: one.id }]);

      expect(found).toEqual([await world.stored('two'), null, await world.stored('one'), null]);
      expect(await world.stores.rooms.readRooms([])).toEqual([]);
    });

    it('brings the envelopes from the head on, and no more than the window holds', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const room = await world.roomWith(ENVELOPE_WINDOW + 5);
      const [stored] = await world.stores.rooms.readRooms([room]);
      const sequences = (from: number) => Array.from({ length: ENVELOPE_WINDOW + 1 }, (_, i) => from + i);
      expect(stored?.envelopes.map((envelope) => envelope.sequence)).toEqual(sequences(1));

      await world.apply(room, proof, claimBy(proof), ack(1));
      const [later] = await world.stores.rooms.readRooms([room]);
      expect(later?.envelopes.map((envelope) => envelope.sequence)).toEqual(sequences(2));
    });
  });

  describe('readRooms, asked for bodies', () => {
    it('brings that of a head of which nothing is under way, and no other', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const room = await world.roomWith(2);
      const bodyNow = async (withBody = true): Promise<string | undefined> => {
        const [stored] = await world.stores.rooms.readRooms([{ shard: room.shard, id: room.id, withBody }]);
        return stored?.headBody === undefined ? undefined : new TextDecoder().decode(stored.headBody);
      };
      const bodyOf = async (sequence: number): Promise<string> => {
        const [body] = await world.stores.rooms.readBodies([{ shard: room.shard, id: room.id, sequence }]);
        return new TextDecoder().decode(body ?? undefined);
      };
      const [first, second] = [await bodyOf(1), await bodyOf(2)];
      expect(second).not.toBe(first);
      expect(await bodyNow()).toBe(first);
      expect(await bodyNow(false)).toBeUndefined();

      const claimed = await world.apply(room, proof, claimBy(proof));
      expect(await bodyNow()).toBeUndefined();
      await world.apply(claimed, proof, ack(1));
      expect(await bodyNow()).toBe(second);
      const asked = [{ shard: room.shard, id: room.id + 1_000_000, withBody: true }, room];
      const [nobody, without] = await world.stores.rooms.readRooms(asked);
      expect([nobody, without?.headBody]).toEqual([null, undefined]);
    });
  });

  describe('findRoom', () => {
    it('finds a room by its key alone', async () => {
      const world = new World(stores());
      await world.roomWith(1, 'here');
      expect((await world.stored('here')).row.key).toEqual(world.key('here'));
      const { rooms } = world.stores;
      expect(await rooms.findRoom(world.key('elsewhere'), world.shard)).toBeNull();
      expect(await rooms.findRoom({ ...world.key('here'), tenant: 'other' }, world.shard)).toBeNull();
      expect(await rooms.findRoom({ ...world.key('here'), channel: 'other' }, world.shard)).toBeNull();
    });
  });

  describe('locateRooms', () => {
    it('tells where rooms are, in the order asked for', async () => {
      const world = new World(stores());
      const one = await world.roomWith(1, 'one');
      const two = await world.roomWith(1, 'two');
      const { shard } = world;
      const located = await world.stores.rooms.locateRooms([
        { key: world.key('two'), shard },
        { key: world.key('elsewhere'), shard },
        { key: { ...world.key('one'), tenant: 'other' }, shard },
        { key: { ...world.key('one'), channel: 'other' }, shard },
        { key: world.key('one'), shard: shard + 1 },
        { key: world.key('one'), shard },
        { key: world.key('two'), shard },
      ]);

      expect(located).toEqual([two, null, null, null, null, one, two].map((room) => room && { shard, id: room.id }));
      expect(await world.stores.rooms.locateRooms([])).toEqual([]);
    });
  });

  describe('readBodies', () => {
    it('answers in the order asked for, null for what is not waiting', async () => {
      const world = new World(stores());
      const room = await world.roomWith(2);
      const { shard, id } = room;
      const wanted = [2, 3, 1].map((sequence) => ({ shard, id, sequence }));
      const bodies = await world.stores.rooms.readBodies(wanted);

      const text = bodies.map((body) => (body === null ? null : Buffer.from(body).toString()));
      expect(text).toEqual(['{"to":"+1","content":"m-2"}', null, '{"to":"+1","content":"m-1"}']);
      expect(await world.stores.rooms.readBodies([])).toEqual([]);
    });
  });

  describe('findWaiting', () => {
    it('answers in the order asked for, null for what does not wait in that room', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      await world.roomWith(2, 'other');
      const room = await world.apply(await world.roomWith(3), proof, claimBy(proof), ack(1));
      const { shard, id } = room;
      const ids = ['m-3', 'm-1', 'm-2', 'M-2', 'm-3'];
      const found = await world.stores.rooms.findWaiting(ids.map((messageId) => ({ shard, id, messageId })));
      // The first has settled, and ids compare by their bytes.
      expect(found).toEqual([3, null, 2, null, 3]);

      const other = await world.stored('other');
      const elsewhere = [
        { shard: other.row.shard, id: other.row.id, messageId: 'm-1' },
        { shard, id: id + 1_000_000, messageId: 'm-2' },
        { shard: (shard + 1) % SHARDS, id, messageId: 'm-2' },
      ];
      expect(await world.stores.rooms.findWaiting(elsewhere)).toEqual([1, null, null]);
      expect(await world.stores.rooms.findWaiting([])).toEqual([]);
    });
  });

  describe.each([
    ['few shards', 0],
    ['many shards', 1_000],
  ])('changedSince, %s', (_, others) => {
    const held = (shard: number): number[] => [shard, ...Array.from({ length: others }, (_, n) => 1_000_000 + n)];

    it('tells which rows were written since, whoever wrote them, and leaves out what was written before', async () => {
      const world = new World(stores());
      const other = new World(world.stores);
      const proof = await world.worker();
      const { rooms } = world.stores;
      const changed = async (since: string) => {
        const found = await rooms.changedSince(held(world.shard), since);
        return { marks: found.rooms.toSorted((a, b) => a.id - b.id), now: found.now };
      };
      await world.roomWith(1, 'old');
      expect((await rooms.changedSince(held(world.shard), null)).rooms).toEqual([]);
      const begun = await pastOpenTransactions(rooms, held(world.shard));

      const fresh = await world.roomWith(2, 'fresh');
      await other.roomWith(1, 'elsewhere');
      const { shard } = world;
      const first = await changed(begun.now);
      expect(first.marks).toEqual([{ shard, id: fresh.id, version: 0, tail: 2, atRest: false }]);
      // Nothing need be forgotten for good when an answer is lost.
      expect((await changed(begun.now)).marks).toEqual(first.marks);

      const { now } = await changed(first.now);
      await world.apply(await world.read('old'), proof, claimBy(proof), ack(1));
      const [old] = (await changed(now)).marks;
      expect(old).toMatchObject({ shard, tail: 1, atRest: true });
      expect(old?.version).toBe((await world.read('old')).version);
      expect((await rooms.changedSince([], now)).rooms).toEqual([]);
    });
  });

  describe('scan', () => {
    it('leaves out only rooms at rest', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      await world.roomWith(1, 'fresh');
      await world.apply(await world.roomWith(1, 'empty'), proof, claimBy(proof), ack(1));
      await world.apply(await world.roomWith(1, 'paused'), null, pause);
      await world.apply(await world.roomWith(1, 'sending'), proof, claimBy(proof));

      const found = await world.stores.rooms.scan([world.shard], 100, null);
      expect(found.map((stored) => stored.row.key.room)).toEqual(['fresh', 'paused', 'sending']);
    });

    it('goes on in the order of the addresses, page by page, within the shards asked for', async () => {
      const world = new World(stores());
      const other = new World(world.stores);
      for (const name of ['a', 'b', 'c', 'd', 'e']) await world.roomWith(1, name);
      for (const name of ['f', 'g']) await other.roomWith(1, name);
      const shards = [other.shard, world.shard];
      const pages: StoredRoom[][] = [];
      for (let after: RoomAddress | null = null; ; after = pages.at(-1)?.at(-1)?.row ?? null) {
        const page = await world.stores.rooms.scan(shards, 3, after);
        if (page.length === 0) break;
        pages.push(page);
      }

      expect(pages.map((page) => page.map((stored) => stored.row.key.room))).toEqual([
        ['a', 'b', 'c'],
        ['d', 'e', 'f'],
        ['g'],
      ]);
      expect(pages[0]?.[0]).toEqual(await world.stored('a'));
      expect(await world.stores.rooms.scan([], 3, null)).toEqual([]);
    });

    it('goes on after an address wherever that is, each shard once', async () => {
      const world = new World(stores());
      const other = new World(world.stores);
      const third = new World(world.stores);
      for (const [name, one] of Object.entries({ a: world, b: other, c: other, d: third })) await one.roomWith(1, name);
      const { id } = await other.read('b');
      const between = { shard: other.shard, id };
      const scan = async (shards: readonly number[], after: RoomAddress | null): Promise<string[]> => {
        const found = await world.stores.rooms.scan(shards, 10, after);
        return found.map((stored) => stored.row.key.room);
      };

      const shards = [third.shard, other.shard, world.shard, other.shard];
      expect(await scan(shards, null)).toEqual(['a', 'b', 'c', 'd']);
      expect(await scan(shards, between)).toEqual(['c', 'd']);
      // The shard of the address may have moved to another worker between two pages.
      expect(await scan([world.shard, third.shard], between)).toEqual(['d']);
      expect(await scan([world.shard, other.shard], between)).toEqual(['c']);
      expect(await scan([world.shard], between)).toEqual([]);
    });

    it('brings each room as it was at one instant', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      let room = await world.roomWith(12);
      const settling = (async () => {
        room = await world.apply(room, proof, claimBy(proof));
        for (let i = 1; i < 12; i++) room = await world.apply(room, proof, ack(i), claimBy(proof));
      })();
      let done = false;
      const settled = settling.finally(() => {
        done = true;
      });
      while (!done) {
        const [stored] = await world.stores.rooms.scan([world.shard], 1, null);
        if (stored === undefined) throw new Error('the room was not found');
        const waiting = stored.envelopes.map((envelope) => envelope.sequence);
        expect(waiting).toEqual(Array.from({ length: 12 - stored.row.settled }, (_, i) => stored.row.settled + 1 + i));
      }
      await settled;
      expect(decide(room, ack(12)).next.phase).toBe('idle');
    });
  });

  describe.each([
    ['a few shards', sweepFew],
    ['many shards', sweepMany],
  ])('sweep of %s', (_, sweep) => {
    async function swept(world: World, now: number, limit = 100): Promise<string[]> {
      const found = await sweep(world, now, limit);
      return found
        .filter(({ row }) => row.key.channel === world.channel)
        .map(({ row }) => row.key.room)
        .sort();
    }

    it('finds what is claimable, sending, or past a deadline', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const waiting = async (name: string, state: Partial<Room>): Promise<void> => {
        const room = await world.roomWith(1, name);
        const next = { ...room, version: 1, phase: 'waiting', ...state } as Room;
        await world.write({ expectedVersion: 0, next, facts: [], claims: false });
      };
      await world.roomWith(1, 'fresh');
      await waiting('ready', { phase: 'ready' });
      await waiting('channel', { reason: 'channel' });
      await waiting('not yet', { reason: 'not_before', until: START + 1 });
      await waiting('now', { reason: 'limit', until: START });
      await waiting('held', { phase: 'held', reason: 'refused' });
      await waiting('paused', { reason: 'paused', paused: true });
      await waiting('paused for its channel', { reason: 'channel', paused: true });
      await world.apply(await world.roomWith(1, 'sending'), proof, claimBy(proof));
      await world.apply(await world.roomWith(1, 'empty'), proof, claimBy(proof), ack(1));

      expect(await swept(world, START)).toEqual(['channel', 'fresh', 'now', 'ready', 'sending']);
      expect(await swept(world, START + 1)).toContain('not yet');
    });

    it('finds a head that has expired while it waits', async () => {
      const world = new World(stores());
      await world.append(world.message('a', { room: 'expires', expiresAt: START + 5 }));
      const room = await world.read('expires');
      const next: Room = { ...room, version: 1, phase: 'waiting', reason: 'paused', paused: true };
      await world.write({ expectedVersion: 0, next, facts: [], claims: false });

      expect(await swept(world, START + 4)).toEqual([]);
      expect(await swept(world, START + 5)).toEqual(['expires']);
    });

    it('brings every room once, however few come at a time, with its envelopes', async () => {
      const world = new World(stores());
      const names = Array.from({ length: 7 }, (_, index) => `room ${index}`);
      for (const name of names) await world.roomWith(2, name);

      for (const limit of [1, 2, 3, 7, 8]) expect(await swept(world, START, limit)).toEqual(names);
      const [first] = (await sweep(world, START, 3)).filter(
        ({ row }) => row.key.room === 'room 0' && row.key.channel === world.channel,
      );
      expect(first).toEqual(await world.stored('room 0'));
    });

    it('finds nothing of other shards', async () => {
      const world = new World(stores());
      const other = new World(world.stores);
      await other.roomWith(1);
      expect((await sweep(world, START)).filter(({ row }) => row.key.channel === other.channel)).toEqual([]);
    });
  });
}
