import { describe, expect, it } from 'vitest';
import type { InboxAck, Stores } from '../../src/engine/ports.ts';
import { accepted, nackOf, START } from '../support/rooms.ts';
import { claimBy, World } from './world.ts';

function ackOf(platformId: string, wishes: Partial<InboxAck> = {}): InboxAck {
  return { platformId, level: 'sent', nack: null, at: START, ...wishes };
}

export function describeInbox(stores: () => Stores): void {
  describe('ack inbox', () => {
    it('finds the message of an id that an acceptance named, and keeps nothing for it', async () => {
      const world = new World(stores());
      const { inbox } = world.stores;
      const proof = await world.worker();
      const room = await world.apply(await world.roomWith(1), proof, claimBy(proof), accepted(1, 1, 'gw-1'));
      const { shard, id } = room;

      const results = await inbox.matchOrKeep(world.key(), [ackOf('gw-2'), ackOf('gw-1'), ackOf('gw-1')], START);
      const matched = { kind: 'matched', address: { shard, id }, sequence: 1 };
      expect(results).toEqual([{ kind: 'kept' }, matched, matched]);
      expect(await inbox.read(world.key(), ['gw-1'])).toEqual([]);
      expect(await inbox.matchOrKeep(world.key(), [], START)).toEqual([]);
    });

    it('takes the longest ids that a reader lets through, of characters that take the most bytes', async () => {
      const world = new World(stores());
      const { inbox } = world.stores;
      const proof = await world.worker();
      // No two alike, so that nothing of it can be compressed away.
      const longest = Array.from({ length: 512 }, (_, index) => String.fromCharCode(0x4e00 + index * 37)).join('');
      await inbox.matchOrKeep(world.key(), [ackOf(longest)], START);
      expect(await inbox.read(world.key(), [longest])).toEqual([ackOf(longest)]);
      await world.apply(await world.roomWith(1), proof, claimBy(proof), accepted(1, 1, longest));
      const [match] = await inbox.matchOrKeep(world.key(), [ackOf(longest)], START);
      expect(match).toMatchObject({ kind: 'matched', sequence: 1 });
    });

    it('keeps apart what has the same id on another channel or of another tenant', async () => {
      const world = new World(stores());
      const { inbox } = world.stores;
      await inbox.matchOrKeep(world.key(), [ackOf('gw-1')], START);

      expect(await inbox.read({ ...world.key(), channel: 'other' }, ['gw-1'])).toEqual([]);
      expect(await inbox.read({ ...world.key(), tenant: 'other' }, ['gw-1'])).toEqual([]);
      expect(await inbox.read(world.key(), [])).toEqual([]);
    });

    it('keeps the highest level with its time, and the first failure, also within one call', async () => {
      const world = new World(stores());
      const { inbox } = world.stores;
      const first = nackOf({ code: 'first' });
      await inbox.matchOrKeep(world.key(), [ackOf('gw-1', { level: 'delivered', at: START + 1 })], START);
      const results = await inbox.matchOrKeep(
        world.key(),
        [
          ackOf('gw-1', { level: 'sent', at: START + 2 }),
          ackOf('gw-1', { level: 'none', nack: first, at: START + 3 }),
          ackOf('gw-1', { level: 'read', nack: nackOf({ code: 'second' }), at: START + 4 }),
          ackOf('gw-1', { level: 'read', at: START + 5 }),
        ],
        START,
      );

      expect(results).toEqual(results.map(() => ({ kind: 'kept' })));
      expect(await inbox.read(world.key(), ['gw-0', 'gw-1'])).toEqual([
        ackOf('gw-1', { level: 'read', nack: first, at: START + 4 }),
      ]);
    });

    it('still shows an ack after the acceptance that it waited for', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      await world.stores.inbox.matchOrKeep(world.key(), [ackOf('gw-1')], START);
      await world.apply(await world.roomWith(1), proof, claimBy(proof), accepted(1, 1, 'gw-1'));

      expect(await world.stores.inbox.read(world.key(), ['gw-1'])).toEqual([ackOf('gw-1')]);
    });

    it('forgets acks that waited too long, but not where a named id leads', async () => {
      const world = new World(stores());
      const { inbox } = world.stores;
      const proof = await world.worker();
      // Nothing that another test has kept is as old as this.
      const longAgo = START - 900_000;
      await inbox.matchOrKeep(world.key(), [ackOf('old'), ackOf('named')], longAgo);
      await inbox.matchOrKeep(world.key(), [ackOf('young')], longAgo + 1);
      await inbox.matchOrKeep(world.key(), [ackOf('old')], longAgo + 2);
      const room = await world.apply(await world.roomWith(1), proof, claimBy(proof), accepted(1, 1, 'named'));

      expect(await inbox.prune(longAgo + 50, 50)).toBe(2);
      expect(await inbox.read(world.key(), ['old', 'named', 'young'])).toEqual([ackOf('young')]);
      const { shard, id } = room;
      expect(await inbox.matchOrKeep(world.key(), [ackOf('named'), ackOf('old')], START)).toEqual([
        { kind: 'matched', address: { shard, id }, sequence: 1 },
        { kind: 'kept' },
      ]);
      expect(await inbox.prune(longAgo + 50, 50)).toBe(0);
    });
  });
}
